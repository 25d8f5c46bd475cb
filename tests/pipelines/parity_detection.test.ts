import assert from "node:assert/strict";
import { checkDetectionBoxes } from "../../pipelines/parity/detection_boxes.ts";
import { checkDetectionMasks } from "../../pipelines/parity/detection_masks.ts";
import { loadSafetensors, type Safetensors } from "../../src/safetensors.ts";

const load = () => loadSafetensors("tests/golden/detection_ops.safetensors");

const checksOf = (file: Safetensors) => [
  ...[...checkDetectionBoxes(file), ...checkDetectionMasks(file)],
];
const wrongIn = (file: Safetensors) =>
  checksOf(file).filter(({ ok }) => !ok).map(({ tensor }) => tensor);

Deno.test("checkDetectionBoxes() and checkDetectionMasks() find what detectron2 does", async () => {
  const file = await load();
  const names = checksOf(file).map(({ tensor }) => tensor);
  assert.equal(new Set(names).size, names.length);
  const blocks =
    /^(box|nms|anchors|matcher|levels|proposals|paste)\.out\.|\.(infer_\w+|\w+_targets)$/;
  for (const name of file.tensors.keys().filter((name) => blocks.test(name))) {
    assert.ok(names.includes(name), `${name} is not compared`);
  }
  assert.deepEqual(wrongIn(file), []);
});

Deno.test("checkDetectionBoxes() and checkDetectionMasks() notice one wrong number, label or pixel, and few wrong labels of ties not", async () => {
  const file = await load();
  const data = (name: string) => file.tensors.get(name)!.data as Float32Array;
  data("nms.out.batched_0.7")[80]++;
  data("matcher.out.rpn_idx")[7]++;
  data("proposals.out.boxes_img1")[0] += 0.1;
  const mask = data("paste.out.soft_x255");
  mask[mask.findIndex((value) => value > 100)] += 1;
  data("rpn.out.presample_labels_img0").subarray(0, 4).fill(5);
  data("rpn.out.presample_labels_img1").subarray(0, 9).fill(5);
  assert.deepEqual(wrongIn(file), [
    ...["nms.out.batched_0.7", "matcher.out.rpn_idx", "rpn.out.presample_labels_img1"],
    ...["proposals.out.boxes_img1", "paste.out.soft_x255"],
  ]);
});
