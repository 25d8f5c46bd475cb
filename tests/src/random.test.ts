import assert from "node:assert/strict";
import {
  fold,
  type Key,
  key,
  normal,
  permutation,
  split,
  threefry2x32,
  uniform,
} from "../../src/random.ts";

Deno.test("threefry2x32() gives Random123's known answers", () => {
  // kat_vectors of Random123 1.14: threefry2x32 20, counter, key, answer.
  const vectors: [Key, Key, Key][] = [
    [[0x00000000, 0x00000000], [0x00000000, 0x00000000], [0x6b200159, 0x99ba4efe]],
    [[0xffffffff, 0xffffffff], [0xffffffff, 0xffffffff], [0x1cb996fc, 0xbb002be7]],
    [[0x243f6a88, 0x85a308d3], [0x13198a2e, 0x03707344], [0xc4923a9c, 0x483df7a0]],
  ];
  for (const [counter, key, answer] of vectors) {
    assert.deepEqual(threefry2x32(key, counter), answer);
  }
});

Deno.test("key() keeps all 53 bits of the seed", () => {
  assert.deepEqual(key(7), [0, 7]);
  assert.deepEqual(key(2 ** 53 - 1), [2 ** 21 - 1, 0xffffffff]);
  for (const seed of [-1, 0.5, 2 ** 53, NaN]) assert.throws(() => key(seed), RangeError);
});

Deno.test("fold() and split() give distinct keys", () => {
  const root = key(0);
  assert.deepEqual(fold(root, 3, 4), fold(fold(root, 3), 4));
  assert.notDeepEqual(fold(root, 3, 4), fold(root, 4, 3));
  assert.deepEqual(split(root, 2), split(root, 5).slice(0, 2));
  const keys = [root, ...split(root, 100), ...Array.from({ length: 100 }, (_, i) => fold(root, i))];
  assert.equal(new Set(keys.map(String)).size, 201);
});

Deno.test("uniform() is in [0, 1) with the moments of a uniform law", () => {
  const numbers = uniform(key(1), 100_001);
  assert.ok(numbers.every((u) => u >= 0 && u < 1 && Number.isInteger(u * 2 ** 24)));
  assertMoments(numbers, 1 / 2, 1 / 12);
  assert.deepEqual(uniform(key(1), 5), numbers.slice(0, 5));
  assert.deepEqual(uniform(key(1), 0).length, 0);
});

Deno.test("normal() has mean 0, variance 1 and normal tails", () => {
  const numbers = normal(key(2), 100_001);
  assertMoments(numbers, 0, 1);
  const tail = numbers.filter((x) => Math.abs(x) > 2).length / numbers.length;
  assert.ok(Math.abs(tail - 0.0455) < 0.003, `tail ${tail}`);
});

Deno.test("permutation() is a bijection and every order is as likely", () => {
  const order = permutation(key(3), 1000);
  assert.deepEqual(order.toSorted(), Uint32Array.from({ length: 1000 }, (_, i) => i));
  assert.notDeepEqual(order, permutation(key(4), 1000));
  assert.deepEqual([...permutation(key(0), 1)], [0]);
  const counts = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const name = String(permutation(fold(key(5), i), 3));
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 150, `count ${count}`);
});

function assertMoments(numbers: Float32Array, mean: number, variance: number): void {
  const n = numbers.length;
  const m = numbers.reduce((sum, x) => sum + x, 0) / n;
  const v = numbers.reduce((sum, x) => sum + (x - m) ** 2, 0) / n;
  assert.ok(Math.abs(m - mean) < 5 * Math.sqrt(variance / n), `mean ${m}`);
  assert.ok(Math.abs(v - variance) < 0.02 * variance, `variance ${v}`);
}
