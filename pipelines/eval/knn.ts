/**
 * The weighted k-nearest-neighbour classifier (arXiv:1805.01978), with the settings of DINO
 * (arXiv:2104.14294): it tells how good features are without training anything.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { matmul } from "../../src/ops/matmul.ts";
import { compile } from "../../src/plan/plan.ts";
import { read, upload } from "../../src/plan/read.ts";
import { tensor } from "../../src/tensor.ts";
import type { Accuracy } from "../accuracy.ts";

/** Features of N images with their classes. */
export interface LabelledFeatures {
  /** `[N, C]`. */
  readonly features: Float32Array;
  /** `[N]`, each below the number of classes. */
  readonly labels: Int32Array;
}

export interface KnnOptions {
  /** Features that vote. */
  readonly train: LabelledFeatures;
  /** Features that are classified. */
  readonly val: LabelledFeatures;
  readonly classes: number;
  /** Neighbours that vote; 20 unless given. */
  readonly k?: number;
  /** τ: a neighbour of cosine similarity s has exp(s / τ) votes; 0.07 unless given. */
  readonly temperature?: number;
}

/** Rows of a product: 1024 × 2048 similarities are 8 MiB, which the host can read without new pages. */
const [QUERIES, REFERENCES] = [1024, 2048];

/**
 * Classifies features by the votes of their nearest neighbours. A class without a vote is not among
 * the five, and equal votes go to the lower class.
 *
 * @returns Shares of `val` whose class had the most votes, or was among the five with the most.
 * @throws {RangeError} If features are of different widths, not finite or none, or an option is out
 * of its range.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { knnAccuracy, openDevice } from "@mcmae/mcmae";
 *
 * const features = new Float32Array([1, 0, 0, 1]); // two images of two channels
 * const labels = new Int32Array([0, 1]);
 * const [train, val] = [{ features, labels }, { features, labels }];
 * const { top1 } = await knnAccuracy(await openDevice(), { train, val, classes: 2, k: 1 });
 * assert.equal(top1, 1);
 * ```
 */
export async function knnAccuracy(
  device: Device,
  { train, val, classes, k = 20, temperature = 0.07 }: KnnOptions,
): Promise<Pick<Accuracy, "top1" | "top5">> {
  const count = train.labels.length;
  const width = train.features.length / count;
  if (!(count > 0 && val.labels.length > 0 && val.features.length / val.labels.length === width)) {
    throw new RangeError(
      `Cannot compare ${val.features.length} values of ${val.labels.length} images with ` +
        `${train.features.length} of ${count}`,
    );
  }
  if (!(Number.isSafeInteger(k) && k > 0)) {
    throw new RangeError(`Cannot take k = ${k} neighbours: it is no positive integer`);
  }
  if (!(temperature > 0)) {
    throw new RangeError(
      `Cannot weigh neighbours: the temperature is ${temperature}, not positive`,
    );
  }
  const nearest = await findNearest(
    device,
    normaliseRows(val.features, width),
    normaliseRows(train.features, width),
    width,
    Math.min(k, count),
  );
  let [top1, top5] = [0, 0];
  for (let i = 0; i < val.labels.length; i++) {
    const rank = rankOf(votesOf(nearest, i, train.labels, classes, temperature), val.labels[i]);
    top1 += Number(rank < 1);
    top5 += Number(rank < 5);
  }
  return { top1: top1 / val.labels.length, top5: top5 / val.labels.length };
}

/** Rows of length 1, as float32; rows of zeros stay. */
function normaliseRows(features: Float32Array, width: number): Float32Array<ArrayBuffer> {
  const rows = new Float32Array(features.length);
  for (let start = 0; start < features.length; start += width) {
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += features[i] ** 2;
    if (!Number.isFinite(sum)) {
      throw new RangeError(
        `Cannot compare features: those of image ${start / width} are not finite`,
      );
    }
    const scale = 1 / Math.max(Math.sqrt(sum), 1e-12); // eps of PyTorch's normalize
    for (let i = start; i < start + width; i++) rows[i] = features[i] * scale;
  }
  return rows;
}

/** The k nearest references of each query, the nearest first: `[N, k]` each. */
interface Nearest {
  readonly k: number;
  readonly similarity: Float32Array;
  readonly index: Uint32Array;
}

/** Tile by tile: similarities on the device, the nearest so far on the host. */
async function findNearest(
  device: Device,
  queries: Float32Array,
  references: Float32Array,
  width: number,
  k: number,
): Promise<Nearest> {
  const [n, count] = [queries.length / width, references.length / width];
  const [rows, columns] = [tileOf(n, QUERIES), tileOf(count, REFERENCES)];
  const tile = (values: Float32Array, start: number, length: number) => {
    const padded = new Float32Array(length * width);
    padded.set(values.subarray(start * width, (start + length) * width));
    return tensor(padded, [length, width]);
  };
  const nearest: Nearest = {
    k,
    similarity: new Float32Array(n * k).fill(-Infinity),
    index: new Uint32Array(n * k),
  };
  const plan = await compile(
    device,
    ({ a, b }) => ({ product: matmul(a, b, { transposeB: true }) }),
    { a: tile(queries, 0, rows), b: tile(references, 0, columns) },
  );
  try {
    for (let at = 0; at < count; at += columns) {
      const b = upload(device, tile(references, at, columns));
      let merged: Promise<void> | undefined;
      for (let start = 0; start < n; start += rows) {
        const { product } = plan.run({ a: tile(queries, start, rows), b });
        // The copy is queued at once, so before the next run, which need not wait for the host.
        const reading = read(device, product);
        await merged;
        merged = reading.then((similarities) =>
          merge(nearest, similarities as Float32Array, columns, {
            ...{ query: start, queries: Math.min(rows, n - start) },
            ...{ reference: at, references: Math.min(columns, count - at) },
          })
        );
        merged.catch(() => {}); // reported where it is awaited
      }
      await merged;
      (b.source as { buffer: GPUBuffer }).buffer.destroy();
    }
  } finally {
    plan.destroy();
  }
  return nearest;
}

/** Rows of a tile: as many as there are, up to `most`, and a multiple of four for fast kernels. */
function tileOf(count: number, most: number): number {
  return Math.min(most, 4 * Math.ceil(count / 4));
}

/** Where a tile begins, and how much of it counts. */
interface Tile {
  readonly query: number;
  readonly queries: number;
  readonly reference: number;
  readonly references: number;
}

/** Inserts a tile's similarities `[rows, columns]` into sorted lists; the first of equals stays. */
function merge(
  { k, similarity, index }: Nearest,
  tile: Float32Array,
  columns: number,
  { query, queries, reference, references }: Tile,
): void {
  for (let row = 0; row < queries; row++) {
    const first = (query + row) * k;
    const last = first + k - 1;
    let least = similarity[last];
    for (let column = 0, at = row * columns; column < references; column++, at++) {
      const found = tile[at];
      if (found <= least) continue; // nearly always
      let place = last;
      for (; place > first && similarity[place - 1] < found; place--) {
        similarity[place] = similarity[place - 1];
        index[place] = index[place - 1];
      }
      similarity[place] = found;
      index[place] = reference + column;
      least = similarity[last];
    }
  }
}

/** Votes for each class, up to a factor that keeps them finite. */
function votesOf(
  { k, similarity, index }: Nearest,
  query: number,
  labels: Int32Array,
  classes: number,
  temperature: number,
): Float64Array {
  const votes = new Float64Array(classes);
  const best = similarity[query * k];
  for (let i = query * k; i < (query + 1) * k; i++) {
    votes[labels[index[i]]] += Math.exp((similarity[i] - best) / temperature);
  }
  return votes;
}

/** How many classes are before one; infinite if it has no vote. */
function rankOf(votes: Float64Array, label: number): number {
  const own = votes[label];
  if (!(own > 0)) return Infinity;
  let rank = 0;
  for (let other = 0; other < votes.length; other++) {
    if (votes[other] > own || votes[other] === own && other < label) rank++;
  }
  return rank;
}
