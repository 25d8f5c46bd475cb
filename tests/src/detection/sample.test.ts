import assert from "node:assert/strict";
import { sampleLabels } from "../../../src/detection/sample.ts";
import { key } from "../../../src/random.ts";

const LABELS = Int8Array.from({ length: 400 }, (_, i) => i % 10 === 0 ? 1 : i % 3 === 0 ? -1 : 0);

Deno.test("sampleLabels() draws each row once, things up to their share, nothing that is neither", () => {
  for (const [count, positive, things] of [[64, 0.25, 16], [64, 1, 40], [200, 0.5, 40]]) {
    const sample = sampleLabels(LABELS, key(1), { count, positive });
    assert.equal(sample.positive.length, things);
    assert.equal(sample.negative.length, Math.min(count - things, 240));
    assert.ok(sample.positive.every((i) => LABELS[i] === 1));
    assert.ok(sample.negative.every((i) => LABELS[i] === 0));
    const rows = new Set([...sample.positive, ...sample.negative]);
    assert.equal(rows.size, sample.positive.length + sample.negative.length);
  }
});

Deno.test("sampleLabels() is a function of its key", () => {
  const draw = (seed: number) => sampleLabels(LABELS, key(seed), { count: 64, positive: 0.25 });
  assert.deepEqual(draw(1), draw(1));
  assert.notDeepEqual(draw(1).positive, draw(2).positive);
  assert.notDeepEqual(draw(1).negative, draw(2).negative);
});

Deno.test("sampleLabels() draws every row about as often", () => {
  const counts = new Uint32Array(20);
  for (let seed = 0; seed < 2000; seed++) {
    const { negative } = sampleLabels(new Int8Array(20), key(seed), { count: 5, positive: 0 });
    negative.forEach((i) => counts[i]++);
  }
  // 2000 · 5 / 20 = 500, with a deviation of √(2000 · ¼ · ¾) = 19.
  assert.ok(counts.every((count) => Math.abs(count - 500) < 5 * 19), `${counts}`);
});

Deno.test("sampleLabels() takes another label for the background", () => {
  const { positive, negative } = sampleLabels([0, 3, -1, 2, 3], key(1), {
    ...{ count: 10, positive: 0.5 },
  }, 3);
  assert.deepEqual([[...positive].sort(), [...negative].sort()], [[0, 3], [1, 4]]);
});
