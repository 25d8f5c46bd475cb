import assert from "node:assert/strict";
import { anchorTargets } from "../../../src/detection/anchor_targets.ts";
import { gridAnchors } from "../../../src/detection/anchors.ts";
import { BOX_WEIGHTS, decodeBoxes, PROPOSAL_WEIGHTS } from "../../../src/detection/box_deltas.ts";
import { ANCHOR_MATCH, matchBoxes } from "../../../src/detection/match.ts";
import { boxBatch, maskBatch } from "../../../src/detection/region_batch.ts";
import { regionTargets } from "../../../src/detection/region_targets.ts";
import { key } from "../../../src/random.ts";
import { close } from "../../check_op.ts";
import { boxAt, iouOf, randomBoxes } from "./random_boxes.ts";

const ANCHORS = gridAnchors({ stride: 8, sizes: [16, 32], ratios: [0.5, 1, 2] }, [12, 12]);
const TRUTH = { boxes: randomBoxes(5, 6), classes: [3, 0, 1, 1, 2, 2] };
const SAMPLE = { count: 64, positive: 0.25 };
const K = 4;

Deno.test("anchorTargets() labels the sampled anchors, and takes things to their true boxes", () => {
  const { labels, weights, deltas } = anchorTargets(ANCHORS, TRUTH.boxes, key(1), SAMPLE);
  const { index, label } = matchBoxes(TRUTH.boxes, ANCHORS, ANCHOR_MATCH);
  const total = (values: Float32Array) => values.reduce((a, b) => a + b);
  assert.equal(total(weights), 64);
  assert.equal(total(labels), Math.min(16, label.filter((x) => x === 1).length));
  const moved = decodeBoxes(ANCHORS, deltas, PROPOSAL_WEIGHTS);
  labels.forEach((isThing, i) => {
    assert.ok(weights[i] === 0 || label[i] === isThing);
    assert.ok(isThing <= weights[i]);
    const truth = boxAt(TRUTH.boxes, index[i]);
    if (isThing) close(boxAt(moved, i), truth, 1e-6);
    else assert.ok(deltas.subarray(4 * i, 4 * i + 4).every((value) => value === 0));
  });
});

Deno.test("anchorTargets() and regionTargets() are functions of their key", () => {
  const anchors = (seed: number) => anchorTargets(ANCHORS, TRUTH.boxes, key(seed), SAMPLE);
  assert.deepEqual(anchors(1), anchors(1));
  assert.notDeepEqual(anchors(1), anchors(2));
  const regions = (seed: number) =>
    regionTargets(randomBoxes(7, 200), TRUTH, key(seed), { classes: K, sample: SAMPLE });
  assert.deepEqual(regions(1), regions(1));
  assert.notDeepEqual(regions(1), regions(2));
});

Deno.test("anchorTargets() and regionTargets() take an image without things", () => {
  const { labels, weights } = anchorTargets(ANCHORS, new Float32Array(), key(1), SAMPLE);
  assert.ok(labels.every((label) => label === 0));
  assert.equal(weights.filter((weight) => weight === 1).length, 64);
  const truth = { boxes: new Float32Array(), classes: [] };
  const found = regionTargets(randomBoxes(7, 20), truth, key(1), { classes: K, sample: SAMPLE });
  assert.deepEqual([found.things, found.index.length, found.classes.length], [0, 0, 20]);
  assert.ok(found.classes.every((label) => label === K));
});

Deno.test("regionTargets() has things first, true boxes among them, then background", () => {
  const found = regionTargets(randomBoxes(7, 200), TRUTH, key(1), { classes: K, sample: SAMPLE });
  const moved = decodeBoxes(found.boxes, found.deltas, BOX_WEIGHTS);
  assert.ok(found.things > 0 && found.things <= 16 && found.classes.length === 64);
  found.classes.forEach((label, i) => {
    const box = boxAt(found.boxes, i);
    const best = Math.max(...TRUTH.classes.map((_, j) => iouOf(box, boxAt(TRUTH.boxes, j))));
    assert.equal(i < found.things, best >= 0.5);
    if (i >= found.things) return assert.equal(label, K);
    assert.equal(label, TRUTH.classes[found.index[i]]);
    close(boxAt(moved, i), boxAt(TRUTH.boxes, found.index[i]), 1e-6);
  });
  const alone = regionTargets(new Float32Array(), TRUTH, key(1), { classes: K, sample: SAMPLE });
  assert.equal(alone.things, 6);
});

Deno.test("boxBatch() and maskBatch() share the mean among sampled rows, and mark those left over", () => {
  const images = [3, 4].map((seed) =>
    regionTargets(randomBoxes(seed, 9 * seed), TRUTH, key(seed), { classes: K, sample: SAMPLE })
  );
  const [n, m] = images.map(({ classes }) => classes.length);
  const boxes = boxBatch(images, { slots: 64, classes: K });
  assert.deepEqual(boxes.regions.map(({ length }) => length), Array(4).fill(5 * 128));
  const isLeft = (row: number) => row % 64 >= (row < 64 ? n : m);
  boxes.classes.forEach((label, row) => {
    assert.equal(label > K, isLeft(row));
    assert.equal(boxes.weights[row], isLeft(row) ? 0 : Math.fround(1 / (n + m)));
    assert.equal(boxes.thingWeights[row], label < K ? boxes.weights[row] : 0);
    const maps = boxes.regions.filter((regions) => regions[5 * row] >= 0);
    assert.deepEqual(
      maps.map((regions) => [...regions.subarray(5 * row, 5 * row + 5)]),
      isLeft(row)
        ? []
        : [[Math.floor(row / 64), ...boxAt(images[row < 64 ? 0 : 1].boxes, row % 64)]],
    );
  });
  const things = images.map(({ things }) => things);
  const masks = things.map((count, image) =>
    Array.from({ length: count }, (_, i) => new Uint8Array(4).fill((image + i) % 2))
  );
  const batch = maskBatch(images, masks, 2, { slots: 16, classes: K });
  assert.equal(batch.weights.filter((weight) => weight > 0).length, things[0] + things[1]);
  close([batch.weights.reduce((a, b) => a + b)], [1], 1e-6);
  assert.deepEqual([...batch.masks.subarray(4 * 16, 4 * 17)], [1, 1, 1, 1]);
  assert.ok(batch.classes[things[0]] > K);
  assert.throws(() => maskBatch(images, [[], []], 2, { slots: 16, classes: K }), RangeError);
});
