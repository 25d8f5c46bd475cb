import assert from "node:assert/strict";
import { erasedSize, type Erasing, randomErasing } from "../../data/random_erasing.ts";
import { fold, key } from "../../src/random.ts";

const SIZE = { width: 20, height: 30 };
const PIXELS = new Float32Array(20 * 30 * 3).fill(7); // further out than noise ever is

function erase(seed: number, changes: Partial<Erasing> = {}): Float32Array {
  const erasing: Erasing = { probability: 1, mode: "pixel", ...changes };
  return randomErasing(PIXELS, SIZE, erasing, fold(key(1), seed));
}

/** Values of the erased rectangle, after making sure that it is one. */
function erasedIn(pixels: Float32Array) {
  const columns = new Set<number>();
  const rows = new Set<number>();
  const values: number[] = [];
  pixels.forEach((value, i) => {
    if (value === 7) return;
    columns.add(Math.floor(i / 3) % SIZE.width);
    rows.add(Math.floor(i / 3 / SIZE.width));
    values.push(value);
  });
  assert.equal(values.length, 3 * columns.size * rows.size);
  assert.equal(Math.max(...columns) - Math.min(...columns) + 1, columns.size);
  assert.equal(Math.max(...rows) - Math.min(...rows) + 1, rows.size);
  return { values, columns, rows };
}

Deno.test("erasedSize() is uniform in area and log-uniform in height over width", () => {
  assert.deepEqual(erasedSize(300, 300, 0.5, 0.5), { width: 126, height: 126, accepted: true });
  const wide = erasedSize(300, 300, 0.5, 0);
  assert.ok(Math.abs(wide.height / wide.width - 0.3) < 0.01);
  const tall = erasedSize(300, 300, 0.5, 1);
  assert.ok(Math.abs(tall.width / tall.height - 0.3) < 0.01);
  assert.ok(Math.abs(tall.width * tall.height / 9e4 - (0.02 + 1 / 3) / 2) < 0.001);
  assert.equal(erasedSize(300, 20, 0.5, 0.5).accepted, false);
});

Deno.test("randomErasing() fills one rectangle of the image, with its probability", () => {
  let erased = 0;
  const corners = new Set<string>();
  for (let seed = 0; seed < 400; seed++) {
    const pixels = erase(seed, { probability: 0.25, mode: "const" });
    if (pixels === PIXELS) continue;
    erased++;
    const { values, columns, rows } = erasedIn(pixels);
    assert.ok(values.every((x) => x === 0));
    assert.ok(values.length >= 0.015 * PIXELS.length && values.length <= 0.35 * PIXELS.length);
    corners.add(`${Math.min(...columns)},${Math.min(...rows)}`);
  }
  assert.ok(Math.abs(erased / 400 - 0.25) < 0.08, `${erased} of 400`);
  assert.ok(corners.size > erased / 2, "rectangles move");
  assert.ok(PIXELS.every((x) => x === 7));
  assert.equal(erase(0, { probability: 0 }), PIXELS);
});

Deno.test("randomErasing() fills pixels with normal noise, or channels with one colour", () => {
  const noise = Array.from({ length: 30 }, (_, seed) => erasedIn(erase(seed)).values).flat();
  const mean = noise.reduce((sum, x) => sum + x) / noise.length;
  const variance = noise.reduce((sum, x) => sum + x * x, 0) / noise.length;
  assert.ok(Math.abs(mean) < 0.05 && Math.abs(variance - 1) < 0.1, `${mean}, ${variance}`);
  assert.ok(new Set(noise).size > 0.9 * noise.length);

  const { values } = erasedIn(erase(3, { mode: "rand" }));
  assert.equal(new Set(values).size, 3);
  assert.ok(values.every((x, i) => x === values[i % 3]));
});

Deno.test("randomErasing() is a function of its key", () => {
  assert.deepEqual(erase(5), erase(5));
  assert.notDeepEqual(erase(5), erase(6));
});

Deno.test("randomErasing() leaves an image that no rectangle fits", () => {
  const line = new Float32Array(50).fill(7);
  const erasing = { probability: 1, mode: "pixel" } as const;
  assert.equal(randomErasing(line, { width: 50, height: 1 }, erasing, key(0)), line);
});
