/**
 * Half precision: values between that may lie in memory as f16. Kernels compute in f32 all the same;
 * only what they load and store of such values is converted.
 *
 * @module
 */
import type { Graph } from "./trace.ts";

/**
 * Marks the activations of a graph, and their gradients, to be stored in half precision: what layers
 * make, and what is made of it step by step. Arguments, results, sums and statistics stay f32.
 */
export function halveActivations({ values, steps, results }: Graph): Graph {
  const half = new Set<number>();
  for (const { op: { activation }, inputs, outputs } of steps) {
    const isOne = activation === "always" ||
      activation === "follows" && inputs.some(({ value }) => half.has(value));
    if (isOne) half.add(outputs[0]);
  }
  for (const result of results) half.delete(result);
  return {
    ...{ steps, results },
    values: values.map((value, i) => half.has(i) ? { ...value, half: true } : value),
  };
}

/**
 * A kernel's text for operands of half precision.
 *
 * @param bindings Which of its bindings; their loads and stores have the form `name[…]`.
 * @param lanes Values in an elem.
 */
export function halfKernel(source: string, bindings: readonly number[], lanes: 1 | 4): string {
  if (bindings.length === 0) return source;
  let text = source.replaceAll(/\/\/.*/g, ""); // comments have brackets too
  for (const binding of bindings) {
    const declaration = new RegExp(
      `(@group\\(0\\) @binding\\(${binding}\\) var<storage, \\w+> (\\w+): array<)(\\w+)>;`,
    );
    const [whole, head, name, type] = text.match(declaration)!;
    const isFour = type === "vec4f" || type === "elem" && lanes === 4;
    if (!isFour && type !== "f32" && type !== "elem") {
      throw new TypeError(`Cannot store ${name} of ${type} in half precision`);
    }
    const [full, half] = isFour ? ["vec4f", "vec4<f16>"] : ["f32", "f16"];
    const [before, after] = text.split(whole);
    text = convert(before, name, full, half) + `${head}${half}>;` +
      convert(after, name, full, half);
  }
  return `enable f16;\n${text}`;
}

/** Converts what is loaded from an array and stored to it. */
function convert(text: string, name: string, full: string, half: string): string {
  const start = new RegExp(`(?<![\\w.])${name}\\[`, "g");
  let converted = "";
  let done = 0;
  for (const match of text.matchAll(start)) {
    if (match.index < done) continue; // within what was stored
    const end = closing(text, match.index + name.length);
    const access = convertInside(text.slice(match.index, end), name, full, half);
    const stored = text.slice(end).match(/^ ([-+*/]?)= ([^;]*);/);
    converted += text.slice(done, match.index);
    if (stored) {
      const [, operator, operand] = stored;
      const value = convert(operand, name, full, half);
      const before = operator && `${full}(${access}) ${operator} `;
      converted += `${access} = ${half}(${before}(${value}));`;
      done = end + stored[0].length;
    } else {
      converted += `${full}(${access})`;
      done = end;
    }
  }
  return converted + text.slice(done);
}

/** An access, with accesses to the same array in its index converted. */
function convertInside(access: string, name: string, full: string, half: string): string {
  const index = access.slice(name.length + 1, -1);
  return `${name}[${convert(index, name, full, half)}]`;
}

/** Where the bracket that opens at `from` has closed. */
function closing(text: string, from: number): number {
  let depth = 0;
  for (let i = from; i < text.length; i++) {
    if (text[i] === "[") depth++;
    if (text[i] === "]" && --depth === 0) return i + 1;
  }
  throw new SyntaxError("A bracket does not close");
}
