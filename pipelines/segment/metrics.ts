/**
 * How well masks are predicted: intersections over unions, from counts over a whole dataset.
 *
 * @module
 */

/** Figures of a segmentation; a class that is neither labelled nor predicted has NaN. */
export interface SegmentationFigures {
  /** Mean intersection over union, over the classes that have one. */
  readonly mIoU: number;
  /** Mean over classes of the share of their pixels that is found. */
  readonly mAcc: number;
  /** Share of all pixels that is right. */
  readonly aAcc: number;
  /** By class. */
  readonly iou: readonly number[];
  readonly accuracy: readonly number[];
}

/** Pixels by class, over all images so far, as mmsegmentation counts them. */
export class SegmentationCount {
  readonly intersect: Float64Array;
  /** Predicted pixels, where the label is not ignored. */
  readonly predicted: Float64Array;
  readonly labelled: Float64Array;

  /** @param classes Number of classes; a label that is none of them is ignored. */
  constructor(readonly classes: number) {
    this.intersect = new Float64Array(classes);
    this.predicted = new Float64Array(classes);
    this.labelled = new Float64Array(classes);
  }

  /** @throws {RangeError} If there are not as many predictions as labels. */
  add(predictions: ArrayLike<number>, labels: ArrayLike<number>): void {
    if (predictions.length !== labels.length) {
      throw new RangeError(
        `Cannot compare ${predictions.length} predictions with ${labels.length} labels`,
      );
    }
    for (let i = 0; i < labels.length; i++) {
      const label = labels[i];
      if (label >= this.classes) continue;
      this.labelled[label]++;
      this.predicted[predictions[i]]++;
      if (predictions[i] === label) this.intersect[label]++;
    }
  }

  /** Pixels of a class that are labelled or predicted as it. */
  get union(): Float64Array {
    return this.intersect.map((both, k) => this.predicted[k] + this.labelled[k] - both);
  }

  figures(): SegmentationFigures {
    const { intersect, labelled, union } = this;
    const iou = Array.from(intersect, (both, k) => both / union[k]);
    const accuracy = Array.from(intersect, (both, k) => both / labelled[k]);
    return {
      ...{ mIoU: meanOf(iou), mAcc: meanOf(accuracy), iou, accuracy },
      aAcc: sumOf(intersect) / sumOf(labelled),
    };
  }
}

/** The mean of what is a number. */
function meanOf(values: readonly number[]): number {
  const known = values.filter((value) => !Number.isNaN(value));
  return sumOf(known) / known.length;
}

function sumOf(values: Float64Array | readonly number[]): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
