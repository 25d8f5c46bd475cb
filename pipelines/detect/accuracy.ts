/**
 * How well a detector does on annotated images, by COCO's figures.
 *
 * @module
 */
import { readAnnotations } from "../../data/coco/annotations.ts";
import { areaOf, runLengths } from "../../data/coco/run_lengths.ts";
import { runString } from "../../data/coco/run_string.ts";
import {
  type Detections,
  type GroundTruth,
  groundTruthOf,
  heightsById,
} from "../../data/coco/things.ts";
import { loadThingsInOrder, type ThingPicture } from "../../data/things/evaluation_loader.ts";
import type { ThingEvaluationOptions } from "../../data/things/evaluation_loader.ts";
import type { ThingSource } from "../../data/things/source.ts";
import { evaluateCoco } from "./coco_evaluate.ts";
import type { CocoEvaluation } from "./coco_curves.ts";
import type { Detector, FoundThing } from "./predict.ts";

/** What is true of a source's images. */
export interface Truth {
  readonly truth: GroundTruth;
  /** Heights of images, by increasing id. */
  readonly heights: Int32Array;
  /** Which of these is the image of an id. */
  readonly rankOf: ReadonlyMap<number, number>;
  /** Number of categories, K. */
  readonly categories: number;
}

/** Reads what is true of the images of a source, and of no others of its annotations. */
export function truthOf({ annotations: path, ids, categories }: ThingSource): Truth {
  const own = new Set(ids);
  const all = readAnnotations(path);
  const images = all.images.filter(({ id }) => own.has(id));
  const annotations = all.annotations.filter(({ image_id }) => own.has(image_id));
  const indices = new Map(images.map(({ id }, index) => [id, index]));
  const annotated = {
    ...{ ...all, images, annotations },
    imageIds: { get: (id: unknown) => indices.get(id as number) },
  };
  const sorted = [...own].sort((a, b) => a - b);
  return {
    truth: groundTruthOf(annotated, path, true),
    heights: heightsById(images),
    rankOf: new Map(sorted.map((id, rank) => [id, rank])),
    categories: categories.length,
  };
}

/** A thing that was found, as files of results have it. */
export interface CocoResult {
  readonly image_id: number;
  readonly category_id: number;
  /** Left and upper edge, and extent, in pixels. */
  readonly bbox: readonly [x: number, y: number, width: number, height: number];
  readonly score: number;
  readonly segmentation: {
    readonly counts: string;
    readonly size: readonly [height: number, width: number];
  };
}

/** A thing as COCO's files have it. */
export function resultOf(
  { box: [x0, y0, x1, y1], score, category, mask }: FoundThing,
  size: readonly [height: number, width: number],
  image_id: number,
  { categories }: Pick<ThingSource, "categories">,
): CocoResult {
  const rounded = (value: number) => Number(value.toFixed(3));
  return {
    ...{ image_id, category_id: categories[category].id },
    bbox: [rounded(x0), rounded(y0), rounded(x1 - x0), rounded(y1 - y0)],
    score: Number(score.toFixed(6)),
    segmentation: { counts: runString(runLengths(mask, ...size).counts), size },
  };
}

/** Figures of boxes and of masks. */
export interface DetectionAccuracy {
  readonly bbox: CocoEvaluation;
  readonly segm: CocoEvaluation;
  readonly results: readonly CocoResult[];
  /** Images looked at. */
  readonly n: number;
}

/**
 * Finds the things of all images of a source and compares them with the truth.
 *
 * @param onPicture Sees each image with what was found.
 */
export async function measureDetection(
  detector: Detector,
  source: ThingSource,
  options: Omit<ThingEvaluationOptions, "source">,
  known: Truth = truthOf(source),
  onPicture: (picture: ThingPicture, found: readonly FoundThing[]) => void | Promise<void> =
    () => {},
): Promise<DetectionAccuracy> {
  const results: CocoResult[] = [];
  const columns = { image: [] as number[], category: [] as number[], area: [] as number[] };
  let n = 0;
  for await (const picture of loadThingsInOrder({ ...options, source })) {
    const found = await detector.detect(picture);
    const id = source.ids[picture.index];
    for (const thing of found) {
      const result = resultOf(thing, picture.original, id, source);
      results.push(result);
      columns.image.push(known.rankOf.get(id)!);
      columns.category.push(thing.category);
      columns.area.push(areaOf(runLengths(thing.mask, ...picture.original).counts));
    }
    n++;
    await onPicture(picture, found);
  }
  const detections: Detections = {
    length: results.length,
    image: Int32Array.from(columns.image),
    category: Int32Array.from(columns.category),
    boxes: Float64Array.from(results.flatMap(({ bbox }) => bbox)),
    score: Float64Array.from(results, ({ score }) => score),
    masks: results.map(({ segmentation }) => segmentation.counts),
    maskArea: Float64Array.from(columns.area),
  };
  const { truth, ...scope } = known;
  return {
    bbox: evaluateCoco("bbox", truth, detections, scope),
    segm: evaluateCoco("segm", truth, detections, scope),
    ...{ results, n },
  };
}
