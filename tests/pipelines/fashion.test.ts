import assert from "node:assert/strict";
import { joinLayers } from "../../pipelines/fashion.ts";

Deno.test("joinLayers() puts layers side by side, larger ones as means over each token", () => {
  const features = {
    // Two images of 4 × 4 cells and one channel: the mean over a token of 2 × 2 cells is told by hand.
    e1: Float32Array.from({ length: 32 }, (_, i) => i),
    // Of 2 × 2 tokens and two channels.
    e3: Float32Array.from({ length: 16 }, (_, i) => 100 + i),
  };
  const joined = joinLayers({ features, shapes: { e1: [2, 4, 4, 1], e3: [2, 4, 2] } }, [
    "e1",
    "e3",
  ]);
  assert.deepEqual([...joined], [
    ...[2.5, 100, 101, 4.5, 102, 103, 10.5, 104, 105, 12.5, 106, 107],
    ...[18.5, 108, 109, 20.5, 110, 111, 26.5, 112, 113, 28.5, 114, 115],
  ]);
});
