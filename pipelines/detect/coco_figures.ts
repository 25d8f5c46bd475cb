/**
 * The figures that COCO's detectors are compared by.
 *
 * @module
 */
import { AREA_RANGES, type CocoEvaluation, IOU_THRESHOLDS, MAX_DETECTIONS } from "./coco_curves.ts";

/** Figures by name: average precision and recall, shares of 1, or -1 where nothing counts. */
export type CocoFigures = Readonly<Record<typeof FIGURES[number]["name"], number>>;

type Size = keyof typeof AREA_RANGES;

/** A figure: what it is a mean over. */
interface Figure {
  readonly of: "precision" | "recall";
  /** Of overlap; all if undefined. */
  readonly threshold?: number;
  readonly size: Size;
  /** Detections on an image. */
  readonly most: typeof MAX_DETECTIONS[number];
}

/** The twelve, in the order of COCO's API. */
export const FIGURES = [
  { name: "AP", of: "precision", size: "all", most: 100 },
  { name: "AP50", of: "precision", threshold: 0.5, size: "all", most: 100 },
  { name: "AP75", of: "precision", threshold: 0.75, size: "all", most: 100 },
  { name: "APs", of: "precision", size: "small", most: 100 },
  { name: "APm", of: "precision", size: "medium", most: 100 },
  { name: "APl", of: "precision", size: "large", most: 100 },
  { name: "AR1", of: "recall", size: "all", most: 1 },
  { name: "AR10", of: "recall", size: "all", most: 10 },
  { name: "AR100", of: "recall", size: "all", most: 100 },
  { name: "ARs", of: "recall", size: "small", most: 100 },
  { name: "ARm", of: "recall", size: "medium", most: 100 },
  { name: "ARl", of: "recall", size: "large", most: 100 },
] as const satisfies readonly (Figure & { readonly name: string })[];

/**
 * The twelve figures.
 *
 * @param category Index of the one category that they are of; of all, if undefined.
 */
export function figuresOf(evaluation: CocoEvaluation, category?: number): CocoFigures {
  const figures = FIGURES.map((figure) => [figure.name, meanOf(evaluation, figure, category)]);
  return Object.fromEntries(figures);
}

function meanOf(evaluation: CocoEvaluation, figure: Figure, category?: number): number {
  const { categories, averagePrecision, recall } = evaluation;
  const sizes = Object.keys(AREA_RANGES);
  const [a, m] = [sizes.indexOf(figure.size), MAX_DETECTIONS.indexOf(figure.most)];
  let [sum, count] = [0, 0];
  for (const [t, threshold] of IOU_THRESHOLDS.entries()) {
    if (figure.threshold !== undefined && threshold !== figure.threshold) continue;
    for (let k = category ?? 0; k < (category === undefined ? categories : category + 1); k++) {
      const at = (t * categories + k) * sizes.length + a;
      const value = figure.of === "precision"
        ? averagePrecision[at]
        : recall[at * MAX_DETECTIONS.length + m];
      if (value < 0) continue;
      sum += value;
      count++;
    }
  }
  return count === 0 ? -1 : sum / count;
}
