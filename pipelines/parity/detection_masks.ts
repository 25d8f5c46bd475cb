/** Golden primitives of Mask R-CNN that the host computes: masks to learn from, and masks in an image. */
import { rasterise } from "../../data/coco/polygon.ts";
import type { Sides } from "../../src/detection/boxes.ts";
import { bitmapTarget, polygonTarget } from "../../src/detection/mask_targets.ts";
import { pasteMask, pasteSoftMask } from "../../src/detection/paste.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { BOUNDS, check, compare, type TensorCheck } from "./check.ts";
import { differing, integers } from "./detection_boxes.ts";
import { floats, json, tensorOf } from "./fixture.ts";

/** The file's own bound on the share of a target's cells that differ. */
const CELLS = 0.005;
/** How near to where a pixel's value changes it may differ. */
const NEAR = 1e-4;

interface MaskSettings {
  readonly image_hw: Sides;
  readonly polygons: readonly (readonly number[])[][];
}

/** What the mask head should learn of each of the file's things, `[things, side, side]`. */
export function maskTargetsOf(file: Safetensors, kind: "bitmask" | "polygon"): number[] {
  const { image_hw, polygons } = json<MaskSettings>(file, "mask");
  const boxes = floats(file, "mask.proposal_boxes");
  const bitmaps = integers(file, "mask.gt_bitmasks") as Uint8Array;
  const [things, , side] = tensorOf(file, "mask.logits").shape;
  const pixels = image_hw[0] * image_hw[1];
  return Array.from({ length: things }, (_, i) => {
    const box = boxes.subarray(4 * i, 4 * i + 4);
    const bitmap = bitmaps.subarray(i * pixels, (i + 1) * pixels);
    return kind === "bitmask"
      ? [...bitmapTarget(bitmap, image_hw, box, side)]
      : [...polygonTarget(polygons[i], box, side, rasterise)];
  }).flat();
}

/** Compares mask targets and pasted masks. */
export function* checkDetectionMasks(file: Safetensors): Generator<TensorCheck> {
  for (const kind of ["bitmask", "polygon"] as const) {
    const name = `mask.out.${kind}_targets`;
    const found = maskTargetsOf(file, kind);
    yield check(name, differing(found, integers(file, name)), CELLS);
  }
  const { image_hw, threshold } = json<{ image_hw: Sides; threshold: number }>(file, "paste");
  const [masks, boxes] = [floats(file, "paste.masks"), floats(file, "paste.boxes")];
  const paste = (
    fn: (mask: Float32Array, box: Float32Array, image: Sides, threshold: number) => Uint8Array,
    factor: number,
  ) => {
    const cells = 4 * masks.length / boxes.length;
    return Array.from({ length: boxes.length / 4 }, (_, i) => {
      const mask = masks.slice(i * cells, (i + 1) * cells).map((value) => value * factor);
      return [...fn(mask, boxes.subarray(4 * i, 4 * i + 4), image_hw, threshold)];
    }).flat();
  };
  for (const [name, fn] of [["binary", pasteMask], ["soft_x255", pasteSoftMask]] as const) {
    const expected = integers(file, `paste.out.${name}`);
    const [low, high] = [paste(fn, 1 - NEAR), paste(fn, 1 + NEAR)];
    const near = paste(fn, 1).map((value, i) =>
      low[i] <= expected[i] && expected[i] <= high[i] ? expected[i] : value
    );
    yield compare(`paste.out.${name}`, near, expected, BOUNDS.exact);
  }
}
