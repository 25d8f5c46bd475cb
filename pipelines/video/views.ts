/**
 * Clips to look at: one view of each of some videos, always the same.
 *
 * @module
 */
import { type ClipViewBatch, loadClipViews } from "../../data/clips/evaluation_loader.ts";
import type { ClipSource } from "../../data/clips/find.ts";
import { DataError } from "../../data/dataset.ts";
import { subset } from "../../data/place.ts";
import type { OnBad } from "../reconstruction.ts";
import { type ClipDataSettings, samplingOf, type VideoModel } from "./recipe.ts";

/** What of a recipe decides which clips are looked at, and how large. */
export interface ClipViewSettings {
  readonly model: Pick<VideoModel, "frames" | "imageSize">;
  readonly data: Pick<
    ClipDataSettings,
    "sampling" | "stride" | "shortSide" | "decoder" | "cache" | "workers"
  >;
}

/**
 * Loads the middle of videos, a centre crop each, N at a time: videos spread over the source first,
 * then those between them. `indices` of a batch are places in this order.
 *
 * @param spread Videos that are wanted; bad ones are passed over, and more come as long as they are
 *   asked for.
 * @throws {DataError} If all are bad.
 */
export async function* loadSpread(
  { model, data }: ClipViewSettings,
  source: ClipSource,
  { spread, batch, prefetch }: {
    readonly spread: number;
    readonly batch: number;
    readonly prefetch: number;
  },
  onBad: OnBad = () => {},
): AsyncGenerator<ClipViewBatch, void, void> {
  const [height, width] = model.imageSize;
  const order = Uint32Array.from(spreadOver(source.length, spread));
  const batches = loadClipViews({
    ...{ source: subset(source, order) as ClipSource, batch, prefetch, workers: data.workers },
    ...{ sampling: samplingOf({ model, data }), decoder: data.decoder, shortSide: data.shortSide },
    ...(data.cache && { cache: data.cache }),
    clips: 1,
    // The longer side, so that the crop fits into a video of any shape.
    crops: { width, height, crops: 1, shortSide: Math.max(width, height) },
  });
  for await (const views of batches) {
    for (const [name, reason] of views.skipped) onBad(name, reason);
    yield views;
  }
}

/** The first good ones of videos spread over a source, or as many as there are; see {@linkcode loadSpread}. */
export async function evaluationClips(
  settings: ClipViewSettings,
  source: ClipSource,
  count: number,
  onBad?: OnBad,
): Promise<ClipViewBatch> {
  const batch = Math.min(count, source.length);
  const asked = { spread: count, batch, prefetch: 0 };
  for await (const views of loadSpread(settings, source, asked, onBad)) return views;
  throw new DataError("Cannot look at clips: there is none");
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * All places of a source, each once: first one in each of `count` equal parts, then another …
 *
 * They begin at another place in each part, since neighbours of one part often recur in the next, as
 * the views of a scene that every class has.
 */
export function* spreadOver(length: number, count: number): Generator<number, void, void> {
  const parts = Math.min(count, length);
  const edge = (part: number) => Math.floor(part * length / parts);
  for (let round = 0; round < Math.ceil(length / parts); round++) {
    for (let part = 0; part < parts; part++) {
      const size = edge(part + 1) - edge(part);
      const first = Math.floor(size * (part * GOLDEN % 1));
      if (round < size) yield edge(part) + (first + round) % size;
    }
  }
}
