import { DataError } from "../dataset.ts";
import type { Mask } from "./mask.ts";

/** What a mask's labels mean. */
export interface LabelRule {
  /** Number of classes: labels are below it. */
  readonly classes: number;
  /** Label of pixels that count for nothing; 255 as a rule, 65535 for more classes. */
  readonly ignoreIndex: number;
  /** Whether 0 is to be ignored too, and the classes begin at 1, as in ADE20K. */
  readonly reduceZeroLabel: boolean;
}

/**
 * Turns labels as files have them into classes. With `reduceZeroLabel` 0 becomes ignored and any
 * other label one less, but what was ignored stays so: mmsegmentation's 0 → 255, minus 1, 254 → 255.
 *
 * @param name What errors call the mask.
 * @throws {DataError} If a label is neither a class nor ignored.
 */
export function applyLabelRule(mask: Mask, rule: LabelRule, name: string): Mask {
  const { classes, ignoreIndex, reduceZeroLabel } = rule;
  const first = Number(reduceZeroLabel);
  const labels = mask.labels.map((label) => {
    if (label === ignoreIndex || label < first) return ignoreIndex;
    if (label - first < classes) return label - first;
    const ignored = reduceZeroLabel ? `0, ${ignoreIndex}` : `${ignoreIndex}`;
    throw new DataError(
      `Cannot use mask ${name}: it holds the label ${label}, which is none of ${classes} classes ` +
        `(${first} … ${first + classes - 1}) nor ignored (${ignored})`,
    );
  });
  return { ...mask, labels };
}

/** @throws {RangeError} If the rule allows no mask, or ignores a class. */
export function checkLabelRule({ classes, ignoreIndex }: LabelRule): void {
  if (!(Number.isInteger(classes) && classes >= 1)) {
    throw new RangeError(`Cannot load masks: classes is ${classes}, not a positive integer`);
  }
  if (!(Number.isInteger(ignoreIndex) && ignoreIndex >= classes && ignoreIndex < 2 ** 16)) {
    throw new RangeError(
      `Cannot load masks: ignoreIndex is ${ignoreIndex}, not in ${classes} … 65535`,
    );
  }
}
