import assert from "node:assert/strict";
import {
  add,
  broadcastTo,
  maximum,
  minimum,
  mul,
  square,
  sub,
  where,
} from "../../../src/ops/map.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { reshape } from "../../../src/ops/shape.ts";
import { fuse, type Fusion } from "../../../src/plan/fuse.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { trace } from "../../../src/plan/trace.ts";
import { fold, key, uniform } from "../../../src/random.ts";
import { type Shape, type Tensor, tensor } from "../../../src/tensor.ts";
import { close, random, sameBits, sharedDevice, toTensor } from "../../check_op.ts";

/** Shapes of 24 values, and operands that broadcast to them. */
const FULL: Shape[] = [[2, 3, 4], [6, 4], [4, 6], [24], [3, 2, 4], [2, 12]];
const SMALL: Shape[] = [[], [4], [1], [2, 1], [3, 1], [2, 1, 1], [6, 1], [2, 1, 4], [12], [4, 1], [
  3,
  1,
  4,
]];

const SQUARE = toTensor(random([4, 4], 99));

/** A random graph of elementwise ops, views and the odd sum, over some inputs. */
function randomGraph(seed: number, inputs: readonly Tensor[]): Tensor[] {
  const draws = uniform(fold(key(3), seed), 500);
  let next = 0;
  const pick = <T>(list: readonly T[]): T => list[Math.floor(draws[next++] * list.length)];
  const full = inputs.filter(({ shape }) => FULL.includes(shape));
  const small = inputs.filter(({ shape }) => SMALL.includes(shape));
  const pool = [...full];
  for (let i = 0; i < 14; i++) {
    const x = pick(pool.slice(-5));
    const fits = [...small, ...pool].filter(({ shape }) => broadcasts(shape, x.shape));
    const [y, z] = [pick(fits), pick(fits)];
    const choices: (() => Tensor)[] = [
      () => add(x, y),
      () => sub(y, x),
      () => mul(x, y),
      () => maximum(x, mul(y, 0.5)),
      () => minimum(square(x), y),
      () => where(y, x, z),
      () => reshape(x, pick(FULL)),
      () => reshape(add(x, y), pick(FULL)),
      () => reshape(x, pick(FULL)),
      () => add(x, broadcastTo(sum(x, [0], true), x.shape)),
      // A product of 24 values, as all here.
      () => matmul(reshape(x, [6, 4]), SQUARE),
      () => reshape(matmul(SQUARE, reshape(x, [4, 6]), { transposeA: true }), pick(FULL)),
    ];
    pool.push(pick(choices)());
  }
  return [pool.at(-1)!, pick(pool), pick(pool)];
}

function broadcasts(from: Shape, to: Shape): boolean {
  return from.length <= to.length &&
    from.every((size, i) => size === 1 || size === to[to.length - from.length + i]);
}

const inputs = [...FULL.slice(0, 3), ...SMALL].map((shape, i) => toTensor(random(shape, i)));

Deno.test("compile() gives the same bits fused and unfused, on random elementwise graphs", async () => {
  const device = await sharedDevice();
  let saved = 0;
  for (let seed = 0; seed < 30; seed++) {
    const run = async (fuse: Fusion) => {
      const plan = await compile(device, (args) => randomGraph(seed, args), inputs, { fuse });
      // Compilers may drop the sign of zero, as in x · 0.
      const values = (await readAll(device, plan.run(inputs))).map((y) => y.map((v) => v + 0));
      plan.destroy();
      return { values, dispatches: plan.dispatches };
    };
    const [fused, plain] = [await run("all"), await run("none")];
    fused.values.forEach((y, i) => {
      const what = `graph ${seed}, result ${i}`;
      // Without the compiler's leave to contract a · b + c, which GPUs take.
      if (device.target.cpu) sameBits(y, plain.values[i], what);
      else close(y, plain.values[i], 1e-5, what);
    });
    saved += plain.dispatches - fused.dispatches;
  }
  assert.ok(saved > 100, `only ${saved} dispatches saved`);
});

Deno.test("compile() reads an operand by each shape that it is broadcast to", async () => {
  // [2, 1] repeats each value six times in [2, 6], but by turns of two in [3, 2, 2].
  const [x, a] = [
    tensor(Float32Array.from({ length: 12 }, (_, i) => i), [2, 6]),
    tensor([100, 200], [2, 1]),
  ];
  const plan = await compile(
    await sharedDevice(),
    ({ x, a }) => add(reshape(add(x, a), [3, 2, 2]), a),
    { x, a },
  );
  assert.equal(plan.dispatches, 1);
  const [y] = await readAll(await sharedDevice(), [plan.run({ x, a })]);
  const expected = y.map((_, i) => i + (i < 6 ? 100 : 200) + (i % 4 < 2 ? 100 : 200));
  assert.deepEqual([...y], [...expected]);
});

Deno.test("fuse() binds no more operands than the adapter takes", () => {
  const operands = Array.from({ length: 12 }, (_, i) => tensor([i, 1]));
  const graph = trace([operands.reduce((total, x) => add(total, x))]);
  for (const limit of [4, 8, 32]) {
    const groups = fuse(graph, limit);
    const bound = groups.map(({ inputs, outputs }) => inputs.length + outputs.length);
    assert.ok(bound.every((count) => count <= limit), `${bound} operands, limit ${limit}`);
    assert.equal(groups.length, Math.ceil(11 / (limit - 2)));
  }
});

Deno.test("fuse() runs every group after what it needs, and every step once", () => {
  for (let seed = 0; seed < 200; seed++) {
    const graph = trace(randomGraph(seed, inputs));
    const known = new Set(graph.values.keys().filter((value) => graph.values[value].source));
    const groups = fuse(graph, 8);
    for (const { inputs, outputs } of groups) {
      for (const { value } of inputs) {
        assert.ok(known.has(value), `graph ${seed}: ${value} is early`);
      }
      outputs.forEach((value) => known.add(value));
    }
    assert.equal(groups.flatMap(({ steps }) => steps).length, graph.steps.length);
    assert.ok(graph.results.every((value) => known.has(value)));
  }
});

Deno.test("trace() makes one step of equal ops on equal inputs, and none of what nobody needs", () => {
  const x = tensor([1, 2, 3, 4], [2, 2]);
  add(x, 7); // unused
  const y = add(square(x), square(x));
  const names = (tensors: Tensor[]) => trace(tensors).steps.map(({ op }) => op.name);
  assert.deepEqual(names([y]), ["square", "add"]);
  // Another shape, another constant or another op is another step.
  assert.deepEqual(names([square(x), square(reshape(x, [4]))]), ["square", "square"]);
  assert.deepEqual(names([add(x, 1), add(x, 2), add(x, 1)]), ["add", "add"]);
  assert.deepEqual(names([sum(x, [0]), sum(x, [1]), sum(x, [0])]), ["sum", "sum"]);
});
