import assert from "node:assert/strict";
import {
  abs,
  add,
  broadcastTo,
  div,
  elementwise,
  exp,
  gelu,
  isFinite,
  literal,
  log,
  maximum,
  minimum,
  mul,
  sigmoid,
  sqrt,
  square,
  sub,
  where,
} from "../../../src/ops/map.ts";
import { grad } from "../../../src/grad.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { read, readAll } from "../../../src/plan/read.ts";
import { type Shape, tensor, zeros } from "../../../src/tensor.ts";
import {
  checkOp,
  type CheckOptions,
  elementwiseReference,
  sameBits,
  sharedDevice,
} from "../../check_op.ts";

/** erf by its series of positive terms, 2/√π e^(−x²) Σ 2ⁿ x^(2n+1) / (2n+1)!!. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 300; n++) total += term *= 2 * x * x / (2 * n + 1);
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * total;
}

const gaussian = (x: number) => 0.5 * x * (1 + erf(x / Math.SQRT2));

Deno.test("mul() broadcasts every pattern of axes, with rows of fours and without", async (t) => {
  const multiply = elementwiseReference((a, b) => a * b);
  const patterns: [name: string, a: Shape, b: Shape][] = [
    ["equal, fours", [3, 8], [3, 8]],
    ["equal, odd", [3, 5], [3, 5]],
    ["one value", [1], [1]],
    ["scalar, fours", [2, 6], []],
    ["scalar, odd", [], [7]],
    ["last axis, fours", [3, 8], [8]],
    ["last axis, odd", [3, 2, 5], [5]],
    ["leading axes, fours", [3, 2, 4], [3, 1, 1]],
    ["leading axes, odd", [3, 2, 3], [3, 2, 1]],
    ["middle axis, fours", [2, 3, 4], [1, 3, 1]],
    ["middle axis, odd", [2, 4, 5], [4, 1]],
    ["[N, 1, C], fours", [2, 3, 8], [2, 1, 8]],
    ["[N, 1, C], odd", [2, 3, 7], [2, 1, 7]],
    ["[N, L, 1], fours", [2, 3, 4], [2, 3, 1]],
    ["[N, L, 1], odd", [2, 3, 7], [2, 3, 1]],
    ["rows of two, in fours of results", [4, 3, 2], [4, 1, 2]],
    ["interleaved, fours", [2, 2, 4, 3, 4], [2, 2, 1, 3, 1]],
    ["interleaved, twos", [2, 3, 2, 2, 2], [2, 3, 1, 2, 1]],
    ["both sides", [3, 1, 4], [1, 5, 4]],
    ["both sides, odd", [3, 1], [1, 5]],
  ];
  for (const [name, a, b] of patterns) await t.step(name, () => checkOp(mul, multiply, [a, b]));
});

Deno.test("broadcastTo() repeats axes, and its gradient adds over them", () =>
  checkOp(
    (x) => broadcastTo(x, [2, 3, 2, 5, 2]),
    elementwiseReference((x) => x, [2, 3, 2, 5, 2]),
    [[2, 3, 1, 5, 1]],
  ));

Deno.test("Elementwise ops match float64 and their gradients", async (t) => {
  type Case = [
    name: string,
    op: Parameters<typeof checkOp>[0],
    reference: (...values: number[]) => number,
    shapes: Shape[],
    options?: CheckOptions,
  ];
  const positive = { draw: (z: number) => 0.5 + Math.abs(z) };
  // WGSL grants exp, log and the square root several units in the last place.
  const transcendental = { ...positive, forward: 2e-6 };
  const cases: Case[] = [
    ["add", (a, b) => add(add(a, 2), add(-1.5, b)), (a, b) => a + b + 0.5, [[3, 4], [4]]],
    ["sub", (a, b) => sub(sub(1, a), sub(b, 3)), (a, b) => 4 - a - b, [[3, 4], [3, 1]]],
    ["mul", (a, b) => mul(mul(-0.5, a), b), (a, b) => -0.5 * a * b, [[3, 4], [3, 4]]],
    ["div", (a, b) => add(div(a, b), div(2, b)), (a, b) => (a + 2) / b, [[3, 5], [5]], positive],
    ["maximum", maximum, Math.max, [[3, 4], [3, 4]]],
    ["minimum", (a) => minimum(a, 0.25), (a) => Math.min(a, 0.25), [[3, 5]]],
    ["where", (a, b) => where(sub(a, 0.1), a, b), (a, b) => a > 0.1 ? a : b, [[3, 5], [3, 1]]],
    ["exp", exp, Math.exp, [[3, 4]], transcendental],
    ["log", log, Math.log, [[3, 4]], transcendental],
    ["sqrt", sqrt, Math.sqrt, [[3, 4]], transcendental],
    ["abs", abs, Math.abs, [[3, 5]]],
    ["sigmoid", sigmoid, (x) => 1 / (1 + Math.exp(-x)), [[3, 5]], { forward: 2e-6 }],
    ["square", square, (x) => x * x, [[3, 5]]],
    ["gelu", gelu, gaussian, [[5, 8]], { forward: 2e-6 }], // erf is a fit
  ];
  for (const [name, op, reference, shapes, options] of cases) {
    await t.step(name, () => checkOp(op, elementwiseReference(reference), shapes, options));
  }
});

Deno.test("gelu() and its slope are accurate to 4e-7 · max(1, |x|) on [-6, 6], erf to 4e-7", async () => {
  const points = Float32Array.from({ length: 12001 }, (_, i) => (i - 6000) / 1000);
  const x = tensor(points);
  const y = gelu(x);
  const device = await sharedDevice();
  const slopes = elementwise("gelu_slope", "gelu_slope($0)", [x]);
  const [curve, values, slope] = await readAll(device, [
    elementwise("erf", "erf($0)", [x]),
    y,
    slopes,
  ]);
  let worst = [0, 0, 0];
  points.forEach((x, i) => {
    const density = Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    worst = [
      curve[i] - erf(x),
      (values[i] - gaussian(x)) / Math.max(1, Math.abs(x)),
      (slope[i] - (0.5 * (1 + erf(x / Math.SQRT2)) + x * density)) / Math.max(1, Math.abs(x)),
    ].map((error, k) => Math.max(worst[k], Math.abs(error)));
  });
  assert.ok(worst.every((error) => error <= 4e-7), `errors of erf, gelu and its slope: ${worst}`);
});

Deno.test("sigmoid() is 0 and 1 far from 0, and abs() has no slope there", async () => {
  const x = tensor([-200, 0, 200]);
  const device = await sharedDevice();
  assert.deepEqual([...await read(device, sigmoid(x))], [0, 0.5, 1]);
  assert.deepEqual([...await read(device, grad(sum(abs(x)), [x])[0])], [-1, 0, 1]);
});

Deno.test("isFinite() tells infinities and NaN from numbers, in both lanes", async () => {
  const values = [0, -1, 3.4e38, 1e-45, Infinity, -Infinity, NaN, 1];
  const device = await sharedDevice();
  const expected = values.map((value) => Number(Number.isFinite(value)));
  assert.deepEqual([...await read(device, isFinite(tensor(values)))], expected);
  assert.deepEqual([...await read(device, isFinite(tensor(values.slice(1))))], expected.slice(1));
});

Deno.test("maximum() and minimum() give the gradient to the first of two equal values", async () => {
  const [a, b] = [tensor([1, 2, 3]), tensor([1, 3, 2])];
  const device = await sharedDevice();
  const sumOf = (x: typeof a) => grad(sum(x), [a, b]);
  const slopes = [...sumOf(maximum(a, b)), ...sumOf(minimum(a, b))];
  const found = (await readAll(device, slopes)).map((slope) => [...slope]);
  assert.deepEqual(found, [[1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1]]);
});

Deno.test("mul() covers more elements than one row of 65535 workgroups holds", async () => {
  const size = 65535 * 64 + 5; // odd, so that one invocation takes one element
  const x = Float32Array.from({ length: size }, (_, i) => i % 1013);
  const y = await read(await sharedDevice(), mul(tensor(x), 3));
  sameBits(y, x.map((value) => 3 * value));
});

Deno.test("literal() writes what reads back as the same f32", () => {
  for (const value of [0, 1, -2.5, 0.1, 1e-7, 3e38, 16777217, -1e-45]) {
    const text = literal(value).replaceAll(/[()]/g, "");
    assert.match(text, /[.e]/); // else WGSL takes it for an integer
    assert.equal(Math.fround(Number(text)), Math.fround(value));
  }
  for (const value of [NaN, Infinity, 1e39]) assert.throws(() => literal(value), RangeError);
});

Deno.test("Elementwise ops refuse shapes that do not broadcast, and indices", () => {
  assert.throws(() => add(zeros([2, 3]), zeros([2, 4])), {
    name: "RangeError",
    message: "Cannot broadcast shapes [2,3] and [2,4]",
  });
  assert.throws(() => broadcastTo(zeros([2, 3]), [2, 1]), RangeError);
  assert.throws(() => mul(zeros([2], "u32"), 2), {
    name: "TypeError",
    message: "Cannot compute mul of u32 values: it takes f32",
  });
});
