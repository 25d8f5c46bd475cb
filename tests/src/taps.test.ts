import assert from "node:assert/strict";
import { cubicTaps, linearTaps, poolTaps, type Taps, transposed } from "../../src/taps.ts";

const SIZES: [size: number, newSize: number][] = [[5, 9], [7, 3], [4, 8], [6, 6], [1, 4], [3, 1]];

/** The weights of each new value, in full. */
function matrix(taps: Taps, size: number): number[][] {
  return taps.map((row) => {
    const weights = Array<number>(size).fill(0);
    for (const [index, weight] of row) weights[index] += weight;
    return weights;
  });
}

Deno.test("linearTaps(), cubicTaps() and poolTaps() are shares of one", () => {
  for (const taps of [linearTaps, cubicTaps, poolTaps]) {
    for (const [size, newSize] of SIZES) {
      const rows = taps(size, newSize);
      assert.equal(rows.length, newSize);
      for (const row of rows) {
        const sum = row.reduce((total, [, weight]) => total + weight, 0);
        assert.ok(Math.abs(sum - 1) < 1e-14, `${taps.name}(${size}, ${newSize}): ${sum}`);
        const places = row.map(([index]) => index);
        assert.ok(places.every((i) => Number.isInteger(i) && i >= 0 && i < size), `${places}`);
        assert.equal(new Set(places).size, places.length, "each value once");
      }
    }
  }
});

Deno.test("linearTaps() and cubicTaps() leave a size as it is, and let borders go on", () => {
  for (const taps of [linearTaps, cubicTaps, poolTaps]) {
    assert.deepEqual(taps(6, 6), [0, 1, 2, 3, 4, 5].map((i) => [[i, 1]]), taps.name);
  }
  assert.deepEqual(linearTaps(2, 4), [
    ...[[[0, 1]], [[0, 0.75], [1, 0.25]]],
    ...[[[0, 0.25], [1, 0.75]], [[1, 1]]],
  ]);
  // By hand, from the cubic of a = −0.75.
  const [first, second, third, last] = matrix(cubicTaps(2, 4), 2);
  assert.deepEqual([first, last], [[1.10546875, -0.10546875], [-0.10546875, 1.10546875]]);
  assert.deepEqual([second, third], [[0.7734375, 0.2265625], [0.2265625, 0.7734375]]);
});

Deno.test("poolTaps() takes overlapping parts", () => {
  const taken = poolTaps(5, 2).map((row) => row.map(([index]) => index));
  assert.deepEqual(taken, [[0, 1, 2], [2, 3, 4]]);
});

Deno.test("transposed() tells of each value where it is needed", () => {
  for (const taps of [linearTaps, cubicTaps, poolTaps]) {
    for (const [size, newSize] of SIZES) {
      const forward = matrix(taps(size, newSize), size);
      const back = transposed(taps(size, newSize), size);
      assert.equal(back.length, size);
      const expected = Array.from({ length: size }, (_, i) => forward.map((row) => row[i]));
      assert.deepEqual(matrix(back, newSize), expected);
    }
  }
});
