/**
 * What files of a classifier say of its clips, so that an evaluation need not be told.
 *
 * @module
 */
import type { Sampling } from "../../data/clips/sampling.ts";
import type { PaperFigure } from "../finetune_recipe.ts";
import type { VideoFinetuneRecipe } from "./finetune_recipe.ts";
import type { VideoModel } from "./recipe.ts";

/** How clips are made of videos. */
export interface ClipFacts {
  readonly sampling: Sampling["kind"];
  readonly stride: number;
  /** Short side that frames are read at. */
  readonly shortSide: number;
  /** Whether clips show their middle frame alone. */
  readonly still: boolean;
  /** What the paper reports for the recipe. */
  readonly paper: PaperFigure | null;
}

/** The metadata of a run's files, besides those of every model. */
export function clipMetadata(
  { data: { sampling, stride, shortSide, still }, paper }: Pick<
    VideoFinetuneRecipe,
    "data" | "paper"
  >,
): { readonly clips: string } {
  const facts: ClipFacts = { sampling, stride, shortSide, still, paper };
  return { clips: JSON.stringify(facts) };
}

/** What a file says; nothing if it is another's. */
export function clipFactsOf(metadata: Readonly<Record<string, unknown>>): Partial<ClipFacts> {
  const { clips } = metadata;
  return typeof clips === "string" ? JSON.parse(clips) : {};
}

/** How clips are taken, in words. */
export function clipText(
  { frames, imageSize }: Pick<VideoModel, "frames" | "imageSize">,
  { sampling, stride, still = false }: Pick<ClipFacts, "sampling" | "stride"> & {
    readonly still?: boolean;
  },
): string {
  const how = still
    ? "the middle one alone"
    : sampling === "dense"
    ? `stride ${stride}`
    : `one of each of ${frames} segments`;
  return `${[`${frames} frames`, ...imageSize].join(" × ")}, ${how}`;
}
