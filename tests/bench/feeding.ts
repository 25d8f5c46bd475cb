/** How fast photos become training views: decoded, cropped at random, resized, flipped, normalised. */
import { loadBatches } from "../../data/loader.ts";
import { openImages } from "../../pipelines/images.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import type { Line } from "./measure.ts";

const BATCH = 32;
const MEASURED = 6; // batches

/** Views of 224² pixels of the bundled photos, by one worker and by two. */
export async function* feeding(): AsyncGenerator<Line> {
  const { data } = override(findRecipe("mcmae_base"), ["data.path=bundled:photos"]);
  const { train: source } = await openImages(data);
  for (const workers of [1, 2]) {
    const batches = loadBatches({
      ...{ source, seed: 0, start: 0, batch: BATCH, channels: 3, workers, maxBad: 0 },
      crop: { height: 224, width: 224, scale: [0.2, 1], flip: true },
      ...{ mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
    });
    await batches.next(); // workers start
    const start = performance.now();
    for (let i = 0; i < MEASURED; i++) await batches.next();
    const ms = (performance.now() - start) / (BATCH * MEASURED);
    await batches.return();
    yield { case: `images-224-${workers}-worker${workers > 1 ? "s" : ""}`, ms, per_s: 1000 / ms };
  }
}
