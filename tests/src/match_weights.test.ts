import assert from "node:assert/strict";
import { CheckpointError } from "../../src/checkpoint.ts";
import { describeMatch, matchWeights } from "../../src/match_weights.ts";
import { interpolatePositions } from "../../src/pos_embed.ts";
import { type Shape, sizeOf, type Tensor, tensor, zeros } from "../../src/tensor.ts";
import { entries, fromEntries, type Tree } from "../../src/tree.ts";
import { openWeights, type Weight } from "../../src/weights.ts";

/** A file's tensors: 1, 2, 3 … in each of them. */
function weights(shapes: Record<string, Shape>) {
  const weight = (shape: Shape): Weight => {
    const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => i + 1);
    const read = () => Promise.resolve(data);
    return { dtype: "float32", shape, values: read, elements: read };
  };
  const list = Object.entries(shapes).map(([name, shape]) => [name, weight(shape)] as const);
  return { tensors: new Map(list) };
}

const model = (shapes: Record<string, Shape>) =>
  fromEntries(Object.entries(shapes).map(([name, shape]) => [name, zeros(shape)]));

/** Values by path. */
function valuesOf(params: Tree<Tensor>): Record<string, number[]> {
  const list = entries<Tensor>(params).map(([name, { source }]) => {
    assert.ok(source.kind === "host");
    return [name, [...source.data]];
  });
  return Object.fromEntries(list);
}

Deno.test("matchWeights() loads what fits and tells the rest apart", async () => {
  const file = weights({
    "a.weight": [2],
    "b.weight": [2, 3],
    conv: [2, 3, 1, 1],
    head: [4],
    old: [1],
  });
  const like = model({ "a.weight": [2], "b.weight": [3, 2], conv: [2, 3], head: [5], new: [1] });
  const match = await matchWeights(file, like);
  assert.deepEqual(match.loaded, ["a.weight", "conv"]);
  assert.deepEqual(match.missing, [{ name: "new", shape: [1] }]);
  assert.deepEqual(match.unexpected, [{ name: "old", shape: [1] }]);
  assert.deepEqual(match.reshaped, [{ name: "conv", from: [2, 3, 1, 1], to: [2, 3] }]);
  assert.deepEqual(match.mismatched, [
    { name: "b.weight", from: [2, 3], to: [3, 2] }, // a transposed one has as many values
    { name: "head", from: [4], to: [5] },
  ]);
  assert.deepEqual(valuesOf(match.params), {
    "a.weight": [1, 2],
    "b.weight": [0, 0, 0, 0, 0, 0],
    conv: [1, 2, 3, 4, 5, 6],
    head: [0, 0, 0, 0, 0],
    new: [0],
  });
});

Deno.test("matchWeights() reads no tensor that the model does not take", async () => {
  const never = () => assert.fail("it was read");
  const unwanted: Weight = { dtype: "float32", shape: [1], values: never, elements: never };
  const { unexpected } = await matchWeights({ tensors: new Map([["old", unwanted]]) }, {});
  assert.equal(unexpected.length, 1);
});

Deno.test("matchWeights() interpolates positions of another grid, behind a class token", async () => {
  const shapes = { pos_embed: [1, 5, 2], decoder_pos_embed: [1, 5, 4] };
  const larger = { pos_embed: [1, 10, 2], decoder_pos_embed: [1, 10, 4], cls_token: [1, 1, 2] };
  const { params, reshaped, missing } = await matchWeights(weights(shapes), model(larger));
  assert.deepEqual(missing.map(({ name }) => name), ["cls_token"]);
  assert.ok(reshaped.length === 2 && reshaped.every(({ isInterpolated }) => isInterpolated));
  const table = Float32Array.from({ length: 10 }, (_, i) => i + 1);
  const expected = [...interpolatePositions(table, [2, 2], [3, 3], 1)];
  assert.deepEqual(valuesOf(params).pos_embed, expected);
});

Deno.test("matchWeights() takes grids that are no squares as they are given", async () => {
  const [file, like] = [weights({ pos_embed: [1, 16, 2] }), model({ pos_embed: [1, 16, 2] })];
  const table = Float32Array.from({ length: 32 }, (_, i) => i + 1);
  const moved = async (options: Parameters<typeof matchWeights>[2]) =>
    valuesOf((await matchWeights(file, like, options)).params).pos_embed;
  assert.deepEqual(await moved({}), [...table]);
  assert.deepEqual(await moved({ grid: [4, 4] }), [...table]);
  assert.deepEqual(await moved({ grid: [2, 8] }), [...interpolatePositions(table, [4, 4], [2, 8])]);
  assert.deepEqual(
    await moved({ fileGrid: [8, 2], grid: [4, 4] }),
    [...interpolatePositions(table, [8, 2], [4, 4])],
  );
  const wide = weights({ pos_embed: [1, 6, 2] });
  await assert.rejects(
    matchWeights(wide, like),
    new CheckpointError("pos_embed has 6 positions, which are no grid of equal sides"),
  );
  await assert.rejects(
    matchWeights(wide, like, { fileGrid: [2, 2] }),
    new CheckpointError("pos_embed has 6 positions, which are no grid of 2 × 2"),
  );
  const { reshaped } = await matchWeights(wide, like, { fileGrid: [2, 3] });
  assert.deepEqual(reshaped.map(({ from, to }) => [from, to]), [[[1, 6, 2], [1, 16, 2]]]);
});

Deno.test("describeMatch() counts by groups of names, in ten lines at most", async () => {
  using file = await openWeights("tests/golden/checkpoint_pretrain_legacy.pth");
  const own = [...file.tensors].filter(([name]) => !/^(decoder|mask|stage|norm)/.test(name));
  const like = fromEntries([
    ...own.map(([name, { shape }]) => [name, zeros(shape)] as const),
    ["fc_norm.weight", zeros([16])],
    ["fc_norm.bias", zeros([16])],
    ["head.weight", tensor(new Float32Array(160), [10, 16])],
    ["pos_embed", zeros([1, 4, 16])],
    ["patch_embed4.weight", zeros([16, 8])],
    ["patch_embed4.bias", zeros([8])],
  ]);
  const grown = {
    tensors: new Map(file.tensors).set("pos_embed", weights({ x: [1, 9, 16] }).tensors.get("x")!),
  };
  assert.deepEqual(describeMatch(await matchWeights(grown, like)).split("\n"), [
    `${own.length - 2} of ${own.length + 3} parameters are loaded`,
    "Interpolated: pos_embed [1,9,16] → [1,4,16]",
    "Of another shape: patch_embed4.weight [16,16] → [16,8] and 1 more",
    "Not in the file: fc_norm.*: 2, head.weight",
    "Left out of the file: mask_token, decoder_pos_embed, stage1_output_decode.*: 2, " +
    "stage2_output_decode.*: 2, norm.*: 2, decoder_embed.*: 2, decoder_blocks.*: 12, " +
    "decoder_norm.*: 2, decoder_pred.*: 2",
  ]);
  const all = await matchWeights(file, fromEntries([["norm.weight", zeros([16])]]));
  assert.equal(describeMatch(all).split("\n")[0], "1 of 1 parameters are loaded");
});
