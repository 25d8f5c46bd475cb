import assert from "node:assert/strict";
import { beta } from "../../data/beta.ts";
import {
  type BatchShape,
  cutmixBox,
  drawMixes,
  mixImages,
  mixTargets,
  type Mixup,
  shareOutside,
  softTargets,
} from "../../data/mixup.ts";
import { fold, key, uniform } from "../../src/random.ts";

const SIZE = { width: 17, height: 12 };
const BOTH: Mixup = { mode: "elem", mixupAlpha: 0.8, cutmixAlpha: 1 };

function near(actual: number, expected: number, tolerance: number, name: string) {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${name} is ${actual}, not ${expected}`);
}

Deno.test("beta() has the mean and variance of Beta(α, α)", () => {
  const n = 4000;
  for (const alpha of [0.1, 0.8, 1, 3]) {
    const draws = Array.from({ length: n }, (_, i) => beta(fold(key(1), i), alpha));
    assert.ok(draws.every((x) => x >= 0 && x <= 1));
    const mean = draws.reduce((sum, x) => sum + x) / n;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / n;
    const expected = 1 / (4 * (2 * alpha + 1));
    near(mean, 0.5, 5 * Math.sqrt(expected / n), `mean at α = ${alpha}`);
    near(variance, expected, 0.05 * expected, `variance at α = ${alpha}`);
  }
});

Deno.test("beta() is uniform at α = 1 and finite where gamma draws underflow", () => {
  const draws = Array.from({ length: 4000 }, (_, i) => beta(fold(key(2), i), 1))
    .sort((a, b) => a - b);
  const gap = Math.max(...draws.map((x, i) => Math.abs(x - (i + 0.5) / 4000)));
  assert.ok(gap < 0.03, `Kolmogorov-Smirnov distance ${gap}`); // 1 in 10^3 by chance
  const tiny = Array.from({ length: 500 }, (_, i) => beta(fold(key(3), i), 1e-3));
  assert.ok(tiny.every((x) => x >= 0 && x <= 1));
  near(tiny.filter((x) => x > 0.5).length / 500, 0.5, 0.1, "share of ones");
});

Deno.test("drawMixes() draws once a batch, a pair or a sample", () => {
  const distinct = (mode: Mixup["mode"]) => {
    const mixes = drawMixes(key(4), 6, SIZE, { ...BOTH, cutmixAlpha: 0, mode });
    if (mode !== "elem") mixes.forEach((mix, i) => assert.deepEqual(mix, mixes[5 - i]));
    assert.ok(mixes.every(({ lambda, box }) => lambda > 0 && lambda < 1 && !box));
    return new Set(mixes.map(({ lambda }) => lambda)).size;
  };
  assert.deepEqual([distinct("batch"), distinct("pair"), distinct("elem")], [1, 3, 6]);
});

Deno.test("drawMixes() is a function of its key", () => {
  const mixes = drawMixes(key(5), 8, SIZE, BOTH);
  assert.deepEqual(drawMixes(key(5), 8, SIZE, BOTH), mixes);
  assert.notDeepEqual(drawMixes(key(6), 8, SIZE, BOTH), mixes);
});

Deno.test("drawMixes() mixes and switches with its probabilities", () => {
  const n = 2000;
  const settings = { ...BOTH, probability: 0.6, switchProbability: 0.25 };
  const mixes = drawMixes(key(7), n, SIZE, settings);
  const cut = mixes.filter(({ box }) => box).length;
  const blended = mixes.filter(({ lambda, box }) => !box && lambda !== 1).length;
  near(cut / n, 0.15, 0.03, "share of CutMix");
  near(blended / n, 0.45, 0.04, "share of mixup");
  const halves = drawMixes(key(7), n, SIZE, BOTH).filter(({ box }) => box).length;
  near(halves / n, 0.5, 0.04, "share of CutMix, by default");
});

Deno.test("drawMixes() cuts boxes inside the image and corrects λ to their area", () => {
  const kinds = { cutmix: {}, minmax: { cutmixMinmax: [0.3, 0.8] } } as const;
  for (const [kind, change] of Object.entries(kinds)) {
    const settings = { ...BOTH, mixupAlpha: 0, ...change };
    const mixes = drawMixes(key(8), 500, SIZE, settings);
    for (const { lambda, box } of mixes) {
      assert.ok(box && box.x >= 0 && box.y >= 0, kind);
      assert.ok(box.x + box.width <= SIZE.width && box.y + box.height <= SIZE.height, kind);
      assert.equal(lambda, 1 - box.width * box.height / (SIZE.width * SIZE.height));
      if (kind === "minmax") { // int(0.3 · 17) … int(0.8 · 17) - 1, as randint excludes its end
        assert.ok(box.width >= 5 && box.width < 13 && box.height >= 3 && box.height < 9);
      }
    }
    assert.ok(new Set(mixes.map(({ box }) => box!.x)).size > 5, `${kind} moves its boxes`);
  }
});

Deno.test("cutmixBox() leaves λ of the area where no edge cuts it", () => {
  const size = { width: 100, height: 200 };
  const box = cutmixBox(size, 0.75, { x: 50, y: 90 });
  assert.deepEqual(box, { x: 25, y: 40, width: 50, height: 100 });
  assert.equal(shareOutside(box, size), 0.75);
  assert.deepEqual(cutmixBox(size, 0.75, { x: 0, y: 199 }), {
    x: 0,
    y: 149,
    width: 25,
    height: 51,
  });
});

Deno.test("mixImages() blends with, or cuts from, the sample at the other end", () => {
  const shape: BatchShape = [3, 4, 5, 2];
  const images = uniform(key(9), 120);
  const before = Float32Array.from(images);
  const mixed = mixImages(images, shape, [
    { lambda: 0.25 },
    { lambda: 0.25 }, // its own partner
    { lambda: 0.9, box: { x: 1, y: 2, width: 3, height: 2 } },
  ]);
  assert.deepEqual(images, before);
  for (let i = 0; i < 40; i++) {
    near(mixed[i], 0.25 * images[i] + 0.75 * images[80 + i], 1e-7, "blend");
    assert.equal(mixed[40 + i], images[40 + i]);
    const [y, x] = [Math.floor(i / 10), Math.floor(i % 10 / 2)];
    const cut = y >= 2 && x >= 1 && x < 4;
    assert.equal(mixed[80 + i], images[cut ? i : 80 + i], `(${x}, ${y})`);
  }
});

Deno.test("mixImages() does the same to all frames of a clip", () => {
  const [T, size] = [3, 40];
  const clips = uniform(key(10), 2 * T * size);
  const mixes = [{ lambda: 0.4, box: { x: 1, y: 2, width: 3, height: 2 } }, { lambda: 0.25 }];
  const mixed = mixImages(clips, [2, T, 4, 5, 2], mixes);
  for (let t = 0; t < T; t++) {
    const frames = [0, 1].flatMap((n) => [...clips.slice((n * T + t) * size).slice(0, size)]);
    const expected = mixImages(Float32Array.from(frames), [2, 4, 5, 2], mixes);
    for (const n of [0, 1]) {
      const own = mixed.slice((n * T + t) * size).slice(0, size);
      assert.deepEqual(own, expected.slice(n * size).slice(0, size));
    }
  }
});

Deno.test("mixTargets() shares a row between both labels, and its sum is 1", () => {
  const labels = Int32Array.of(0, 2, 2, 4);
  const mixes = [{ lambda: 0.3 }, { lambda: 0.6 }, { lambda: 0 }, { lambda: 1 }];
  const targets = mixTargets(labels, 5, 0.1, mixes);
  const row = (sample: number) => [...targets.subarray(5 * sample, 5 * sample + 5)];
  const expected = [
    [0.02 + 0.3 * 0.9, 0.02, 0.02, 0.02, 0.02 + 0.7 * 0.9],
    [0.02, 0.02, 0.92, 0.02, 0.02],
    [0.02, 0.02, 0.92, 0.02, 0.02],
    [0.02, 0.02, 0.02, 0.02, 0.92],
  ];
  expected.forEach((values, sample) => {
    values.forEach((value, k) => near(row(sample)[k], value, 1e-7, `[${sample}, ${k}]`));
    near(row(sample).reduce((sum, x) => sum + x), 1, 1e-6, "sum");
  });
});

Deno.test("softTargets() is one-hot without smoothing", () => {
  assert.deepEqual([...softTargets(Int32Array.of(2, 0), 3, 0)], [0, 0, 1, 1, 0, 0]);
});

Deno.test("mixup refuses what it cannot mix", () => {
  const changes: Partial<Mixup>[] = [
    { mixupAlpha: 0, cutmixAlpha: 0 },
    { mixupAlpha: -1 },
    { cutmixAlpha: NaN },
    { probability: 1.5 },
    { switchProbability: -0.1 },
    { cutmixMinmax: [0.8, 0.3] },
  ];
  for (const change of changes) {
    assert.throws(() => drawMixes(key(0), 4, SIZE, { ...BOTH, ...change }), RangeError);
  }
  assert.throws(() => drawMixes(key(0), 5, SIZE, { ...BOTH, mode: "pair" }), /N is 5, not even/);
  for (const mode of ["batch", "elem"] as const) {
    assert.equal(drawMixes(key(0), 5, SIZE, { ...BOTH, mode }).length, 5);
  }
  assert.throws(() => mixImages(new Float32Array(8), [2, 2, 2, 1], [{ lambda: 1 }]), RangeError);
  assert.throws(() => mixTargets(Int32Array.of(0, 1), 2, 0, [{ lambda: 1 }]), RangeError);
  assert.throws(() => softTargets(Int32Array.of(-1), 3, 0), /label -1 is none of 3 classes/);
  assert.throws(() => softTargets(Int32Array.of(3), 3, 0), /label 3 is none of 3 classes/);
  assert.throws(() => softTargets(Int32Array.of(0), 3, 2), /smoothing is 2/);
});
