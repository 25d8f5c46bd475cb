import assert from "node:assert/strict";
import { grad } from "../../src/grad.ts";
import { apply, inStage } from "../../src/op.ts";
import { dropPath } from "../../src/ops/drop_path.ts";
import { gather } from "../../src/ops/gather.ts";
import { add, exp, gelu, isFinite, mul, square } from "../../src/ops/map.ts";
import { linear } from "../../src/ops/matmul.ts";
import { sum } from "../../src/ops/reduce.ts";
import { compile } from "../../src/plan/plan.ts";
import { readAll } from "../../src/plan/read.ts";
import { inBlock, recompute, recomputingBlocks } from "../../src/recompute.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { leaves } from "../../src/tree.ts";
import { random, sameBits, sharedDevice, toTensor } from "../check_op.ts";

type Layer = { readonly w: Tensor; readonly b: Tensor };
type Args = { readonly x: Tensor; readonly draws: Tensor; readonly layers: Layer[] };
type Wrap = (fn: () => Tensor) => Tensor;

const [ROWS, WIDTH, DEPTH] = [64, 16, 4];
const args: Args = {
  x: toTensor(random([ROWS, WIDTH], 1)),
  draws: toTensor(random([ROWS, 1], 2)),
  layers: Array.from({ length: DEPTH }, (_, i) => ({
    w: toTensor(random([WIDTH, WIDTH], 10 + i)),
    b: toTensor(random([WIDTH], 20 + i)),
  })),
};

/** Loss and gradients of residual blocks that are wrapped in some way. */
function network(wrap: Wrap) {
  return ({ x, draws, layers }: Args) => {
    const y = layers.reduce(
      (x, { w, b }) =>
        inStage("block", () =>
          wrap(() => {
            const hidden = gelu(linear(gelu(linear(x, w, b)), w, b));
            return add(x, dropPath(exp(mul(hidden, 0.1)), draws, 0.3));
          })),
      x,
    );
    const loss = inStage("loss", () => sum(square(y)));
    return { loss, ...grad(loss, { x, layers }) };
  };
}

async function planned(wrap: Wrap) {
  const device = await sharedDevice();
  const plan = await compile(device, network(wrap), args);
  const values = await readAll(device, leaves<Tensor>(plan.run(args)));
  plan.destroy();
  return { values, plan, live: Math.max(...plan.live.map(({ bytes }) => bytes)) };
}

Deno.test("recompute() leaves every bit of values and gradients, and less in memory", async () => {
  const [kept, again] = [await planned((fn) => fn()), await planned(recompute)];
  kept.values.forEach((values, i) => sameBits(again.values[i], values, `result ${i}`));
  assert.ok(again.live < 0.6 * kept.live, `${again.live} of ${kept.live}`);
  assert.ok(again.plan.dispatches > kept.plan.dispatches);
});

Deno.test("recompute() nests", async () => {
  const [kept, again] = [
    await planned((fn) => fn()),
    await planned((fn) => recompute(() => recompute(fn))),
  ];
  kept.values.forEach((values, i) => sameBits(again.values[i], values, `result ${i}`));
});

Deno.test("recompute() computes a block right before its gradient, as a part of that", async () => {
  const { plan } = await planned(recompute);
  const stages = plan.describe().split("\n").map((line) =>
    line.replace(/^\d+ (block|loss)( backward)? .*/, "$1$2")
  );
  const runs = stages.filter((stage, i) => stage !== stages[i - 1]);
  assert.deepEqual(runs, ["block", "loss", "block backward"]);
  const products = (stage: string) =>
    plan.describe().split("\n").filter((line) => new RegExp(` ${stage} \\S*linear`).test(line));
  assert.equal(products("(block|loss)").length, 2 * DEPTH);
  assert.equal(products("block backward").length, 2 * DEPTH);
});

Deno.test("recompute() counts once what reaches a block by several ways", async () => {
  const values = async (wrap: Wrap) => {
    const [w, index] = [
      tensor([1, 2, 3, 4, 5, 6], [1, 3, 2]),
      tensor(Uint32Array.of(2, 0), [1, 2]),
    ];
    const x = mul(w, w); // older than the block, and made of what it takes too
    const restore = tensor(Uint32Array.of(1, 2, 0), [1, 3]);
    const first = wrap(() => exp(mul(gather(add(x, mul(w, 0.1)), index, restore), 0.1)));
    const second = wrap(() => mul(mul(first, sum(isFinite(x))), sum(w)));
    return (await readAll(await sharedDevice(), [grad(sum(second), w)]))[0];
  };
  sameBits(await values(recompute), await values((fn) => fn()));
});

Deno.test("recompute() differentiates only what is wanted", async () => {
  const [x, u] = [tensor([1, 2]), tensor([0.2, 0.9])];
  const oracle = { // has no gradient, and none is asked for
    ...{ name: "oracle", key: "oracle", outputs: [u], lowering: { kind: "view" } } as const,
  };
  const y = recompute(() => mul(x, apply(oracle, [u])));
  const [dx] = await readAll(await sharedDevice(), [grad(sum(y), x)]);
  assert.deepEqual([...dx], [...Float32Array.of(0.2, 0.9)]);
});

Deno.test("recompute() hands on what was made elsewhere", () => {
  const x = tensor([1]);
  assert.equal(recompute(() => x), x);
});

Deno.test("inBlock() recomputes inside of recomputingBlocks() alone", () => {
  const x = tensor([1]);
  const name = (y: Tensor) => y.source.kind === "result" && y.source.application.op.name;
  const make = () => inBlock(() => exp(x));
  assert.equal(name(make()), "exp");
  assert.equal(name(recomputingBlocks(true, make)), "recompute");
  assert.equal(name(recomputingBlocks(false, make)), "exp");
  assert.throws(() => recomputingBlocks(true, () => assert.fail()));
  assert.equal(name(make()), "exp");
});
