import assert from "node:assert/strict";
import { entries, type Packets, runs, shownTimes } from "../../../data/clips/packets.ts";

/** Packets in the order of the file; K marks keyframes, D hidden ones. */
function packets(text: string, codec = "h264"): Packets {
  const words = text.split(" ");
  return {
    codec,
    pts: words.map((word) => parseFloat(word)),
    isKey: words.map((word) => word.includes("K")),
    isShown: words.map((word) => !word.includes("D")),
  };
}

Deno.test("entries() are the keyframes that part decoding and showing alike", () => {
  const closed = packets("0K 3 1 2 4K 7 5 6 8K 9");
  assert.deepEqual(entries(closed), [
    { packet: 0, frame: 0 },
    { packet: 4, frame: 4 },
    { packet: 8, frame: 8 },
  ]);
  // Frames 5 and 6 come after the keyframe but are shown before it: an open group of pictures.
  assert.deepEqual(entries(packets("0K 4 2 7K 5 6 9 8 10K")), [
    { packet: 0, frame: 0 },
    { packet: 8, frame: 8 },
  ]);
});

Deno.test("entries() count shown frames alone", () => {
  assert.deepEqual(entries(packets("-2KD -1D 0 1 2K 3")), [
    { packet: 0, frame: 0 },
    { packet: 4, frame: 2 },
  ]);
});

Deno.test("shownTimes() sorts the times of shown frames", () => {
  assert.deepEqual(shownTimes(packets("-2KD 0 -1D 3 1K")), [0, 1, 3]);
});

Deno.test("shownTimes() does not trust packets that may not be frames", () => {
  assert.equal(shownTimes(packets("0K 1 2", "vp8")), undefined); // may hide some
  assert.equal(shownTimes(packets("0K 1 N/A")), undefined);
  assert.equal(shownTimes(packets("0K 1 1")), undefined);
  assert.equal(shownTimes(packets("0 1 2K")), undefined); // begins within a group
  assert.equal(shownTimes(packets("2K 0 1 3")), undefined); // the first two lack what they refer to
});

Deno.test("runs() are the least to decode, and join where they touch", () => {
  const starts = entries(packets("0K 1 2 3K 4 5 6K 7 8"));
  assert.deepEqual(runs(starts, 9, [7]), [{ packet: 6, frame: 6, end: 9, wanted: [7] }]);
  assert.deepEqual(runs(starts, 9, [0, 2, 8]), [
    { packet: 0, frame: 0, end: 3, wanted: [0, 2] },
    { packet: 6, frame: 6, end: 9, wanted: [8] },
  ]);
  assert.deepEqual(runs(starts, 9, [2, 3]), [{ packet: 0, frame: 0, end: 6, wanted: [2, 3] }]);
  assert.deepEqual(runs(starts, 9, []), []);
});
