import assert from "node:assert/strict";
import { classColour, coloursOf, legendOf, overlay } from "../../../pipelines/segment/overlay.ts";

Deno.test("classColour() is Pascal VOC's palette, and never twice the same", () => {
  assert.deepEqual([0, 1, 2, 3, 8, 20, 255].map(classColour), [
    ...[[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0]],
    ...[[64, 0, 0], [0, 64, 128], [224, 224, 192]],
  ]);
  const all = Array.from({ length: 256 }, (_, label) => String(classColour(label)));
  assert.equal(new Set(all).size, 256);
});

Deno.test("overlay() colours classes, darkens what is ignored, and leaves the background", () => {
  const grey = new Uint8Array(4 * 3).fill(100);
  const dark = [45, 45, 45]; // 0.45 · 100; with a colour 0.55 · 128 more
  const [red, green, yellow] = [[115, 45, 45], [45, 115, 45], [115, 115, 45]];
  const drawn = (names?: string[]) => [
    ...overlay(grey, [0, 1, 2, 255], legendOf(3, names)),
  ];
  assert.deepEqual(drawn(), [...red, ...green, ...yellow, ...dark]);
  assert.deepEqual(drawn(["Background", "cow", "fox"]), [
    ...[100, 100, 100],
    ...[...red, ...green, ...dark],
  ]);
  assert.ok(legendOf(2).hasBackground && !legendOf(2, ["road", "sky"]).hasBackground);
});

Deno.test("coloursOf() undoes the normalisation; one channel is grey", () => {
  const [mean, std] = [[0.5, 0.4, 0.2], [0.25, 0.2, 0.1]];
  const image = Float32Array.of(0, 0, 0, 2, 9, -9);
  assert.deepEqual([...coloursOf(image, { mean, std })], [128, 102, 51, 255, 255, 0]);
  assert.deepEqual([...coloursOf(Float32Array.of(0, 1), { mean: [0.5], std: [0.25] })], [
    ...[128, 128, 128],
    ...[191, 191, 191],
  ]);
});
