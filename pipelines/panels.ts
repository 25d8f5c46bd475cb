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
import { arrange } from "./picture.ts";
import type { Recipe } from "./recipe.ts";
import {
  type Columns,
  columnsOf,
  type OnBad,
  prepareReconstruction,
  type Reconstruction,
  type Reconstructor,
} from "./reconstruction.ts";
import { FILES } from "./run_folder.ts";

/** Draws the panels of a run, as its parameters change. */
export interface Panels {
  /** Keeps the step's column, and a picture of all three; returns the picture. */
  draw(step: number): Promise<Panel>;
  destroy(): void;
}

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
): Promise<Panels> {
  const images = recipe.report.images;
  const reconstructor = await prepareReconstruction(device, recipe, params, source, images, onBad);
  return panelsOf(reconstructor, folder, (result) => columnsOf(recipe, result), {
    arrange: (columns) => arrange(columns, recipe),
  });
}

/** How columns become files. */
interface Drawing {
  arrange(columns: readonly Uint8Array[]): Promise<Panel>;
  /** Writes what else is made of all three. */
  also?(columns: readonly Uint8Array[]): Promise<void>;
}

/** Panels of what is reconstructed. */
export function panelsOf(
  reconstructor: Reconstructor,
  folder: string,
  columnsOf: (result: Reconstruction) => Columns,
  { arrange, also }: Drawing,
): Panels {
  const write = (name: string, png: Uint8Array) => Deno.writeFile(`${folder}/${name}`, png);
  let isFirst = true;
  return {
    async draw(step) {
      const { original, masked, reconstructed } = columnsOf(await reconstructor.run());
      await Deno.mkdir(`${folder}/${FILES.panels}`, { recursive: true });
      const named = { ...(isFirst && { original, masked }), [stepName(step)]: reconstructed };
      isFirst = false;
      for (const [name, column] of Object.entries(named)) {
        await write(`${FILES.panels}/${name}.png`, (await arrange([column])).png);
      }
      const all = [original, masked, reconstructed];
      const picture = await arrange(all);
      await write(FILES.picture, picture.png);
      await also?.(all);
      return picture;
    },
    destroy: () => reconstructor.destroy(),
  };
}
