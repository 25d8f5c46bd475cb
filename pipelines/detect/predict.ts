/**
 * Things in images of any size.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { rescaleInstances } from "../../src/detection/instances.ts";
import { pasteMask } from "../../src/detection/paste.ts";
import {
  detectThings,
  type EvaluationRule,
  type MaskRcnnParams,
  type MaskRcnnSettings,
} from "../../src/models/mask_rcnn.ts";
import type { Params } from "../../src/optim.ts";
import { compile } from "../../src/plan/plan.ts";
import { readAll } from "../../src/plan/read.ts";
import { tensor } from "../../src/tensor.ts";
import { makeResident } from "../inference.ts";

/** An image, prepared. */
export interface Prepared {
  /** Normalised pixels of the canvas `[H, W, C]`; 0 beyond the image. */
  readonly image: Float32Array<ArrayBuffer>;
  /** What the image fills of it, and its own size. */
  readonly filled: readonly [height: number, width: number];
  readonly original: readonly [height: number, width: number];
}

/** A thing that was found, in pixels of the image itself. */
export interface FoundThing {
  /** Left, top, right and bottom edge. */
  readonly box: readonly [number, number, number, number];
  readonly score: number;
  /** Index of its class. */
  readonly category: number;
  /** 0 or 1, `[H, W]` of the image. */
  readonly mask: Uint8Array<ArrayBuffer>;
}

/** Finds things. */
export interface Detector {
  /** The things of an image, best first. */
  detect(image: Prepared): Promise<FoundThing[]>;
  readonly dispatches: number;
  /** Bytes of device memory that its plan binds. */
  readonly peakBytes: number;
  destroy(): void;
}

/**
 * Prepares to find things.
 *
 * @param params On the host or the device.
 * @param sides Of the canvas, multiples of 32.
 */
export async function prepareDetector(
  device: Device,
  settings: MaskRcnnSettings,
  params: MaskRcnnParams,
  sides: readonly [height: number, width: number],
  rule: EvaluationRule,
): Promise<Detector> {
  const { params: resident, free } = makeResident(device, params as Params);
  const shape = [1, ...sides, settings.backbone.encoder.channels];
  const inputs = (image: Float32Array<ArrayBuffer>, filled: readonly number[]) => ({
    images: tensor(image, shape),
    filled: tensor(filled, [1, 2]),
  });
  const size = shape.reduce((product, side) => product * side);
  const plan = await compile(
    device,
    ({ params, batch: { images, filled } }) =>
      detectThings(params as unknown as MaskRcnnParams, settings, images, filled, rule),
    { params: resident, batch: inputs(new Float32Array(size), sides) },
  ).catch((error) => {
    free();
    throw error;
  });
  return {
    dispatches: plan.dispatches,
    peakBytes: plan.peakBytes,
    async detect({ image, filled, original }) {
      const found = await plan.runAsync({ params: resident, batch: inputs(image, filled) });
      const [boxes, scores, classes, masks] = await readAll(
        device,
        [found.boxes, found.scores, found.classes, found.masks],
      );
      const count = classes.findIndex((label) => label >= settings.classes);
      const n = count < 0 ? classes.length : count;
      const rescaled = rescaleInstances(
        {
          boxes: (boxes as Float32Array<ArrayBuffer>).slice(0, 4 * n),
          scores: (scores as Float32Array<ArrayBuffer>).slice(0, n),
          classes: (classes as Uint32Array<ArrayBuffer>).slice(0, n),
          proposals: Uint32Array.from({ length: n }, (_, i) => i),
        },
        filled,
        original,
      );
      const side = found.masks.shape[1];
      return Array.from(rescaled.scores, (score, i): FoundThing => {
        const row = rescaled.proposals[i] * side * side;
        const [x0, y0, x1, y1] = rescaled.boxes.subarray(4 * i, 4 * i + 4);
        const mask = (masks as Float32Array).subarray(row, row + side * side);
        return {
          ...{ box: [x0, y0, x1, y1], score, category: rescaled.classes[i] },
          mask: pasteMask(mask, [x0, y0, x1, y1], original),
        };
      });
    },
    destroy: () => {
      plan.destroy();
      free();
    },
  };
}
