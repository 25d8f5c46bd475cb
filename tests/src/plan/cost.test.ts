import assert from "node:assert/strict";
import { blankTask } from "../../../pipelines/blank_task.ts";
import { override } from "../../../pipelines/recipe.ts";
import { findPretrainRecipe } from "../../../pipelines/recipes/mod.ts";
import { planStep } from "../../../pipelines/step_plan.ts";
import type { Adapter } from "../../../src/device.ts";
import { grad, pullback } from "../../../src/grad.ts";
import type { Op } from "../../../src/op.ts";
import { attention } from "../../../src/ops/attention.ts";
import { depthwise, maskedDepthwise } from "../../../src/ops/depthwise.ts";
import { gather } from "../../../src/ops/gather.ts";
import { gelu, mul } from "../../../src/ops/map.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sumOfSquares } from "../../../src/ops/reduce.ts";
import { reshape } from "../../../src/ops/shape.ts";
import { costsOf, totalOf } from "../../../src/plan/cost.ts";
import { draft } from "../../../src/plan/draft.ts";
import { type Tensor, zeros } from "../../../src/tensor.ts";
import type { Tree } from "../../../src/tree.ts";

const limits = { bindingBytes: 2 ** 31, bindings: 8, workgroups: 65535 };
const GPU: Adapter = { name: "a GPU", target: { cpu: false, broadcast: false }, limits };
const CPU: Adapter = { name: "a CPU", target: { cpu: true, broadcast: true }, limits };

/** What a function's groups cost, and their steps. */
function counted<Args extends Tree<Tensor>>(
  adapter: Adapter,
  fn: (args: Args) => Tree<Tensor>,
  args: Args,
) {
  const drafted = draft(adapter, fn, args);
  const costs = costsOf(adapter.target, drafted);
  const ops = drafted.groups.flatMap(({ steps }) => steps.map(({ op }) => op));
  return { costs, ops };
}

Deno.test("costsOf() counts a product, and what ends it, with operands once", () => {
  const args = { a: zeros([4, 8, 16]), b: zeros([4, 16, 32]) };
  const [A, B, C] = [4 * 8 * 16, 4 * 16 * 32, 4 * 8 * 32];
  const product = 2 * 4 * 8 * 16 * 32;
  const fn = ({ a, b }: typeof args) => ({ y: gelu(matmul(a, b)) });
  // A GPU never stores the product itself.
  assert.deepEqual(counted(GPU, fn, args).costs, [
    { stage: "", family: "matmul", flops: product + C, bytes: 4 * (A + B + C) },
  ]);
  assert.deepEqual(counted(CPU, fn, args).costs, [
    { stage: "", family: "matmul", flops: product, bytes: 4 * (A + B + C) },
    { stage: "", family: "elementwise", flops: C, bytes: 4 * (C + C) },
  ]);
  const square = counted(GPU, ({ a }) => ({ y: matmul(a, a, { transposeB: true }) }), args);
  assert.equal(totalOf(square.costs).bytes, 4 * (A + 4 * 8 * 8));
});

Deno.test("costsOf() counts views as nothing, and copies as bytes alone", () => {
  const indices = { keep: zeros([2, 3], "u32"), restore: zeros([2, 6], "u32") };
  const args = { x: zeros([2, 6, 4]), ...indices };
  const { costs } = counted(
    GPU,
    ({ x, keep, restore }) => ({ y: reshape(gather(x, keep, restore), [6, 4]) }),
    args,
  );
  // `restore` is the gradient's.
  assert.deepEqual(costs, [
    { stage: "", family: "gather", flops: 0, bytes: 4 * (2 * 6 * 4 + 2 * 3 + 2 * 3 * 4) },
  ]);
});

/** Operations of the matrix products that an op is split in on CPU adapters. */
function productsOf({ lowering }: Op): number {
  assert.ok(lowering.kind === "kernel");
  return lowering.dispatches(CPU.target).filter(({ kernel }) => kernel.startsWith("matmul"))
    .reduce(
      (sum, { constants: { M, N, K }, workgroups: [, , batch] }) =>
        sum + 2 * Number(M) * Number(N) * Number(K) * batch,
      0,
    );
}

Deno.test("costsOf() counts attention alike in one kernel and in products", () => {
  const [n, L, heads, D] = [3, 1024, 2, 4]; // in two chunks
  const scores = n * heads * L * L;
  const args = { qkv: zeros([n, L, 3 * heads * D]), dy: zeros([n, L, heads * D]) };
  const fn = ({ qkv, dy }: typeof args) =>
    pullback([attention(qkv, heads)], [dy], [qkv]) as [Tensor];
  for (const adapter of [GPU, CPU]) {
    const { costs, ops } = counted(adapter, fn, args);
    assert.deepEqual(costs.map(({ family, flops }) => [family, flops]), [
      ["attention", scores * (4 * D + 5)],
      ["attention", scores * (8 * D + 4)],
    ]);
    // Forward two products; backward four, besides the weights' that were not kept.
    assert.deepEqual(ops.map(productsOf), [scores * 4 * D, scores * (8 + 2) * D]);
  }
  // Forward on a GPU: no scores move; qkv, the result, and two moments of each query do.
  const { costs: [forward] } = counted(GPU, fn, args);
  assert.equal(forward.bytes, 4 * n * L * heads * (3 * D + D + 2));
});

Deno.test("costsOf() counts every tap of a depthwise convolution's cells, visible ones alone", () => {
  const [weight, bias] = [zeros([8, 1, 3, 3]), zeros([8])];
  const flopsOf = (x: Tensor, fn: (x: Tensor, weight: Tensor, bias: Tensor) => Tensor) => {
    const both = ({ x, weight, bias }: Record<"x" | "weight" | "bias", Tensor>) =>
      grad(sumOfSquares(fn(x, weight, bias)), { x, weight, bias });
    const { costs } = counted(GPU, both, { x, weight, bias });
    return costs.filter(({ family }) => family === "depthwise").map(({ flops }) => flops);
  };
  const cells = (count: number) => {
    const values = 8 * count;
    return [2 * 9 * values, 2 * 9 * values, (2 * 9 + 1) * values].toSorted();
  };
  assert.deepEqual(flopsOf(zeros([1, 6, 6, 8]), depthwise).toSorted(), cells(36));
  const grid = [3, 3] as const;
  const blocks = { keep: zeros([1, 2], "u32"), restore: zeros([1, 9], "u32"), grid };
  const masked = flopsOf(zeros([1, 2, 2, 2, 8]), (...args) => maskedDepthwise(...args, blocks));
  assert.deepEqual(masked.toSorted(), cells(2 * 4));
});

Deno.test("costsOf() counts an elementwise step for every value of its result", () => {
  const { costs } = counted(GPU, ({ x, y }) => ({ z: mul(mul(x, y), 2) }), {
    ...{ x: zeros([5, 1]), y: zeros([1, 7]) },
  });
  assert.deepEqual(costs, [
    { stage: "", family: "elementwise", flops: 2 * 35, bytes: 4 * (5 + 7 + 35) },
  ]);
});

/**
 * Operations of a step of MCMAE-B on one image of 224², by family: convolution stages on `cells` of the
 * 196 final tokens, the encoder's transformer on the 49 visible ones, the decoder on all.
 */
function formula(cells: number) {
  const [visible, all] = [49, 196];
  const [C1, C2, C3, D] = [256, 384, 768, 512];
  const linear = (rows: number, inputs: number, outputs: number) => 2 * rows * inputs * outputs;
  /** Two 1×1 convolutions and an MLP of ratio 4; depthwise in the middle. */
  const convolution = (rows: number, C: number) => 2 * rows * (1 + 1 + 4 + 4) * C * C;
  /** qkv, projection, MLP; attention in the middle. */
  const transformer = (rows: number, C: number) => 2 * rows * (3 + 1 + 4 + 4) * C * C;
  const embedding = linear(16 * cells, 3 * 4 * 4, C1);
  const others = 2 * convolution(16 * cells, C1) +
    linear(4 * cells, 2 * 2 * C1, C2) + 2 * convolution(4 * cells, C2) +
    linear(cells, 2 * 2 * C2, C3) + linear(cells, C3, C3) +
    linear(cells, 4 * 4 * C1, C3) + linear(cells, 2 * 2 * C2, C3) + // to the decoder
    11 * transformer(visible, C3) +
    linear(visible, C3, D) + 8 * transformer(all, D) + linear(all, D, 16 * 16 * 3);
  /** Q Kᵀ and weights V forward, four more backward; softmax costs 5 and 4 a score. */
  const mixing = (L: number, heads: number, C: number) => L * L * (6 * 2 * C + (5 + 4) * heads);
  const taps = 2 * 5 * 5;
  return {
    // A layer has two gradients; pixels need none.
    matmul: 2 * embedding + 3 * others,
    attention: 11 * mixing(visible, 12, C3) + 8 * mixing(all, 16, D),
    depthwise: 2 * (3 * taps + 1) * (16 * cells * C1 + 4 * cells * C2),
  };
}

Deno.test("planStep() counts MCMAE-B at 75 % as a formula does, dense and visible-only", async () => {
  const flops: number[] = [];
  for (const [evaluation, cells] of [["visible", 49], ["dense", 196]] as const) {
    const fields = ["batch.micro=1", `model.evaluation=${evaluation}`];
    const recipe = override(findPretrainRecipe("mcmae_base"), fields);
    const { cost, families, stages } = await planStep(CPU, blankTask(recipe, 1));
    const expected = formula(cells);
    for (const [name, flops] of Object.entries(expected)) {
      assert.equal(families.find(({ family }) => family === name)?.flops, flops, name);
    }
    assert.deepEqual(totalOf(families), cost);
    assert.deepEqual(totalOf(stages.map(({ cost }) => cost)), cost);
    const rest = cost.flops - expected.matmul - expected.attention - expected.depthwise;
    assert.ok(rest > 0 && rest < 0.05 * cost.flops, `${rest / cost.flops} of all`);
    flops.push(cost.flops);
  }
  const [visible, dense] = flops;
  assert.ok(dense / visible > 1.5 && dense / visible < 1.6, `${dense / visible}`);
});

Deno.test("planStep() counts every micro-batch of a step", async () => {
  const attentionOf = async (...fields: string[]) => {
    const recipe = override(findPretrainRecipe("quickstart"), fields);
    const { families } = await planStep(GPU, blankTask(recipe, 1));
    return families.find(({ family }) => family === "attention")?.flops;
  };
  assert.equal(
    await attentionOf("batch.micro=4", "batch.effective=12"),
    await attentionOf("batch.micro=12"),
  );
});
