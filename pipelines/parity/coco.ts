/** Golden evaluation of detections: COCO's figures of boxes and masks, and its API of masks. */
import { type Annotated, readAnnotations } from "../../data/coco/annotations.ts";
import { boxIou } from "../../data/coco/box.ts";
import { rasterise } from "../../data/coco/polygon.ts";
import { readResults } from "../../data/coco/results.ts";
import { areaOf, bitmapOf, boxOf, maskIou } from "../../data/coco/run_lengths.ts";
import { runsOf, runString } from "../../data/coco/run_string.ts";
import { groundTruthOf, heightsById } from "../../data/coco/things.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { AREA_RANGES, type CocoEvaluation, IOU_THRESHOLDS } from "../detect/coco_curves.ts";
import { evaluateCoco } from "../detect/coco_evaluate.ts";
import { figuresOf } from "../detect/coco_figures.ts";
import { BOUNDS, check, compare, type TensorCheck, unknown } from "./check.ts";
import { type Fixture, floats, json, namesUnder, tensorOf } from "./fixture.ts";

/** Absolute: figures are shares. */
const FIGURE = 1e-6;

/** Compares a `coco_eval` file: each pair of files in the folder `coco_eval`, and single masks. */
export function* checkCocoEval({ dir, file }: Fixture): Generator<TensorCheck> {
  for (const set of Object.keys(json<object>(file, "sets"))) {
    const path = `${dir}/coco_eval/${set}_gt.json`;
    const annotated = readAnnotations(path);
    const found = readResults(`${dir}/coco_eval/${set}_dt.json`, annotated);
    const truth = groundTruthOf(annotated, path, true);
    const scope = scopeOf(annotated);
    for (const kind of ["bbox", "segm"] as const) {
      const results = resultsOf(evaluateCoco(kind, truth, found, scope));
      for (const name of namesUnder(file, `${set}.${kind}.out.`)) {
        const path = `${set}.${kind}.out.${name}`;
        const values = results[name];
        yield values
          ? check(path, largestDifference(values, floats(file, path)), FIGURE)
          : unknown(path);
      }
    }
  }
  yield* checkMasks(file);
}

function scopeOf({ images, categories }: Annotated) {
  return { heights: heightsById(images), categories: categories.length };
}

/** Results under the names of the golden file. */
function resultsOf(evaluation: CocoEvaluation): Record<string, ArrayLike<number>> {
  const { categories, averagePrecision, precision, recall } = evaluation;
  const sizes = Object.keys(AREA_RANGES).length;
  const means = Array.from({ length: IOU_THRESHOLDS.length * sizes }, (_, i) => {
    const [t, a] = [Math.floor(i / sizes), i % sizes];
    const values = Array.from(
      { length: categories },
      (_, k) => averagePrecision[(t * categories + k) * sizes + a],
    ).filter((value) => value >= 0);
    return values.length === 0 ? -1 : values.reduce((sum, value) => sum + value) / values.length;
  });
  return {
    stats: Object.values(figuresOf(evaluation)),
    precision_areaAll_max100: precision,
    recall,
    AP_per_iou_area: means,
  };
}

function largestDifference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  return Array.from(expected).reduce(
    (most, value, i) => Math.max(most, Math.abs(value - actual[i])),
    0,
  );
}

interface Masks {
  readonly masks: readonly {
    readonly polygon: readonly number[];
    readonly counts: string;
    readonly size: readonly [number, number];
    readonly area: number;
    readonly bbox: readonly number[];
  }[];
  readonly iscrowd: readonly number[];
  readonly boxes_xywh: readonly number[][];
  readonly boxes_crowd: readonly number[];
}

function* checkMasks(file: Safetensors): Generator<TensorCheck> {
  const { masks, iscrowd, boxes_xywh, boxes_crowd } = json<Masks>(file, "maskapi");
  const exactly = (name: string, actual: ArrayLike<number>, expected: ArrayLike<number>) =>
    compare(`maskapi.${name}`, actual, expected, BOUNDS.exact);
  const runs = masks.map(({ counts }) => runsOf(counts));
  for (const [i, { polygon, counts, size, area, bbox }] of masks.entries()) {
    const drawn = rasterise(polygon, ...size);
    yield exactly(`polygon${i}`, drawn, runs[i]);
    yield check(`maskapi.string${i}`, runString(drawn) === counts ? 0 : 1, BOUNDS.exact);
    yield exactly(`area${i}`, [areaOf(runs[i])], [area]);
    yield exactly(`bbox${i}`, boxOf(runs[i], size[0]), bbox);
    const bitmap = bitmapOf({ counts: [...runs[i]], size });
    const expected = tensorOf(file, `maskapi.out.decode${i}`).data as Uint8Array;
    yield exactly(`out.decode${i}`, bitmap, expected);
  }
  // Stored as float32.
  const ious = runs.flatMap((a) =>
    runs.map((b, j) => Math.fround(maskIou(a, b, iscrowd[j] === 1)))
  );
  yield exactly("out.iou", ious, floats(file, "maskapi.out.iou"));
  const boxes = boxes_xywh.flat();
  const boxIous = boxes_xywh.flatMap((_, i) =>
    boxes_xywh.map((_, j) => Math.fround(boxIou(boxes, i, boxes, j, boxes_crowd[j] === 1)))
  );
  yield exactly("out.bbox_iou", boxIous, floats(file, "maskapi.out.bbox_iou"));
}
