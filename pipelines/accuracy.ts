/**
 * How often a classifier is right.
 *
 * @module
 */
import type { EvaluationOptions } from "../data/evaluation_loader.ts";
import type { ViewBatch } from "../data/views.ts";
import type { Device } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import type { Tensor } from "../src/tensor.ts";
import { inferInOrder, prepareInference } from "./inference.ts";

/** Shares of images. */
export interface Accuracy {
  /** Whose label has the highest score. */
  readonly top1: number;
  /** Whose label is among the five highest. */
  readonly top5: number;
  /** Mean cross entropy. */
  readonly loss: number;
  readonly n: number;
}

/** Counts over images, `[N, K]` scores at a time. */
export class AccuracyCount {
  #n = 0;
  #first = 0;
  #five = 0;
  #loss = 0;

  /** @param scores `[N, K]`. @param labels `[N]`. */
  add(scores: Float32Array, labels: ArrayLike<number>): void {
    const classes = scores.length / labels.length;
    for (let i = 0; i < labels.length; i++) {
      const row = scores.subarray(i * classes, (i + 1) * classes);
      const own = row[labels[i]];
      // Of equal scores the first counts, as torch.topk does on the CPU.
      let rank = 0;
      let total = 0;
      for (let k = 0; k < classes; k++) {
        // Written so that a score that is NaN is never right.
        if (k !== labels[i] && (!(row[k] <= own) || row[k] === own && k < labels[i])) rank++;
        total += Math.exp(row[k] - own);
      }
      this.#n++;
      if (rank === 0) this.#first++;
      if (rank < 5) this.#five++;
      this.#loss += Math.log(total);
    }
  }

  result(): Accuracy {
    const n = this.#n;
    return { top1: this.#first / n, top5: this.#five / n, loss: this.#loss / n, n };
  }
}

/**
 * Prepares to measure a classifier on the evaluation crops of a source.
 *
 * @param params Parameters on the device or the host.
 * @param score Class scores of images, `[N, H, W, C]` → `[N, K]`.
 */
export async function prepareAccuracy<P extends Params>(
  device: Device,
  { onBatch = () => {}, ...options }: EvaluationOptions & {
    /** Sees what each batch was loaded with, for the list of bad files. */
    readonly onBatch?: (batch: Pick<ViewBatch, "skipped" | "warnings">) => void;
  },
  params: P,
  score: (params: P, images: Tensor) => Tensor,
): Promise<{ measure(): Promise<Accuracy>; destroy(): void }> {
  const { batch, crop: { width, height }, channels } = options;
  const inference = await prepareInference(
    device,
    { batch, imageSize: [height, width], channels },
    params,
    (params, images) => ({ scores: score(params, images) }),
  );
  return {
    async measure() {
      const count = new AccuracyCount();
      for await (const batch of inferInOrder(inference, options)) {
        onBatch(batch);
        count.add(batch.values.scores, batch.labels!);
      }
      return count.result();
    },
    destroy: () => inference.destroy(),
  };
}
