/**
 * Which classes a classifier takes for which.
 *
 * @module
 */
import { AccuracyCount } from "../accuracy.ts";
import type { LabelledImages } from "../labelled.ts";
import { UsageError } from "../usage.ts";

/** Images of a class, and how many of them it was found for. */
export interface ClassCount {
  readonly label: number;
  readonly n: number;
  readonly right: number;
}

/** A class that was taken for another. */
export interface Confusion {
  readonly label: number;
  readonly predicted: number;
  readonly n: number;
}

/** Counts what becomes of each class, `[N, K]` scores at a time. */
export class ConfusionCount {
  readonly accuracy = new AccuracyCount();
  readonly #counts = new Map<number, number>(); // label · K + prediction → images

  constructor(readonly classes: number) {}

  /**
   * @param scores `[N, K]`.
   * @param labels `[N]`.
   * @throws {RangeError} If a score is not finite.
   */
  add(scores: Float32Array, labels: ArrayLike<number>): void {
    const bad = scores.findIndex((score) => !Number.isFinite(score));
    if (bad >= 0) {
      throw new RangeError(`Cannot classify: a score is ${scores[bad]}, so the model is broken`);
    }
    this.accuracy.add(scores, labels);
    for (let i = 0; i < labels.length; i++) {
      const row = scores.subarray(i * this.classes, (i + 1) * this.classes);
      const predicted = row.reduce((best, score, k) => score > row[best] ? k : best, 0);
      const at = labels[i] * this.classes + predicted;
      this.#counts.set(at, (this.#counts.get(at) ?? 0) + 1);
    }
  }

  /** Classes that images have, in order. */
  byClass(): ClassCount[] {
    const counts = new Map<number, { label: number; n: number; right: number }>();
    for (const { label, predicted, n } of this.#all()) {
      const count = counts.getOrInsert(label, { label, n: 0, right: 0 });
      count.n += n;
      if (predicted === label) count.right += n;
    }
    return [...counts.values()].sort((a, b) => a.label - b.label);
  }

  /** The most frequent mistakes. */
  mistakes(most: number): Confusion[] {
    return this.#all().filter(({ label, predicted }) => label !== predicted)
      .sort((a, b) => b.n - a.n || a.label - b.label || a.predicted - b.predicted)
      .slice(0, most);
  }

  #all(): Confusion[] {
    return [...this.#counts].map(([at, n]) => {
      const predicted = at % this.classes;
      return { label: (at - predicted) / this.classes, predicted, n };
    });
  }
}

/** What the head of a model tells apart. */
export interface Head {
  readonly path: string;
  readonly classes: number;
  readonly classNames?: readonly string[];
}

/**
 * The outputs of a head for the labels of images: by name where both have names, else by number.
 *
 * @returns `[label]`.
 * @throws {UsageError} If the model does not know a class, or has another number of them.
 */
export function outputsOf(
  { path, classes, classNames }: Head,
  images: Pick<LabelledImages, "classes" | "classNames">,
  data: string,
): number[] {
  if (!classNames || !images.classNames) {
    if (images.classes === classes) return Array.from({ length: classes }, (_, label) => label);
    throw new UsageError(
      `Cannot classify ${data}: it has ${images.classes} classes, the head of ${path} has ${classes}`,
    );
  }
  return images.classNames.map((name) => {
    const output = classNames.indexOf(name);
    if (output >= 0) return output;
    throw new UsageError(
      `Cannot classify ${data}: the model in ${path} does not know its class ${name}`,
    );
  });
}
