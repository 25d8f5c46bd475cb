import assert from "node:assert/strict";
import { initializer } from "../../../src/init.ts";
import { grad } from "../../../src/grad.ts";
import { byRunning } from "../../../src/models/batch_norm.ts";
import { featurePyramid, initFpn } from "../../../src/models/fpn.ts";
import type { NormKind } from "../../../src/models/normed_convolution.ts";
import { sum } from "../../../src/ops/reduce.ts";
import type { Params } from "../../../src/optim.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key } from "../../../src/random.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { entries } from "../../../src/tree.ts";
import { random, sharedDevice } from "../../check_op.ts";

const maps = (channels: number, height = 32, width = 48) =>
  [1, 2, 4, 8].map((step, i) => {
    const shape = [1, height / step, width / step, channels + i];
    return tensor(Float32Array.from(random(shape, i).data), shape);
  });

const shapesOf = (params: Params) =>
  Object.fromEntries(entries<Tensor>(params).map(([path, { shape }]) => [path, [...shape]]));

Deno.test("initFpn() has the names and shapes of detectron2, with every norm", async () => {
  const { tensors } = await loadSafetensors("tests/golden/detection_ops.safetensors");
  for (const [name, kind] of [["plain", "none"], ["bn", "BN"], ["ln", "LN"]] as const) {
    const prefix = `fpn.${name}.param.`;
    const expected = [...tensors].filter(([path]) => path.startsWith(prefix))
      .map(([path, { shape }]) => [path.slice(prefix.length), [...shape]]);
    const params = initFpn(initializer(key(1)), [4, 6, 8, 8], 8, kind);
    assert.deepEqual(shapesOf(params), Object.fromEntries(expected));
  }
});

Deno.test("featurePyramid() gives five maps of one width, the last every second cell of the fourth", async () => {
  for (const kind of ["none", "BN", "LN"] satisfies NormKind[]) {
    const params = initFpn(initializer(key(1)), [3, 4, 5, 6], 8, kind);
    const pyramid = featurePyramid(params, maps(3), byRunning);
    assert.deepEqual(pyramid.map(({ shape }) => [...shape]), [
      ...[[1, 32, 48, 8], [1, 16, 24, 8], [1, 8, 12, 8], [1, 4, 6, 8], [1, 2, 3, 8]],
    ]);
    const [p5, p6] = await readAll(await sharedDevice(), pyramid.slice(3));
    const cell = (i: number) => {
      const [row, column] = [Math.floor(i / 3), i % 3];
      return p5.subarray(8 * (12 * row + 2 * column), 8 * (12 * row + 2 * column + 1));
    };
    for (let i = 0; i < 6; i++) assert.deepEqual(p6.subarray(8 * i, 8 * i + 8), cell(i));
  }
});

Deno.test("featurePyramid() hands a coarse map down to all finer ones, and none up", async () => {
  const params = initFpn(initializer(key(1)), [3, 4, 5, 6], 8, "none");
  const inputs = maps(3);
  const pyramid = featurePyramid(params, inputs, byRunning);
  const slopes = pyramid.slice(0, 4).flatMap((map) => grad(sum(map), inputs));
  const values = await readAll(await sharedDevice(), slopes);
  const reaches = values.map((slope) => slope.some((value) => value !== 0));
  const expected = [0, 1, 2, 3].flatMap((to) => [0, 1, 2, 3].map((from) => from >= to));
  assert.deepEqual(reaches, expected);
});

Deno.test("featurePyramid() refuses a map that is not twice as large as the next", () => {
  const params = initFpn(initializer(key(1)), [3, 3, 3, 3], 8, "none");
  const odd = [[1, 30, 48], [1, 15, 24], [1, 8, 12], [1, 4, 6]].map((sides) =>
    zeros([...sides, 3])
  );
  assert.throws(() => featurePyramid(params, odd, byRunning), {
    name: "RangeError",
    message: "Cannot enlarge a map [1,8,12,8] to [1,15,24,8]: not twice as large",
  });
});
