import assert from "node:assert/strict";
import { colorJitter } from "../../data/color_jitter.ts";
import { brightness, color, contrast } from "../../data/enhance.ts";
import type { Image } from "../../data/resize.ts";
import { fold, key, split, uniform } from "../../src/random.ts";

function pixel(...pixels: number[]): Image {
  return { width: 1, height: 1, channels: pixels.length, pixels: Uint8Array.from(pixels) };
}

/** Results for one image under many keys. */
function jittered(image: Image, strength: number, count = 400): Image[] {
  return Array.from({ length: count }, (_, i) => colorJitter(image, strength, fold(key(1), i)));
}

Deno.test("colorJitter() is a function of its key and the identity at strength 0", () => {
  const image = pixel(200, 90, 30);
  const results = jittered(image, 0.4, 20);
  assert.deepEqual(jittered(image, 0.4, 20), results);
  assert.ok(new Set(results.map(({ pixels }) => String(pixels))).size > 15);
  assert.deepEqual(jittered(image, 0, 5), Array(5).fill(image));
  assert.deepEqual([...image.pixels], [200, 90, 30]);
});

Deno.test("colorJitter() draws brightness uniformly about 1, not below 0", () => {
  // One grey pixel is its own mean and has no saturation: only brightness is left.
  const factors = (strength: number) =>
    jittered(pixel(100), strength).map(({ pixels: [value] }) => value / 100);
  const mild = factors(0.4);
  assert.ok(Math.min(...mild) >= 0.59 && Math.min(...mild) < 0.62);
  assert.ok(Math.max(...mild) <= 1.4 && Math.max(...mild) > 1.38);
  const mean = mild.reduce((a, b) => a + b) / mild.length;
  assert.ok(Math.abs(mean - 1) < 0.04, `mean ${mean}`);
  const strong = factors(1.5); // uniform in [0, 2.5]
  const low = strong.filter((factor) => factor < 0.5).length / strong.length;
  assert.ok(low > 0.13 && low < 0.27, `below 0.5: ${low}`);
});

Deno.test("colorJitter() takes grey images and any number of channels", () => {
  for (const channels of [1, 2, 5]) {
    const image = pixel(...Array.from({ length: channels }, (_, c) => 40 * c + 40));
    for (const result of jittered(image, 0.4, 5)) assert.equal(result.pixels.length, channels);
  }
});

Deno.test("colorJitter() changes the order of its three enhancers", () => {
  const image = {
    width: 2,
    height: 1,
    channels: 3,
    pixels: Uint8Array.of(250, 130, 20, 10, 90, 230),
  };
  const enhancers = [brightness, contrast, color];
  const orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
  const seen = new Set<number>();
  for (const [i, result] of jittered(image, 0.4, 60).entries()) {
    const factors = uniform(split(fold(key(1), i), 2)[1], 3).map((draw) => 0.6 + 0.8 * draw);
    const fitting = orders.flatMap((order, which) => {
      const expected = order.reduce((image, k) => enhancers[k](image, factors[k]), image);
      return String(expected.pixels) === String(result.pixels) ? [which] : [];
    });
    assert.ok(fitting.length > 0, `no order gives the result of key ${i}`);
    if (fitting.length === 1) seen.add(fitting[0]);
  }
  assert.equal(seen.size, 6);
});
