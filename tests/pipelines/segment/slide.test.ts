import assert from "node:assert/strict";
import { type Looking, type Pixels, preparePredictor } from "../../../pipelines/segment/predict.ts";
import {
  cutWindow,
  highest,
  overlapping,
  resizeScores,
  type Sides,
  softmaxInPlace,
  windowCorners,
  WindowMean,
} from "../../../pipelines/segment/slide.ts";
import { segment, type SegmenterSettings } from "../../../src/models/segmenter.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { close, sharedDevice } from "../../check_op.ts";
import { MCMAE } from "../tiny_models.ts";
import { drawSegmenter, SEGMENTER } from "./tiny_segmenters.ts";

const K = 3;
const draw = (seed: number, count: number) => Float32Array.from(normal(key(seed), count));
const pixelsOf = (seed: number, height: number, width: number): Pixels => ({
  ...{ height, width, image: draw(seed, height * width * 3) },
});

/** One look at one size, in windows of 24 pixels unless told otherwise. */
const look = (more: Partial<Looking> = {}): Looking => ({
  ...{ windows: { crop: [24, 24], stride: [16, 16] }, flip: false, scales: [1], batch: 2 },
  ...more,
});

async function predictorOf(looking: Partial<Looking>, settings: SegmenterSettings = SEGMENTER) {
  const predictor = preparePredictor(
    await sharedDevice(),
    settings,
    drawSegmenter(settings),
    look(looking),
  );
  return { ...predictor, [Symbol.dispose]: () => predictor.destroy() };
}

/** `[H, W, C]` with its columns in reverse. */
function mirrored(values: Float32Array, width: number): Float32Array {
  const C = 3;
  return values.map((_, i) => {
    const [row, column] = [Math.floor(i / C / width), Math.floor(i / C) % width];
    return values[(row * width + width - 1 - column) * C + i % C];
  });
}

Deno.test("windowCorners() covers an image; the last window is shifted back to end with it", () => {
  // ADE20K's usual size under the published crop and stride.
  assert.deepEqual(windowCorners([512, 683], [512, 512], [341, 341]), [[0, 0], [0, 171]]);
  assert.deepEqual(windowCorners([10, 7], [4, 4], [3, 3]), [
    ...[[0, 0], [0, 3], [3, 0], [3, 3]],
    ...[[6, 0], [6, 3]],
  ]);
  assert.deepEqual(windowCorners([11, 4], [4, 4], [3, 2]), [[0, 0], [3, 0], [6, 0], [7, 0]]);
  assert.deepEqual(windowCorners([3, 2], [4, 4], [3, 3]), [[0, 0]]); // smaller than a window
  assert.deepEqual(windowCorners([3, 6], [4, 4], [3, 3]), [[0, 0], [0, 2]]);
  assert.deepEqual(overlapping([512, 80]), { crop: [512, 80], stride: [341, 53] });
});

Deno.test("cutWindow() fills up with zeros beyond the image", () => {
  const pixels = Float32Array.from({ length: 3 * 4 * 2 }, (_, i) => i + 1); // [3, 4, 2]
  assert.deepEqual([...cutWindow(pixels, [3, 4], [1, 2], [2, 2])], [
    13,
    14,
    15,
    16,
    21,
    22,
    23,
    24,
  ]);
  assert.deepEqual([...cutWindow(pixels, [3, 4], [2, 3], [2, 2])], [23, 24, 0, 0, 0, 0, 0, 0]);
});

Deno.test("WindowMean averages as float64 does, and leaves out what lies beyond the image", () => {
  const cases: [image: Sides, crop: Sides, stride: Sides][] = [
    [[9, 13], [5, 4], [2, 3]],
    [[3, 10], [5, 4], [5, 1]],
    [[10, 3], [4, 5], [1, 5]],
  ];
  for (const [image, crop, stride] of cases) {
    const [H, W] = image;
    const mean = new WindowMean(image, K);
    const sums = new Float64Array(H * W * K);
    const counts = new Float64Array(H * W);
    windowCorners(image, crop, stride).forEach((corner, nth) => {
      const scores = draw(nth, crop[0] * crop[1] * K);
      mean.add(scores, corner, crop);
      for (let row = 0; row < crop[0]; row++) {
        for (let column = 0; column < crop[1]; column++) {
          const [y, x] = [corner[0] + row, corner[1] + column];
          if (y >= H || x >= W) continue;
          counts[y * W + x]++;
          for (let k = 0; k < K; k++) {
            sums[(y * W + x) * K + k] += scores[(row * crop[1] + column) * K + k];
          }
        }
      }
    });
    const { height, width, scores } = mean.result();
    assert.deepEqual([height, width], image);
    assert.deepEqual([...mean.counts], [...counts]);
    assert.ok(counts.some((count) => count > 2));
    close(scores, sums.map((sum, i) => sum / counts[Math.floor(i / K)]), 1e-6);
  }
  const gap = new WindowMean([2, 3], K);
  gap.add(new Float32Array(4 * K), [0, 0], [2, 2]);
  assert.throws(() => gap.result(), /^RangeError: Cannot average: a pixel is in no window$/);
});

Deno.test("resizeScores() matches a float64 loop", () => {
  const [height, width] = [5, 7];
  const scores = draw(1, height * width * K);
  for (const [H, W] of [[5, 7], [9, 4], [2, 15], [1, 1]]) {
    const expected = new Float64Array(H * W * K);
    for (let row = 0; row < H; row++) {
      for (let column = 0; column < W; column++) {
        const y = Math.max((row + 0.5) * height / H - 0.5, 0);
        const x = Math.max((column + 0.5) * width / W - 0.5, 0);
        for (let i = 0; i < height; i++) {
          for (let j = 0; j < width; j++) {
            // Beyond the last row and column these go on.
            const down = Math.max(0, 1 - Math.abs(Math.min(y, height - 1) - i));
            const across = Math.max(0, 1 - Math.abs(Math.min(x, width - 1) - j));
            for (let k = 0; k < K; k++) {
              expected[(row * W + column) * K + k] += down * across *
                scores[(i * width + j) * K + k];
            }
          }
        }
      }
    }
    const resized = resizeScores({ height, width, scores }, [H, W]);
    assert.deepEqual([resized.height, resized.width], [H, W]);
    close(resized.scores, expected, 1e-6);
  }
});

Deno.test("softmaxInPlace() and highest() judge each pixel by itself, of equal scores the first", () => {
  const scores = Float32Array.of(1, 3, 2, 1000, 1000, 999, -5, -5, -5);
  assert.deepEqual([...highest(scores, K)], [1, 0, 0]);
  const shares = softmaxInPlace(scores.slice(), K);
  const total = 1 + Math.exp(-1) + Math.exp(-2);
  close(shares.subarray(0, 3), [Math.exp(-2) / total, 1 / total, Math.exp(-1) / total], 1e-6);
  close(shares.subarray(6), [1 / 3, 1 / 3, 1 / 3], 1e-6);
  assert.ok(shares.every(Number.isFinite));
  assert.deepEqual([...highest(shares, K)], [1, 0, 0]);
});

Deno.test("scores() of a 683 × 512 image are means of its windows in float64, within 1e-4", async () => {
  const [height, width, side, stride] = [512, 683, 128, 85];
  const encoder = { ...MCMAE, imageSize: [side, side], patchSizes: [4, 2, 2] } as const;
  const settings: SegmenterSettings = { ...SEGMENTER, encoder, relativePositions: "blocks" };
  const pixels = pixelsOf(2, height, width);
  const windows = { crop: [side, side], stride: [stride, stride] } as const;
  using predictor = await predictorOf({ windows, batch: 5 }, settings);
  const found = await predictor.scores(pixels);
  assert.deepEqual([found.height, found.width], [height, width]);

  const device = await sharedDevice();
  const args = (image: Float32Array) => ({
    params: drawSegmenter(settings),
    images: tensor(image, [1, side, side, 3]) as Tensor,
  });
  const plan = await compile(
    device,
    ({ params, images }) => segment(params, settings, images),
    args(new Float32Array(side * side * 3)),
  );
  const starts = (length: number) => {
    const all: number[] = [];
    for (let at = 0; at + side < length; at += stride) all.push(at);
    return [...all, length - side];
  };
  const sums = new Float64Array(height * width * K);
  const counts = new Float64Array(height * width);
  for (const top of starts(height)) {
    for (const left of starts(width)) {
      const image = new Float32Array(side * side * 3);
      for (let i = 0; i < image.length; i++) {
        const [y, x] = [top + Math.floor(i / 3 / side), left + Math.floor(i / 3) % side];
        image[i] = pixels.image[(y * width + x) * 3 + i % 3];
      }
      const scores = await read(device, plan.run(args(image)));
      for (let i = 0; i < side * side; i++) {
        const pixel = (top + Math.floor(i / side)) * width + left + i % side;
        counts[pixel]++;
        for (let k = 0; k < K; k++) sums[pixel * K + k] += scores[i * K + k];
      }
    }
  }
  plan.destroy();
  const expected = sums.map((sum, i) => sum / counts[Math.floor(i / K)]);
  assert.equal(counts.reduce((a, b) => Math.max(a, b)), 4);
  close(found.scores, expected, 1e-4);
  let worst = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(found.scores[i] - expected[i]) / Math.max(1, Math.abs(expected[i]));
    worst = Math.max(worst, error);
  }
  assert.ok(worst <= 1e-4, `${worst}`);
  // Random weights tell pixels apart, so classes can be compared where no two are as good.
  const predicted = await predictor.predict(pixels);
  const classes = new Set<number>();
  for (let pixel = 0; pixel < predicted.length; pixel++) {
    const own = [...expected.subarray(pixel * K, (pixel + 1) * K)];
    const [first, second] = own.toSorted((a, b) => b - a);
    if (first - second < 1e-3) continue;
    assert.equal(predicted[pixel], own.indexOf(first));
    classes.add(predicted[pixel]);
  }
  assert.ok(classes.size > 1);
});

Deno.test("scores() of an image smaller than a window, or whole, are those of one padded look", async () => {
  const pixels = pixelsOf(3, 20, 30);
  using small = await predictorOf({ windows: { crop: [24, 32], stride: [16, 16] }, batch: 1 });
  using whole = await predictorOf({ windows: null });
  const [a, b] = [await small.scores(pixels), await whole.scores(pixels)];
  assert.deepEqual([a.height, a.width, a.scores.length], [20, 30, 20 * 30 * K]);
  assert.deepEqual(a.scores, b.scores);
  const padded = cutWindow(pixels.image, [20, 30], [0, 0], [24, 32]);
  const { scores } = await small.scores({ height: 24, width: 32, image: padded });
  assert.deepEqual(cutWindow(scores, [24, 32], [0, 0], [20, 30]), a.scores);
});

Deno.test("predict() with mirrored looks gives a mirrored image the mirrored answer", async () => {
  const pixels = pixelsOf(4, 24, 40); // two windows, alike from left and right
  const flipped = { ...pixels, image: mirrored(pixels.image, 40) };
  const rows = (labels: Uint16Array, reverse = false) =>
    Array.from({ length: 24 }, (_, y) => {
      const row = [...labels.subarray(y * 40, (y + 1) * 40)];
      return reverse ? row.reverse() : row;
    });
  using plain = await predictorOf({});
  using both = await predictorOf({ flip: true });
  const once = await plain.predict(pixels);
  assert.notDeepEqual(rows(await plain.predict(flipped), true), rows(once));
  const twice = await both.predict(pixels);
  assert.deepEqual(rows(await both.predict(flipped), true), rows(twice));
  assert.notDeepEqual(twice, once);
  // Both looks count by their softmax.
  const [seen, back] = [await plain.scores(pixels), await plain.scores(flipped)];
  const shares = softmaxInPlace(seen.scores, K);
  const other = softmaxInPlace(mirrored(back.scores, 40), K);
  assert.deepEqual(twice, highest(shares.map((share, i) => share + other[i]), K));
});

Deno.test("predict() averages looks at several scales, at the size that is asked for", async () => {
  const pixels = pixelsOf(5, 24, 24);
  using plain = await predictorOf({});
  using scaled = await predictorOf({ scales: [1, 1.5] });
  const size: Sides = [30, 20];
  const larger = resizeScores({ ...pixels, scores: pixels.image }, [36, 36]);
  const looks = [pixels, { height: 36, width: 36, image: larger.scores }];
  const shares: Float32Array[] = [];
  for (const look of looks) {
    const { scores } = resizeScores(await plain.scores(look), size);
    shares.push(softmaxInPlace(scores, K));
  }
  const found = await scaled.predict(pixels, size);
  assert.deepEqual(found, highest(shares[0].map((share, i) => share + shares[1][i]), K));
  assert.notDeepEqual(found, await plain.predict(pixels, size));
});
