/** What the columns of `metrics.jsonl` are, and how each is drawn. */
import type { Curve, Scale } from "./charts.ts";
import { spanOf, thin } from "./series.ts";

/** A number of a run that may have a chart. */
interface Quantity {
  readonly title: string;
  readonly unit: string;
  readonly scale?: Scale;
  readonly look: Curve["look"];
  readonly factor?: number;
}

/** Columns of `metrics.jsonl` by name; others get a chart under their own name. */
const QUANTITIES: Readonly<Record<string, Quantity>> = {
  loss: { title: "Loss", unit: "loss", scale: "auto", look: "noisy" },
  val_loss: { title: "Validation loss", unit: "loss", scale: "auto", look: "plain" },
  loss_objectness: { title: "Loss: objectness of anchors", unit: "loss", look: "noisy" },
  loss_proposal: { title: "Loss: boxes of proposals", unit: "loss", look: "noisy" },
  loss_classification: { title: "Loss: classes of regions", unit: "loss", look: "noisy" },
  loss_box: { title: "Loss: boxes of things", unit: "loss", look: "noisy" },
  loss_mask: { title: "Loss: masks of things", unit: "loss", look: "noisy" },
  loss_main: { title: "Loss: UPerNet", unit: "loss", look: "noisy" },
  loss_auxiliary: { title: "Loss: auxiliary head, weighted", unit: "loss", look: "noisy" },
  val_top1: {
    title: "Validation top-1",
    unit: "% of the images",
    look: "plain",
    factor: 100,
  },
  val_top5: {
    title: "Validation top-5",
    unit: "% of the images",
    look: "plain",
    factor: 100,
  },
  val_miou: { title: "Validation mIoU", unit: "%", look: "plain", factor: 100 },
  val_macc: {
    title: "Validation mean accuracy",
    unit: "% of a class's pixels",
    look: "plain",
    factor: 100,
  },
  val_aacc: {
    title: "Validation accuracy",
    unit: "% of all pixels",
    look: "plain",
    factor: 100,
  },
  val_box_ap: { title: "Validation AP of boxes", unit: "%", look: "plain", factor: 100 },
  val_mask_ap: { title: "Validation AP of masks", unit: "%", look: "plain", factor: 100 },
  val_box_ap50: {
    title: "Validation AP of boxes at IoU 0.50",
    unit: "%",
    look: "plain",
    factor: 100,
  },
  val_mask_ap50: {
    title: "Validation AP of masks at IoU 0.50",
    unit: "%",
    look: "plain",
    factor: 100,
  },
  lr: { title: "Learning rate", unit: "learning rate", scale: "zero", look: "plain" },
  grad_norm: { title: "Gradient norm", unit: "L2 norm", scale: "log", look: "noisy" },
  images_per_s: { title: "Throughput", unit: "images/s", scale: "zero", look: "noisy" },
  data_wait: {
    title: "Waiting for data",
    unit: "% of the time",
    scale: "zero",
    look: "noisy",
    factor: 100,
  },
};

/** What a column of numbers is. */
export function quantityOf(name: string): Quantity {
  if (Object.hasOwn(QUANTITIES, name)) return QUANTITIES[name];
  const words = name.replaceAll("_", " ");
  return { title: words.charAt(0).toUpperCase() + words.slice(1), unit: words, look: "plain" };
}

/** Columns that have a chart, the usual ones first. */
export function chartNames(columns: readonly ReadonlyMap<string, readonly number[]>[]): string[] {
  const found = new Set(columns.flatMap((map) => [...map.keys()]));
  found.delete("epoch"); // another name for the step
  const usual = Object.keys(QUANTITIES).filter((name) => found.has(name));
  return [...usual, ...[...found].filter((name) => !usual.includes(name)).sort()];
}

/** More dots than this would hide each other. */
const SPARSE = 60;

/** A column as a curve; few points far apart show as dots. */
export function curveOf(
  name: string,
  steps: readonly number[],
  values: readonly number[],
): Curve {
  const { look, factor = 1 } = quantityOf(name);
  const points = thin(steps, factor === 1 ? values : values.map((value) => value * factor));
  const isSparse = points.length <= SPARSE && points.length < steps.length / 2;
  return { points, colour: "var(--accent)", look: isSparse ? "dots" : look };
}

/**
 * How many steps the moving average of a curve takes together.
 *
 * @param known Steps that have a value.
 */
export function averagedSteps({ points }: Curve, known: number): number {
  return Math.round(spanOf(points) * known / points.length);
}
