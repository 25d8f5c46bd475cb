/**
 * Elementwise ops, with NumPy's broadcasting. A number among the operands becomes part of the
 * expression. Chains of these ops are fused into one kernel when a function is compiled.
 *
 * @module
 */
import { apply, type Op } from "../op.ts";
import { broadcastShape, sameShape, type Shape, type Tensor } from "../tensor.ts";
import { sumTo } from "./reduce.ts";

/** A tensor or a constant. */
export type Operand = Tensor | number;

/** For each tensor operand, its cotangent from dy, the operands and the result. */
type Slopes = ((dy: Tensor, operands: readonly Operand[], y: Tensor) => Tensor | undefined)[];

/** A WGSL literal that reads back as exactly this f32. */
export function literal(value: number): string {
  const rounded = Math.fround(value);
  if (!Number.isFinite(rounded)) throw new RangeError(`Cannot write ${value} into a kernel`);
  const text = String(rounded);
  const f32 = /[.e]/.test(text) ? text : `${text}.0`;
  return value < 0 ? `(${f32})` : f32;
}

/**
 * Applies a WGSL expression elementwise.
 *
 * @param name Name for plans and errors.
 * @param expression WGSL in `$0`, `$1` … of type `elem` (f32 or vec4f).
 * @param operands Tensors or numbers whose shapes broadcast together.
 * @param slopes Cotangent of each operand, in the result's shape; summed to the operand's shape here.
 * @throws {RangeError} If the shapes do not broadcast.
 * @throws {TypeError} If an operand is not f32.
 */
export function elementwise(
  name: string,
  expression: string,
  operands: readonly Operand[],
  slopes?: Slopes,
): Tensor {
  const inputs = operands.filter((operand): operand is Tensor => typeof operand !== "number");
  const wrong = inputs.find((input) => input.dtype !== "f32");
  if (wrong) throw new TypeError(`Cannot compute ${name} of ${wrong.dtype} values: it takes f32`);
  const shape = broadcastShape(...inputs.map((input) => input.shape));
  let next = 0;
  const names = operands.map((x) => typeof x === "number" ? `elem(${literal(x)})` : `$${next++}`);
  const text = expression.replaceAll(/\$(\d)/g, (_, i) => names[Number(i)]);
  const op: Op = {
    name,
    key: `${text}:${shape}`,
    outputs: [{ shape, dtype: "f32" }],
    activation: "follows",
    lowering: { kind: "map", expression: text },
    vjp: slopes && (([dy], _, [y]) =>
      operands.flatMap((operand, i) => {
        if (typeof operand === "number") return [];
        const cotangent = slopes[i](dy!, operands, y);
        return [cotangent && sumTo(cotangent, operand.shape)];
      })),
  };
  return apply(op, inputs);
}

/** a + b. */
export function add(a: Operand, b: Operand): Tensor {
  return elementwise("add", "($0 + $1)", [a, b], [(dy) => dy, (dy) => dy]);
}

/** a − b. */
export function sub(a: Operand, b: Operand): Tensor {
  return elementwise("sub", "($0 - $1)", [a, b], [(dy) => dy, (dy) => mul(dy, -1)]);
}

/** a · b, elementwise. */
export function mul(a: Operand, b: Operand): Tensor {
  return elementwise("mul", "($0 * $1)", [a, b], [
    (dy, [, b]) => mul(dy, b),
    (dy, [a]) => mul(dy, a),
  ]);
}

/** a / b, elementwise. */
export function div(a: Operand, b: Operand): Tensor {
  return elementwise("div", "($0 / $1)", [a, b], [
    (dy, [, b]) => div(dy, b),
    (dy, [, b], y) => mul(div(mul(dy, y), b), -1),
  ]);
}

/** The larger of a and b; where they are equal the gradient goes to a. */
export function maximum(a: Operand, b: Operand): Tensor {
  return elementwise("maximum", "max($0, $1)", [a, b], [
    (dy, [a, b]) => elementwise("maximum_slope", "select(elem(0.0), $0, $1 >= $2)", [dy, a, b]),
    (dy, [a, b]) => elementwise("maximum_slope", "select(elem(0.0), $0, $1 < $2)", [dy, a, b]),
  ]);
}

/** The smaller of a and b; where they are equal the gradient goes to a. */
export function minimum(a: Operand, b: Operand): Tensor {
  return elementwise("minimum", "min($0, $1)", [a, b], [
    (dy, [a, b]) => elementwise("minimum_slope", "select(elem(0.0), $0, $1 <= $2)", [dy, a, b]),
    (dy, [a, b]) => elementwise("minimum_slope", "select(elem(0.0), $0, $1 > $2)", [dy, a, b]),
  ]);
}

/**
 * a where the condition is above zero, else b. The condition has no gradient.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { openDevice, read, tensor, where } from "@mcmae/mcmae";
 *
 * const x = tensor([-1, 2]);
 * assert.deepEqual([...await read(await openDevice(), where(x, x, 0))], [0, 2]);
 * ```
 */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  return elementwise("where", "select($2, $1, $0 > elem(0.0))", [condition, a, b], [
    () => undefined,
    (dy) => where(condition, dy, 0),
    (dy) => where(condition, 0, dy),
  ]);
}

/** 1 where x is finite, 0 where it is infinite or NaN. Has no gradient. */
export function isFinite(x: Tensor): Tensor {
  return elementwise("is_finite", "finite($0)", [x], [() => undefined]);
}

/** eˣ. */
export function exp(x: Tensor): Tensor {
  return elementwise("exp", "exp($0)", [x], [(dy, _, y) => mul(dy, y)]);
}

/** Natural logarithm. */
export function log(x: Tensor): Tensor {
  return elementwise("log", "log($0)", [x], [(dy, [x]) => div(dy, x)]);
}

/** |x|, whose gradient is 0 at 0. */
export function abs(x: Tensor): Tensor {
  return elementwise("abs", "abs($0)", [x], [
    (dy, [x]) => elementwise("abs_slope", "($0 * sign($1))", [dy, x]),
  ]);
}

/** Square root. */
export function sqrt(x: Tensor): Tensor {
  return elementwise("sqrt", "sqrt($0)", [x], [(dy, _, y) => div(mul(dy, 0.5), y)]);
}

/** x². */
export function square(x: Tensor): Tensor {
  return elementwise("square", "($0 * $0)", [x], [(dy, [x]) => mul(mul(dy, 2), x)]);
}

/** 1 / (1 + e⁻ˣ), of a power that never overflows. */
export function sigmoid(x: Tensor): Tensor {
  const text = "(select(exp(-abs($0)), elem(1.0), $0 >= elem(0.0)) / (elem(1.0) + exp(-abs($0))))";
  return elementwise("sigmoid", text, [x], [
    (dy, _, y) => elementwise("sigmoid_slope", "($0 * $1 * (elem(1.0) - $1))", [dy, y]),
  ]);
}

/** The larger of x and 0, whose gradient is 0 at 0. */
export function relu(x: Tensor): Tensor {
  return where(x, x, 0);
}

/** GELU in its exact form, x · Φ(x) (arXiv:1606.08415); erf is accurate to 4e-7. */
export function gelu(x: Tensor): Tensor {
  return elementwise("gelu", "gelu($0)", [x], [
    (dy, [x]) => elementwise("gelu_slope", "($0 * gelu_slope($1))", [dy, x]),
  ]);
}

/**
 * Repeats x along its axes of size 1.
 *
 * @throws {RangeError} If x does not broadcast to the shape.
 */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  if (!sameShape(broadcastShape(x.shape, shape), shape)) {
    throw new RangeError(`Cannot broadcast [${x.shape}] to [${shape}]`);
  }
  return apply({
    name: "broadcast",
    key: `$0:${shape}`,
    outputs: [{ shape, dtype: "f32" }],
    flops: 0,
    activation: "follows",
    lowering: { kind: "map", expression: "$0" },
    vjp: ([dy]) => [sumTo(dy!, x.shape)],
  }, [x]);
}
