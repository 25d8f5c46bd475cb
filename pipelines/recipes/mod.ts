/** All recipes by name. */
import type { FinetunePreset } from "../finetune_recipe.ts";
import type { ProbePreset } from "../probe_recipe.ts";
import { nearest, type Recipe, UsageError } from "../recipe.ts";
import type { DetectPreset } from "../detect/recipe.ts";
import type { SegmentPreset } from "../segment/recipe.ts";
import type { VideoFinetunePreset } from "../video/finetune_recipe.ts";
import type { VideoRecipe } from "../video/recipe.ts";
import { fashionMnist, fashionMnistMae } from "./fashion_mnist.ts";
import { finetune, finetuneFashion, finetuneImagenet } from "./finetune.ts";
import { linprobe, linprobeFashion, linprobeImagenet } from "./linprobe.ts";
import { maeBase } from "./mae_base.ts";
import { mcmaeBase } from "./mcmae_base.ts";
import { mcmaeBaseStar } from "./mcmae_base_star.ts";
import { mcmaeHuge } from "./mcmae_huge.ts";
import { mcmaeLarge } from "./mcmae_large.ts";
import { mcmaeSmall } from "./mcmae_small.ts";
import { quickstart } from "./quickstart.ts";
import { detectRecipes } from "./detect.ts";
import { segmentRecipes } from "./segment.ts";
import { videoRecipes } from "./video.ts";
import { videoFinetuneRecipes } from "./video_finetune.ts";

/** From the smallest to the largest, then the baseline. */
export const recipes: readonly Recipe[] = [
  quickstart,
  fashionMnist,
  fashionMnistMae,
  mcmaeSmall,
  mcmaeBase,
  mcmaeBaseStar,
  mcmaeLarge,
  mcmaeHuge,
  maeBase,
];

/**
 * Finds a recipe by its name.
 *
 * @throws {UsageError} If there is none; it proposes the nearest name, or lists all.
 */
export function findRecipe(name: string): Recipe {
  return findIn(recipes, name);
}

/** All recipes of pretraining, of images and of clips. */
export const pretrainRecipes: readonly (Recipe | VideoRecipe)[] = [...recipes, ...videoRecipes];

/**
 * Finds a recipe of pretraining by its name.
 *
 * @throws {UsageError} As {@linkcode findRecipe}.
 */
export function findPretrainRecipe(name: string): Recipe | VideoRecipe {
  return findIn(pretrainRecipes, name);
}

/** Recipes of fine-tuning on images. */
export const finetuneRecipes: readonly FinetunePreset[] = [
  finetune,
  finetuneFashion,
  finetuneImagenet,
];

/**
 * Finds a recipe of fine-tuning on images by its name.
 *
 * @throws {UsageError} As {@linkcode findRecipe}.
 */
export function findFinetuneRecipe(name: string): FinetunePreset {
  return findIn(finetuneRecipes, name);
}

/** A recipe of fine-tuning on images, on clips, or on images with masks or things. */
export type AnyFinetunePreset =
  | FinetunePreset
  | VideoFinetunePreset
  | SegmentPreset
  | DetectPreset;

const anyFinetuneRecipes: readonly AnyFinetunePreset[] = [
  ...finetuneRecipes,
  ...videoFinetuneRecipes,
  ...segmentRecipes,
  ...detectRecipes,
];

/**
 * Finds any recipe of fine-tuning by its name.
 *
 * @throws {UsageError} As {@linkcode findRecipe}.
 */
export function findAnyFinetuneRecipe(name: string): AnyFinetunePreset {
  return findIn(anyFinetuneRecipes, name);
}

type ModelRecipe = Recipe | VideoRecipe | AnyFinetunePreset;

const modelRecipes: readonly ModelRecipe[] = [...pretrainRecipes, ...anyFinetuneRecipes];

/**
 * Finds a recipe that trains a whole model, by its name: of pretraining or of fine-tuning.
 *
 * @throws {UsageError} As {@linkcode findRecipe}.
 */
export function findModelRecipe(name: string): ModelRecipe {
  return findIn(modelRecipes, name);
}

/** Recipes of linear probes. */
export const probeRecipes: readonly ProbePreset[] = [linprobe, linprobeFashion, linprobeImagenet];

/** All that a run may follow. */
export const allRecipes: readonly (ModelRecipe | ProbePreset)[] = [
  ...modelRecipes,
  ...probeRecipes,
];

/**
 * Finds a recipe of a linear probe by its name.
 *
 * @throws {UsageError} As {@linkcode findRecipe}.
 */
export function findProbeRecipe(name: string): ProbePreset {
  return findIn(probeRecipes, name);
}

function findIn<R extends { readonly name: string }>(recipes: readonly R[], name: string): R {
  const found = recipes.find((recipe) => recipe.name === name);
  if (found) return found;
  const names = recipes.map((recipe) => recipe.name);
  const meant = nearest(name, names);
  throw new UsageError(
    `Unknown recipe ${name}: ${
      meant ? `did you mean ${meant}?` : `choose from ${names.join(", ")}`
    }`,
  );
}
