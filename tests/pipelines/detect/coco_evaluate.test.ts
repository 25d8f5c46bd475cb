import assert from "node:assert/strict";
import type { Box } from "../../../data/coco/box.ts";
import { runString } from "../../../data/coco/run_string.ts";
import type { Detections, GroundTruth } from "../../../data/coco/things.ts";
import { evaluateCoco } from "../../../pipelines/detect/coco_evaluate.ts";
import { figuresOf } from "../../../pipelines/detect/coco_figures.ts";
import { close } from "../../check_op.ts";

interface Thing {
  readonly box: Box;
  readonly image?: number;
  readonly category?: number;
}
type Truth = Thing & { readonly area?: number; readonly crowd?: boolean };
type Found = Thing & { readonly score: number };

/** Figures of boxes on two images, of two categories. */
function evaluate(truths: readonly Truth[], found: readonly Found[]) {
  const columns = (things: readonly Thing[]) => ({
    length: things.length,
    image: Int32Array.from(things, ({ image = 0 }) => image),
    category: Int32Array.from(things, ({ category = 0 }) => category),
    boxes: Float64Array.from(things.flatMap(({ box }) => box)),
  });
  const truth: GroundTruth = {
    ...columns(truths),
    area: Float64Array.from(truths, ({ box, area = box[2] * box[3] }) => area),
    isCrowd: Uint8Array.from(truths, ({ crowd }) => crowd ? 1 : 0),
  };
  const detections: Detections = {
    ...columns(found),
    score: Float64Array.from(found, ({ score }) => score),
  };
  const scope = { heights: [100, 100], categories: 2 };
  const evaluation = evaluateCoco("bbox", truth, detections, scope);
  return { ...figuresOf(evaluation), evaluation };
}

const A: Box = [0, 0, 40, 40];
const B: Box = [50, 50, 40, 40];
const NOWHERE: Box = [0, 60, 40, 39];

Deno.test("evaluateCoco() gives the precision of a case computed by hand", () => {
  const found = [{ box: A, score: 0.9 }, { box: NOWHERE, score: 0.8 }, { box: B, score: 0.7 }];
  const figures = evaluate([{ box: A }, { box: B }], found);
  // Precision is 1 up to a recall of 1/2, which is 51 of 101 thresholds, and then 2/3.
  const AP = (51 + 50 * 2 / 3) / 101;
  close([figures.AP, figures.AP50, figures.AP75, figures.APm], [AP, AP, AP, AP], 1e-12, "AP");
  assert.deepEqual([figures.AR1, figures.AR10, figures.AR100, figures.ARm], [0.5, 1, 1, 1]);
  assert.deepEqual([figures.APs, figures.APl, figures.ARs, figures.ARl], [-1, -1, -1, -1]);
  const { precision, recall, averagePrecision, categories } = figures.evaluation;
  assert.deepEqual([categories, precision.length, recall.length], [2, 10 * 101 * 2, 10 * 2 * 12]);
  assert.deepEqual([precision[2 * 50], precision[2 * 51]].map((x) => x.toFixed(6)), [
    ...["1.000000", "0.666667"],
  ]);
  assert.ok(precision.every((value, i) => (value === -1) === (i % 2 === 1))); // category 1 is absent
  assert.equal(averagePrecision.length, 10 * 2 * 4);
});

Deno.test("evaluateCoco() counts a loose box at the thresholds that it reaches", () => {
  // 40 × 40 in 40 × 50: an overlap of 0.8, which reaches 7 of 10 thresholds.
  const { AP, AP50, AP75, AR100 } = evaluate([{ box: [0, 0, 40, 50] }], [{ box: A, score: 1 }]);
  close([AP, AP50, AP75, AR100], [0.7, 1, 1, 0.7], 1e-12, "figures");
});

Deno.test("evaluateCoco() takes annotated areas, and both ends belong to a range", () => {
  const found = [{ box: A, score: 1 }];
  const sizes = (area: number) => {
    const { APs, APm, APl } = evaluate([{ box: A, area }], found);
    return [APs, APm, APl].map(Math.round);
  };
  assert.deepEqual(sizes(1023), [1, -1, -1]);
  assert.deepEqual(sizes(1024), [1, 1, -1]);
  assert.deepEqual(sizes(9216), [-1, 1, 1]);
  assert.deepEqual(sizes(9217), [-1, -1, 1]);
});

Deno.test("evaluateCoco() ignores detections of another size that match nothing", () => {
  const big = { box: [50, 0, 50, 100], score: 0.9 } as const; // 5000 pixels
  const small = { box: [0, 60, 20, 20], score: 0.8 } as const;
  const truth = { box: [0, 0, 20, 20] } as const;
  const right = { box: truth.box, score: 0.7 };
  close([evaluate([truth], [big, right]).APs], [1], 1e-12, "APs");
  close([evaluate([truth], [big, right]).AP], [0.5], 1e-12, "AP");
  close([evaluate([truth], [small, right]).APs], [0.5], 1e-12, "APs");
  const largest = { box: [0, 60, 32, 32], score: 0.8 } as const;
  close([evaluate([truth], [largest, right]).APs], [0.5], 1e-12, "APs");
});

Deno.test("evaluateCoco() counts the 100 highest scores of a category on an image", () => {
  const wrong = Array.from({ length: 99 }, () => ({ box: NOWHERE, score: 0.5 }));
  const right = { box: A, score: 0.4 };
  const others = [
    { box: NOWHERE, score: 0.9, category: 1 },
    { box: NOWHERE, score: 0.9, image: 1 },
  ];
  const counted = evaluate([{ box: A }], [right, ...wrong, ...others]);
  assert.deepEqual([counted.AR1, counted.AR10, counted.AR100], [0, 0, 1]);
  close([counted.AP], [1 / 101], 1e-12, "AP");
  const beyond = evaluate([{ box: A }], [right, ...wrong, wrong[0]]);
  assert.deepEqual([beyond.AR100, beyond.AP], [0, 0]);
  const tenth = evaluate([{ box: A }], [right, ...wrong.slice(0, 9)]);
  assert.deepEqual([tenth.AR1, tenth.AR10], [0, 1]);
});

Deno.test("evaluateCoco() keeps equal scores in the order of images, then of the file", () => {
  const [right, wrong] = [{ box: A, score: 0.5 }, { box: NOWHERE, score: 0.5 }];
  const AP = (...found: Found[]) => evaluate([{ box: A }], found).AP;
  close([AP(right, wrong), AP(wrong, right)], [1, 0.5], 1e-12, "on one image");
  const [first, second] = [{ ...wrong, image: 0 }, { ...right, image: 1 }];
  const acrossImages = [[first, second], [second, first]].map((found) =>
    evaluate([{ box: A, image: 1 }], found).AP
  );
  close(acrossImages, [0.5, 0.5], 1e-12, "on two");
});

Deno.test("evaluateCoco() ignores detections in a crowd, and does not look for it", () => {
  const truths = [{ box: A }, { box: [45, 0, 55, 100], crowd: true }] as const;
  const inCrowd = [B, [60, 10, 5, 5], [45, 0, 10, 10]].map((box) => ({
    box: box as Box,
    score: 1,
  }));
  const { AP, AR100 } = evaluate(truths, [...inCrowd, { box: A, score: 0.1 }]);
  close([AP, AR100], [1, 1], 1e-12, "figures");
  const { AP: none } = evaluate([truths[1]], inCrowd);
  assert.equal(none, -1);
});

Deno.test("evaluateCoco() is -1 of what is not annotated, and 0 of what is not found", () => {
  const found = [{ box: A, score: 0.9, category: 1 }];
  const { evaluation, AP, AR100 } = evaluate([{ box: A }], found);
  assert.deepEqual([AP, AR100], [0, 0]);
  const [first, second] = [figuresOf(evaluation, 0), figuresOf(evaluation, 1)];
  assert.deepEqual([first.AP, first.AR1, first.APl], [0, 0, -1]);
  assert.ok(Object.values(second).every((value) => value === -1));
  assert.equal(evaluate([{ box: A }], []).AP, 0);
});

Deno.test("evaluateCoco() averages over the categories that are annotated", () => {
  const truths = [{ box: A }, { box: A, category: 1 }];
  const { AP, evaluation } = evaluate(truths, [{ box: A, score: 1, category: 1 }]);
  close([AP], [0.5], 1e-12, "AP");
  close([figuresOf(evaluation, 1).AP], [1], 1e-12, "AP of category 1");
});

Deno.test("evaluateCoco() compares masks, of which the size is the pixels", () => {
  // Boxes are all of 4 × 10; the masks share 2 of 3 columns.
  const [left, right] = [runString([0, 12, 28]), runString([4, 12, 24])];
  const whole = { boxes: Float64Array.of(0, 0, 1e3, 1e3), image: Int32Array.of(0) };
  const thing = { ...whole, length: 1, category: Int32Array.of(0) };
  const truth = {
    ...{ ...thing, masks: [left], area: Float64Array.of(2000), isCrowd: Uint8Array.of(0) },
  };
  const found = {
    ...{ ...thing, masks: [right], maskArea: Float64Array.of(12), score: Float64Array.of(1) },
  };
  const scope = { heights: [4], categories: 1 };
  const { AP, APm } = figuresOf(evaluateCoco("segm", truth, found, scope));
  close([AP, APm], [0.1, 0.1], 1e-12, "AP"); // 8 of 16 pixels: the first threshold alone
  const crowd = { ...truth, isCrowd: Uint8Array.of(1) };
  assert.equal(figuresOf(evaluateCoco("segm", crowd, found, scope)).AP, -1);
  assert.throws(() => evaluateCoco("segm", { ...truth, masks: undefined }, found, scope), {
    message: "Cannot compare masks: there are none",
  });
});
