import assert from "node:assert/strict";
import {
  type Group,
  IGNORED,
  matchDetections,
  RIGHT,
  WRONG,
} from "../../../pipelines/detect/coco_match.ts";

/** Verdicts on detections, a row of overlaps each; nothing is a crowd, ignored or outside. */
function match(rows: number[][], threshold: number, fields: Partial<Group> = {}): number[] {
  const none = (list: readonly unknown[]) => list.map(() => false);
  const group: Group = {
    ...{ ious: Float64Array.from(rows.flat()), detections: rows.length },
    ...{ isCrowd: none(rows[0]), isIgnored: none(rows[0]), isOutside: none(rows) },
    ...fields,
  };
  const verdicts = new Uint8Array(rows.length + 2).fill(9);
  matchDetections(group, threshold, verdicts, 1);
  assert.deepEqual([verdicts[0], verdicts[rows.length + 1]], [9, 9]);
  return [...verdicts.subarray(1, rows.length + 1)];
}

Deno.test("matchDetections() gives each annotation to the first that overlaps it enough", () => {
  assert.deepEqual(match([[0.6], [0.9], [0.4]], 0.5), [RIGHT, WRONG, WRONG]);
  assert.deepEqual(match([[0.6], [0.9], [0.4]], 0.75), [WRONG, RIGHT, WRONG]);
  assert.deepEqual(match([[0.5]], 0.5), [RIGHT]); // the threshold itself
  assert.deepEqual(match([[1 - 1e-11]], 1), [RIGHT]); // as good as the same
});

Deno.test("matchDetections() takes the annotation that is overlapped most, the last of equals", () => {
  assert.deepEqual(match([[0.6, 0.8], [0, 0.7]], 0.5), [RIGHT, WRONG]);
  assert.deepEqual(match([[0.8, 0.6], [0.7, 0]], 0.5), [RIGHT, WRONG]);
  assert.deepEqual(match([[0.6, 0.6], [0.7, 0]], 0.5), [RIGHT, RIGHT]);
});

Deno.test("matchDetections() ignores what matches a crowd, any number of times", () => {
  const crowd = { isCrowd: [true, false], isIgnored: [true, false] };
  const rows = [[1, 0.6], [0.9, 0.6], [0.9, 0], [0.3, 0.4]];
  // One that counts goes first, though the crowd is overlapped more.
  assert.deepEqual(match(rows, 0.5, crowd), [RIGHT, IGNORED, IGNORED, WRONG]);
});

Deno.test("matchDetections() takes an ignored annotation that is no crowd once", () => {
  const ignored = { isIgnored: [true] };
  assert.deepEqual(match([[0.9], [0.9]], 0.5, ignored), [IGNORED, WRONG]);
});

Deno.test("matchDetections() ignores what is outside only if it matches nothing", () => {
  const outside = { isOutside: [true, true, false] };
  assert.deepEqual(match([[0.9], [0.9], [0]], 0.5, outside), [RIGHT, IGNORED, WRONG]);
});
