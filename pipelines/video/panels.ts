/**
 * Panels of a run on clips: what the model makes of the same few clips, step after step.
 *
 * @module
 */
import type { ClipSource } from "../../data/clips/find.ts";
import type { Device } from "../../src/device.ts";
import type { Params } from "../../src/optim.ts";
import { type Panels, panelsOf } from "../panels.ts";
import type { OnBad } from "../reconstruction.ts";
import { FILES } from "../run_folder.ts";
import { arrangeStills, writeAnimation } from "./animation.ts";
import type { VideoRecipe } from "./recipe.ts";
import { clipColumns, prepareClipReconstruction } from "./reconstruction.ts";

/**
 * Prepares to draw the panels of a run: stills, in the files that images have, and the last step's
 * clips in motion.
 *
 * @param params Parameters on the device.
 * @param source Where the clips are from.
 */
export async function prepareClipPanels(
  device: Device,
  recipe: VideoRecipe,
  params: Params,
  source: ClipSource,
  folder: string,
  onBad?: OnBad,
): Promise<Panels> {
  const { model, report: { images: count } } = recipe;
  return panelsOf(
    await prepareClipReconstruction(device, recipe, params, source, count, onBad),
    folder,
    (result) => clipColumns(recipe, result),
    {
      arrange: (columns) => arrangeStills(columns, model),
      also: (columns) => writeAnimation(`${folder}/${FILES.animation}`, columns, model),
    },
  );
}
