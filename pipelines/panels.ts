/**
 * Panels of a run: what the model makes of the same few images, step after step.
 *
 * @module
 */
import type { ImageSource } from "../data/source.ts";
import type { Device } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { stepName } from "./checkpoints.ts";
import type { Panel } from "./fit.ts";
import type { Recipe } from "./recipe.ts";
import { arrange, columnsOf, type OnBad, prepareReconstruction } from "./reconstruction.ts";
import { FILES } from "./run_folder.ts";

/**
 * Prepares to draw the panels of a run.
 *
 * @param params Parameters on the device.
 * @param source Where the images are from.
 */
export async function preparePanels(
  device: Device,
  recipe: Recipe,
  params: Params,
  source: ImageSource,
  folder: string,
  onBad?: OnBad,
): Promise<{ draw(step: number): Promise<Panel>; destroy(): void }> {
  const images = recipe.report.images;
  const reconstructor = await prepareReconstruction(device, recipe, params, source, images, onBad);
  const write = (name: string, png: Uint8Array) => Deno.writeFile(`${folder}/${name}`, png);
  let isFirst = true;
  return {
    /** Keeps the step's column, and a picture of all three; returns the picture. */
    async draw(step) {
      const columns = columnsOf(recipe, await reconstructor.run());
      const { original, masked, reconstructed } = columns;
      await Deno.mkdir(`${folder}/${FILES.panels}`, { recursive: true });
      const named = { ...(isFirst && { original, masked }), [stepName(step)]: reconstructed };
      isFirst = false;
      for (const [name, column] of Object.entries(named)) {
        await write(`${FILES.panels}/${name}.png`, (await arrange([column], recipe)).png);
      }
      const picture = await arrange([original, masked, reconstructed], recipe);
      await write(FILES.picture, picture.png);
      return picture;
    },
    destroy: () => reconstructor.destroy(),
  };
}
