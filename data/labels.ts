/** Labels of samples, as lists and shards spell them: whole numbers, or names of classes. */

import { DataError } from "./dataset.ts";
import type { ImageSource } from "./source.ts";

/** Labels as a source has them. */
export interface Labels {
  readonly labels?: Int32Array;
  readonly classes?: readonly string[];
}

/**
 * Turns words into labels: whole numbers stay, if all are; else the words are names of classes, in
 * code-unit order.
 *
 * @param words One a sample; `undefined` or empty where the label is unknown.
 */
export function labelsOf(words: readonly (string | undefined)[]): Labels {
  const known = new Set(words.filter((word) => word));
  if (known.size === 0) return {};
  if ([...known].every((word) => /^\d{1,9}$/.test(word!))) {
    return { labels: Int32Array.from(words, (word) => word ? Number(word) : -1) };
  }
  const classes = ([...known] as string[]).sort();
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  return { labels: Int32Array.from(words, (word) => word ? labelOf.get(word)! : -1), classes };
}

/**
 * Gives the classes of `val` the labels they have in `train`.
 *
 * @throws {DataError} If `val` has a class that `train` lacks, or only one of them has names.
 */
export function alignClasses(val: ImageSource, train: ImageSource, name: string): ImageSource {
  if (!train.labels || !val.labels) return val;
  const { classes } = train;
  if (!classes !== !val.classes) {
    const [named, numbered] = classes ? ["training", "validation"] : ["validation", "training"];
    throw new DataError(
      `Cannot validate on ${name}: classes have names in the ${named} images, numbers in the ${numbered} ones`,
    );
  }
  if (!classes) return val;
  const labelOf = new Map(classes.map((name, label) => [name, label]));
  const map = val.classes!.map((className) => {
    const label = labelOf.get(className);
    if (label !== undefined) return label;
    throw new DataError(`Cannot validate on ${name}: no training image is of class ${className}`);
  });
  return { ...val, classes, labels: val.labels.map((label) => label < 0 ? -1 : map[label]) };
}
