import assert from "node:assert/strict";
import { applyLabelRule, checkLabelRule, type LabelRule } from "../../../data/masks/label_rule.ts";

function applied(labels: number[], rule: LabelRule): number[] {
  const mask = { width: labels.length, height: 1, labels: Uint16Array.from(labels) };
  return [...applyLabelRule(mask, rule, "m.png").labels];
}

const ADE: LabelRule = { classes: 150, ignoreIndex: 255, reduceZeroLabel: true };

Deno.test("applyLabelRule() keeps classes and what is ignored", () => {
  const rule = { classes: 3, ignoreIndex: 255, reduceZeroLabel: false };
  assert.deepEqual(applied([0, 1, 2, 255], rule), [0, 1, 2, 255]);
  const many = { classes: 1000, ignoreIndex: 65535, reduceZeroLabel: false };
  assert.deepEqual(applied([255, 999, 65535], many), [255, 999, 65535]);
});

Deno.test("applyLabelRule() reduces labels once, as mmsegmentation does", () => {
  assert.deepEqual(applied([0, 1, 2, 150, 255], ADE), [255, 0, 1, 149, 255]);
});

Deno.test("applyLabelRule() names a mask with a label that is no class", () => {
  assert.throws(() => applied([0, 7], { classes: 7, ignoreIndex: 255, reduceZeroLabel: false }), {
    name: "DataError",
    message: "Cannot use mask m.png: it holds the label 7, which is none of 7 classes (0 … 6) " +
      "nor ignored (255)",
  });
  assert.throws(() => applied([151], ADE), {
    name: "DataError",
    message: /label 151, which is none of 150 classes \(1 … 150\) nor ignored \(0, 255\)$/,
  });
  assert.throws(() => applied([254], ADE), /label 254/);
});

Deno.test("checkLabelRule() refuses to ignore a class", () => {
  checkLabelRule(ADE);
  for (const change of [{ classes: 0 }, { classes: 256 }, { ignoreIndex: 65536 }]) {
    assert.throws(() => checkLabelRule({ ...ADE, ...change }), RangeError);
  }
});
