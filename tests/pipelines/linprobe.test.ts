import assert from "node:assert/strict";
import { probeFeatures } from "../../pipelines/linprobe.ts";
import { findProbeRecipe } from "../../pipelines/recipes/mod.ts";
import { sharedDevice } from "../check_op.ts";

/** Images whose class is the larger of two channels, by a little. */
function labelled(count: number, width: number) {
  const features = Float32Array.from({ length: count * width }, (_, i) => Math.sin(i * i));
  const labels = Int32Array.from(
    { length: count },
    (_, i) => Number(features[i * width] < features[i * width + 1]),
  );
  return { features, labels };
}

Deno.test("probeFeatures() measures as many images at once as the adapter can bind", async () => {
  const device = await sharedDevice();
  const width = 8;
  const sets = { train: labelled(12, width), val: labelled(7, width), classes: 2 };
  const recipe = { ...findProbeRecipe("linprobe_fashion"), batch: { micro: 2, effective: 2 } };
  const whole = await probeFeatures(device, recipe, sets);
  const limits = { ...device.limits, bindingBytes: 4 * width * 4 };
  const parts = await probeFeatures({ ...device, limits }, recipe, sets);
  assert.deepEqual(parts.accuracy, whole.accuracy);
  assert.ok(whole.accuracy.top1 > 0.5, `${whole.accuracy.top1}`);
});
