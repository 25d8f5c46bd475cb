import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { initializer } from "../../../src/init.ts";
import { initRpnHead, proposalLoss, rpnHead } from "../../../src/models/rpn.ts";
import type { Params } from "../../../src/optim.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key } from "../../../src/random.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { close, random, sharedDevice } from "../../check_op.ts";

const values = (shape: number[], seed: number) =>
  tensor(Float32Array.from(random(shape, seed).data), shape);

Deno.test("initRpnHead() has the names and shapes of detectron2", async () => {
  const { tensors } = await loadSafetensors("tests/golden/detection_ops.safetensors");
  const prefix = "rpn.param.";
  const expected = [...tensors].filter(([path]) => path.startsWith(prefix))
    .map(([path, { shape }]) => [path.slice(prefix.length), [...shape]]);
  const shapesOf = (params: Params) =>
    Object.fromEntries(entries<Tensor>(params).map(([path, { shape }]) => [path, [...shape]]));
  const draw = () => initializer(key(1));
  assert.deepEqual(shapesOf(initRpnHead(draw(), 6, 3, 2)), Object.fromEntries(expected));
  assert.deepEqual(Object.keys(shapesOf(initRpnHead(draw(), 6, 3))).slice(0, 2), [
    ...["conv.weight", "conv.bias"],
  ]);
});

Deno.test("rpnHead() treats every map alike, anchors of a cell side by side", async () => {
  const params = initRpnHead(initializer(key(1)), 4, 3);
  const map = values([2, 3, 5, 4], 1);
  const [one, two] = rpnHead(params, [map, map]);
  assert.deepEqual([[...one.logits.shape], [...one.deltas.shape]], [[2, 45], [2, 45, 4]]);
  const [a, b] = await readAll(await sharedDevice(), [one.deltas, two.deltas]);
  assert.deepEqual(a, b);
});

Deno.test("proposalLoss() counts sampled anchors alone, and the deltas of things", async () => {
  const outputs = [6, 4].map((A, i) => ({
    ...{ logits: values([2, A], i), deltas: values([2, A, 4], 5 + i) },
  }));
  const targets = [6, 4].map((A, i) => ({
    labels: tensor(Float32Array.from({ length: 2 * A }, (_, j) => (j + i) % 2), [2, A]),
    weights: tensor(Float32Array.from({ length: 2 * A }, (_, j) => j % 3 === 0 ? 1 : 0), [2, A]),
    deltas: values([2, A, 4], 9 + i),
  }));
  const { objectness, localisation } = proposalLoss(outputs, targets, 8);
  const logits = outputs.map(({ logits }) => logits);
  const deltas = outputs.map(({ deltas }) => deltas);
  const [found, distance, ...slopes] = await readAll(await sharedDevice(), [
    ...[objectness, localisation, ...grad(objectness, logits), ...grad(localisation, deltas)],
  ]);
  const host = ({ source }: Tensor) => (source as { data: Float32Array }).data;
  let [entropy, l1] = [0, 0];
  outputs.forEach((output, level) => {
    const { labels, weights, deltas: expected } = targets[level];
    host(output.logits).forEach((z, i) => {
      const [label, weight] = [host(labels)[i], host(weights)[i]];
      entropy += weight * Math.log(1 + Math.exp(label === 1 ? -z : z)) / 16;
      const isThing = label === 1 && weight === 1;
      for (let k = 4 * i; k < 4 * i + 4; k++) {
        if (isThing) l1 += Math.abs(host(output.deltas)[k] - host(expected)[k]) / 16;
        assert.equal(slopes[2 + level][k] !== 0, isThing);
      }
      assert.equal(slopes[level][i] !== 0, weight === 1);
    });
  });
  close([...found, ...distance], [entropy, l1], 1e-6);
});
