/**
 * The texts of fused elementwise steps: kernels of their own, from the template `kernels/map.wgsl`, or
 * the end of another kernel.
 *
 * @module
 */
import { kernels } from "../../kernels/mod.ts";
import { type Shape, sizeOf } from "../tensor.ts";
import type { Group, GroupInput } from "./fuse.ts";

/** A kernel written for a group, and which values it binds after its own operands. */
export interface WrittenKernel {
  readonly source: string;
  /** Results that are computed at once. */
  readonly lanes: 1 | 4;
  /** Values to bind, in order. An output in place of an input is bound once, as the input. */
  readonly values: readonly number[];
}

/** Whether an operand has a value of its own for every element of the result. */
export function isFull(shape: Shape, size: number): boolean {
  return sizeOf(shape) === size;
}

/** Whether four neighbours of the result can be computed at once, as far as this operand goes. */
export function isReadInFours({ shape, to }: GroupInput): boolean {
  return indexing(shape, to).fours !== undefined;
}

/**
 * Writes the kernel of a group of elementwise steps.
 *
 * @param inPlace For an output's value, the input value whose buffer it takes over.
 * @returns Also the invocations that it takes.
 */
export function mapKernel(
  group: Group,
  inPlace: ReadonlyMap<number, number>,
): WrittenKernel & { readonly size: number } {
  const size = sizeOf(group.steps[0].op.outputs[0].shape);
  const lanes = size % 4 === 0 && group.operands.every(isReadInFours) ? 4 : 1;
  const { declarations, body, values } = write(group, inPlace, { lanes, bound: 0 });
  const types = replacePart(kernels.map.source, "types", typesOf(lanes));
  const operands = replacePart(types, "operands", declarations);
  return { source: replacePart(operands, "body", body), lanes, values, size: size / lanes };
}

/**
 * Writes elementwise steps into the kernel whose result they take; what it would have stored, in
 * fours or one by one, is `value` there, and its place `i`.
 *
 * @param source The kernel's text, with marks where its result is declared and stored.
 * @param bound Operands that the kernel binds before its result.
 */
export function epilogueKernel(
  group: Group,
  inPlace: ReadonlyMap<number, number>,
  source: string,
  bound: number,
): WrittenKernel {
  const lanes = partOf(source, "operands").includes("array<vec4f>") ? 4 : 1;
  const { declarations, body, values } = write(group, inPlace, { lanes, bound });
  const functions = partOf(kernels.map.source, "functions");
  const operands = [...typesOf(lanes), ...declarations, functions];
  return {
    source: replacePart(replacePart(source, "operands", operands), "body", body),
    lanes,
    values,
  };
}

/** Declarations and statements of a group's elementwise steps, for elems of so many values. */
function write(
  { kernel, maps, operands, outputs }: Group,
  inPlace: ReadonlyMap<number, number>,
  { lanes, bound }: { readonly lanes: 1 | 4; readonly bound: number },
) {
  const overwritten = new Set(inPlace.values());
  const values: number[] = [];
  const declarations: string[] = [];
  const body: string[] = [];
  const bind = (name: string, value: number, access: "read" | "read_write", elem: string) => {
    const binding = bound + values.push(value) - 1;
    declarations.push(
      `@group(0) @binding(${binding}) var<storage, ${access}> ${name}: array<${elem}>;`,
    );
  };

  const nameOf = new Map<string, string>(); // reading of an operand → the variable that holds it
  operands.forEach((input, i) => {
    const { index, fours } = indexing(input.shape, input.to);
    const splat = lanes === 4 && fours === "splat";
    const access = overwritten.has(input.value) ? "read_write" : "read";
    bind(`x${i}`, input.value, access, splat ? "f32" : "elem");
    const at = lanes === 1
      ? index("i")
      : splat
      ? index("(i * 4u)")
      : fours === "same"
      ? "i"
      : `${index("(i * 4u)")} / 4u`;
    body.push(`let v${i} = ${splat ? `elem(x${i}[${at}])` : `x${i}[${at}]`};`);
    nameOf.set(readingOf(input), `v${i}`);
  });
  const resultOf = new Map<number, string>();
  if (kernel) resultOf.set(kernel.outputs[0], "value");
  maps.forEach((step, i) => {
    const lowering = step.op.lowering as { expression: string };
    const to = step.op.outputs[0].shape;
    const names = step.inputs.map((operand) =>
      resultOf.get(operand.value) ?? nameOf.get(readingOf({ ...operand, to }))!
    );
    body.push(
      `let r${i} = ${lowering.expression.replaceAll(/\$(\d+)/g, (_, n) => names[Number(n)])};`,
    );
    resultOf.set(step.outputs[0], `r${i}`);
  });
  outputs.forEach((value, i) => {
    const over = inPlace.get(value);
    let name = `y${i}`;
    if (over === undefined) bind(name, value, "read_write", "elem");
    else name = `x${operands.findIndex((input) => input.value === over)}`;
    body.push(`${name}[i] = ${resultOf.get(value)};`);
  });
  return { declarations, body, values };
}

function typesOf(lanes: 1 | 4): string[] {
  return lanes === 4
    ? ["alias elem = vec4f;", "alias bits = vec4u;"]
    : ["alias elem = f32;", "alias bits = u32;"];
}

/** Equal for operands that a kernel reads alike, whatever their shapes. */
export function readingOf({ value, shape, to }: GroupInput): string {
  return `${value}:${indexing(shape, to).index("i")}`;
}

/** Replaces the lines between `// begin part` and `// end part`. */
function replacePart(text: string, part: string, lines: readonly string[]): string {
  const [start, end] = [`// begin ${part}`, `// end ${part}`].map((mark) => text.indexOf(mark));
  return `${text.slice(0, start)}${lines.join("\n  ")}\n${text.slice(end)}`;
}

/** The lines between `// begin part` and `// end part`. */
function partOf(text: string, part: string): string {
  const [begin, end] = [`// begin ${part}\n`, `// end ${part}`];
  return text.slice(text.indexOf(begin) + begin.length, text.indexOf(end));
}

/**
 * How an operand broadcast to a shape is read: its index from the result's, and how four neighbours
 * lie: in the same four of an equal array, in fours elsewhere, all in one value, or not at all alike.
 */
function indexing(
  from: Shape,
  to: Shape,
): { index: (i: string) => string; fours?: "same" | "fours" | "splat" } {
  if (sizeOf(from) === sizeOf(to)) return { index: (i) => i, fours: "same" };
  if (sizeOf(from) === 1) return { index: () => "0u", fours: "splat" };
  const padded = [...Array(to.length - from.length).fill(1), ...from];
  // Runs of axes that are alike, from the last to the first: kept (the operand has them) or repeated.
  const terms: { divide: number; modulo: number; times: number }[] = [];
  let inner = 1; // elements of the result within the axes behind
  let stride = 1; // elements of the operand within them
  let fours: "fours" | "splat" | undefined;
  for (let axis = to.length - 1; axis >= 0;) {
    if (to[axis] === 1) {
      axis--;
      continue;
    }
    const kept = padded[axis] !== 1;
    let length = 1;
    while (axis >= 0 && (to[axis] === 1 || (padded[axis] !== 1) === kept)) length *= to[axis--];
    if (inner === 1 && length % 4 === 0) fours = kept ? "fours" : "splat";
    if (kept) {
      terms.push({ divide: inner, modulo: length, times: stride });
      stride *= length;
    }
    inner *= length;
  }
  const index = (i: string) =>
    terms.map(({ divide, modulo, times }) => {
      const start = divide === 1 ? i : `${i} / ${divide}u`;
      const wrapped = divide * modulo === sizeOf(to) ? `(${start})` : `(${start} % ${modulo}u)`;
      return times === 1 ? wrapped : `${wrapped} * ${times}u`;
    }).join(" + ");
  return { index: (i) => `(${index(i)})`, fours };
}
