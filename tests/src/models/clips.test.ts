import assert from "node:assert/strict";
import { type ClipSettings, cubeTarget } from "../../../src/models/clips.ts";
import { cubify } from "../../../src/models/patches.ts";
import { type Shape, zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

const [SIZE, FRAMES] = [4, 2];

/** Pixel `[frame, row, col, channel]` of a cube's value. */
function pixelOf(slot: number, row: number, col: number, value: number, C: number) {
  const [channel, x, y, t] = [
    value % C,
    Math.floor(value / C) % SIZE,
    Math.floor(value / C / SIZE) % SIZE,
    Math.floor(value / C / SIZE / SIZE),
  ];
  return [slot * FRAMES + t, row * SIZE + y, col * SIZE + x, channel] as const;
}

function cubes(x: Values): Values {
  const [N, T, H, W, C] = x.shape;
  const shape: Shape = [N, T / FRAMES, H / SIZE, W / SIZE, FRAMES * SIZE * SIZE * C];
  return fill(shape, (n, slot, row, col, i) => at(x, n, ...pixelOf(slot, row, col, i, C)));
}

Deno.test("cubify() cuts clips into cubes of (frame, row, column, channel), with its gradient", () =>
  checkOp((x) => cubify(x, FRAMES, SIZE), cubes, [[2, 4, 8, 12, 3]]));

Deno.test("cubify() refuses sizes that do not divide the clip", () => {
  assert.throws(() => cubify(zeros([1, 3, 8, 8, 3]), 2, 4), {
    name: "RangeError",
    message: "Cannot cut 3 × 8 × 8 into cubes of 2 × 4 × 4",
  });
});

const settings: Pick<ClipSettings, "tubelet" | "channels" | "mean" | "std" | "normPix"> = {
  ...{ tubelet: FRAMES, channels: 3, normPix: true },
  mean: [0.485, 0.456, 0.406],
  std: [0.229, 0.224, 0.225],
};

/** VideoMAE's target, as its engine makes it of normalised clips. */
function targets({ normPix }: { normPix: boolean }) {
  return (clip: Values): Values => {
    const pixels = fill(
      clip.shape,
      (n, t, h, w, c) => at(clip, n, t, h, w, c) * settings.std[c] + settings.mean[c],
    );
    const cut = cubes(pixels);
    const [N, S, GH, GW, P] = cut.shape;
    const flat: Values = { data: cut.data, shape: [N, S * GH * GW, P] };
    if (!normPix) return flat;
    return fill(flat.shape, (n, token, i) => {
      const own = Array.from({ length: P / 3 }, (_, p) => at(flat, n, token, p * 3 + i % 3));
      const mean = own.reduce((sum, x) => sum + x) / own.length;
      const variance = own.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (own.length - 1);
      return (at(flat, n, token, i) - mean) / (Math.sqrt(variance) + 1e-6);
    });
  };
}

for (const normPix of [true, false]) {
  Deno.test(`cubeTarget() matches its float64 reference, normPix = ${normPix}`, () =>
    checkOp(
      (clip) => cubeTarget(clip, { ...settings, normPix }, SIZE),
      targets({ normPix }),
      [[1, 2, 8, 8, 3]],
    ));
}

Deno.test("cubeTarget() stands cubes of little contrast", () =>
  checkOp(
    (clip) => cubeTarget(clip, settings, SIZE),
    targets(settings),
    [[1, 2, 8, 8, 3]],
    { draw: (z) => 0.5 + 0.003 * z, gradient: null, forward: 3e-5 }, // 3e-8 of 0.5 is 5e-6 of 0.003
  ));
