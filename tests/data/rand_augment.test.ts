import assert from "node:assert/strict";
import {
  drawOps,
  fillOf,
  parseRandAugment,
  RAND_AUGMENT_OPS,
  randAugment,
  type RandAugmentOp,
} from "../../data/rand_augment.ts";
import type { Image } from "../../data/resize.ts";
import { fold, key } from "../../src/random.ts";

const PUBLISHED = parseRandAugment("rand-m9-mstd0.5-inc1");
const OPS = Object.entries<RandAugmentOp>(RAND_AUGMENT_OPS);

function noise(width: number, height: number, channels: number): Image {
  const pixels = Uint8Array.from(
    { length: width * height * channels },
    (_, i) => Math.imul(i + 1, 2654435761) >>> 24,
  );
  return { width, height, channels, pixels };
}

/** What is drawn for `count` images. */
function draws(text: string, count: number, interpolation: "random" | "bicubic" = "bicubic") {
  const settings = { ...parseRandAugment(text), interpolation };
  return Array.from({ length: count }, (_, i) => drawOps(settings, fold(key(0), i)));
}

Deno.test("parseRandAugment() reads timm's text and knows its defaults", () => {
  const { ops, ...numbers } = PUBLISHED;
  assert.deepEqual(numbers, { layers: 2, probability: 0.5, magnitude: 9, magnitudeStd: 0.5 });
  assert.equal(ops.length, 15);
  assert.deepEqual(ops.slice(4, 8), [
    ...["PosterizeIncreasing", "SolarizeIncreasing", "SolarizeAdd", "ColorIncreasing"],
  ]);
  const plain = parseRandAugment("rand");
  assert.equal(plain.magnitude, 10);
  assert.equal(plain.magnitudeStd, 0);
  assert.deepEqual(plain.ops.slice(4, 8), ["Posterize", "Solarize", "SolarizeAdd", "Color"]);
  assert.deepEqual(parseRandAugment("rand-inc0-n2"), plain);
  const { layers, probability, magnitudeStd } = parseRandAugment("rand-n3-p0.7-mstd101");
  assert.deepEqual([layers, probability, magnitudeStd], [3, 0.7, Infinity]);
  assert.equal(parseRandAugment("rand-mstdinf").magnitudeStd, Infinity);
});

Deno.test("parseRandAugment() refuses what it does not know", () => {
  const reasons = {
    "augmix-m3": /"augmix-m3": they begin with "augmix", not with "rand"/,
    "rand-m9-w0": /"w0" is none of m, mstd, n, p and inc/,
    "rand-m": /"m" is none of/,
    "rand-m9x": /"m9x" is none of/,
    "rand-": /"" is none of/,
    "rand-constructor1": /"constructor1" is none of/,
    "rand-m11": /m is 11, not a number from 0 to 10/,
    "rand-n1.5": /n is 1.5, not an integer from 1/,
    "rand-n0": /n is 0/,
    "rand-p2": /p is 2/,
    "rand-inc2": /inc is 2/,
  };
  for (const [text, reason] of Object.entries(reasons)) {
    assert.throws(() => parseRandAugment(text), (error) => {
      assert.ok(error instanceof RangeError);
      assert.match(error.message, reason);
      return true;
    });
  }
});

Deno.test("RAND_AUGMENT_OPS change nothing at level 0 where severity grows with it", () => {
  const image = noise(9, 7, 3);
  const sampling = { interpolation: "bicubic", fill: [1, 2, 3] } as const;
  const neutral = OPS.filter(([name]) =>
    /^(Rotate|Shear|Translate|SolarizeAdd|SolarizeI)|^(Color|Contrast|Bright|Sharp).*Inc/.test(name)
  );
  assert.equal(neutral.length, 13);
  for (const [name, { argument, apply }] of neutral) {
    for (const sign of [1, -1] as const) {
      assert.deepEqual(apply(image, argument!(0, sign), sampling), image, name);
    }
  }
});

Deno.test("RAND_AUGMENT_OPS reach the ends of timm's ranges at level 10", () => {
  const argument = (name: keyof typeof RAND_AUGMENT_OPS, level: number, sign: 1 | -1 = 1) =>
    (RAND_AUGMENT_OPS[name] as RandAugmentOp).argument?.(level, sign);
  assert.deepEqual([argument("Rotate", 10), argument("Rotate", 10, -1)], [30, -30]);
  assert.deepEqual([argument("ShearY", 10), argument("TranslateYRel", 10, -1)], [0.3, -0.45]);
  assert.deepEqual([argument("Posterize", 10), argument("PosterizeIncreasing", 10)], [4, 0]);
  assert.deepEqual([argument("Solarize", 10), argument("SolarizeIncreasing", 10)], [256, 0]);
  assert.equal(argument("SolarizeAdd", 10), 110);
  assert.deepEqual([argument("Color", 0), argument("Color", 10)], [0.1, 1.9000000000000001]);
  const [more, less] = [1, -1].map((sign) => argument("ColorIncreasing", 10, sign as 1 | -1));
  assert.deepEqual([more, less], [1.9, 0.1]);
  assert.equal(argument("Equalize", 10), undefined);
});

Deno.test("RAND_AUGMENT_OPS take grey images and any number of channels, and leave them", () => {
  for (const channels of [1, 2, 5]) {
    const image = noise(20, 30, channels);
    const before = image.pixels.slice();
    const sampling = { interpolation: "bilinear", fill: Array(channels).fill(128) } as const;
    for (const [name, { argument, apply }] of OPS) {
      const result = apply(image, argument?.(9, -1) ?? 0, sampling);
      const { width, height, pixels } = result;
      assert.deepEqual([width, height, result.channels], [20, 30, channels], name);
      assert.equal(pixels.length, before.length, name);
      const same = channels === 1 && name.startsWith("Color"); // no saturation to change
      const changes = pixels.some((value, i) => value !== before[i]);
      // Noise has all of 0 … 255, or nearly.
      if (name !== "AutoContrast") assert.equal(changes, !same, name);
      assert.deepEqual(image.pixels, before, name);
    }
  }
});

Deno.test("drawOps() applies half of two layers, with replacement, from all of the list", () => {
  const drawn = draws("rand-m9-mstd0.5-inc1", 2000);
  const share = (length: number) => drawn.filter((ops) => ops.length === length).length / 2000;
  assert.ok(Math.abs(share(0) - 0.25) < 0.04, `none: ${share(0)}`);
  assert.ok(Math.abs(share(1) - 0.5) < 0.04, `one: ${share(1)}`);
  assert.ok(Math.abs(share(2) - 0.25) < 0.04, `two: ${share(2)}`);
  const counts = new Map(PUBLISHED.ops.map((name) => [name, 0]));
  for (const { name } of drawn.flat()) counts.set(name, counts.get(name)! + 1);
  for (const [name, count] of counts) {
    assert.ok(count > 90 && count < 180, `${name}: ${count}`); // 2000 / 15 = 133
  }
  const twice = drawn.filter(([a, b]) => b && a.name === b.name).length;
  assert.ok(twice > 15 && twice < 60, `the same op twice: ${twice}`); // 500 / 15 = 33
});

Deno.test("drawOps() draws levels about the magnitude, clipped, with either sign", () => {
  const turns = draws("rand-m9-mstd0.5-p1", 3000).flat()
    .filter(({ name }) => name === "Rotate").map(({ argument }) => argument / 3);
  const levels = turns.map(Math.abs);
  const mean = levels.reduce((a, b) => a + b) / levels.length;
  const std = Math.sqrt(levels.reduce((sum, x) => sum + (x - mean) ** 2, 0) / levels.length);
  assert.ok(Math.abs(mean - 9) < 0.15, `mean ${mean}`);
  assert.ok(std > 0.4 && std < 0.6, `standard deviation ${std}`);
  assert.ok(Math.max(...levels) <= 10 && levels.some((level) => level > 9.8));
  const right = turns.filter((turn) => turn > 0).length / turns.length;
  assert.ok(Math.abs(right - 0.5) < 0.1, `positive: ${right}`);
  assert.ok(
    draws("rand-m10-mstd2-p1", 500).flat().some(({ name, argument }) =>
      name === "Rotate" && Math.abs(argument) === 30
    ),
    "levels above 10 are clipped",
  );
});

Deno.test("drawOps() draws levels uniformly below the magnitude if their deviation is infinite", () => {
  const levels = draws("rand-m8-mstd101-p1", 3000).flat()
    .filter(({ name }) => name === "Rotate").map(({ argument }) => Math.abs(argument) / 3);
  const shares = [2, 4, 6, 8].map((end) =>
    levels.filter((level) => level >= end - 2 && level < end).length / levels.length
  );
  assert.ok(shares.every((share) => share > 0.18 && share < 0.32), `quarters: ${shares}`);
});

Deno.test("drawOps() keeps the magnitude without deviation, and draws an interpolation if random", () => {
  const drawn = draws("rand-m7-p1", 200, "random").flat();
  const turns = drawn.filter(({ name }) => name === "Rotate");
  assert.deepEqual(new Set(turns.map(({ argument }) => Math.abs(argument))), new Set([21]));
  const cubic = drawn.filter(({ interpolation }) => interpolation === "bicubic").length;
  assert.ok(cubic > 150 && cubic < 250, `bicubic: ${cubic} of 400`);
  const fixed = draws("rand-p1", 50).flat();
  assert.ok(fixed.every(({ interpolation }) => interpolation === "bicubic"));
});

Deno.test("randAugment() is a function of its key", () => {
  const image = noise(16, 12, 3);
  const settings = { ...PUBLISHED, interpolation: "random", fill: [124, 116, 104] } as const;
  const run = (seed: number) => randAugment(image, settings, key(seed)).pixels;
  const results = Array.from({ length: 12 }, (_, seed) => run(seed));
  results.forEach((result, seed) => assert.deepEqual(run(seed), result));
  assert.ok(new Set(results.map(String)).size > 6);
});

Deno.test("randAugment() applies the drawn ops in order", () => {
  const image = noise(16, 12, 1);
  const settings = { ...PUBLISHED, interpolation: "bicubic", fill: [9] } as const;
  let pairs = 0;
  for (let seed = 0; seed < 30; seed++) {
    const drawn = drawOps(settings, key(seed));
    if (drawn.length === 2) pairs++;
    let expected = image;
    for (const { name, argument, interpolation } of drawn) {
      const { apply }: RandAugmentOp = RAND_AUGMENT_OPS[name];
      expected = apply(expected, argument, { interpolation, fill: [9] });
    }
    assert.deepEqual(randAugment(image, settings, key(seed)), expected);
  }
  assert.ok(pairs > 2);
});

Deno.test("fillOf() is the mean in bytes, halves to even", () => {
  assert.deepEqual(fillOf([0.485, 0.456, 0.406]), [124, 116, 104]);
  assert.deepEqual(fillOf([0.5, 0.3, 1.2, 0]), [128, 76, 255, 0]); // 127.5, 76.5
});
