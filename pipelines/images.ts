/**
 * From a recipe's data settings to a list of images.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { DataError, imageFolder } from "../data/dataset.ts";
import { idxImages } from "../data/idx.ts";
import type { ImageSource } from "../data/source.ts";
import { BUNDLED, type DataSettings } from "./recipe.ts";
import { UsageError } from "./usage.ts";

/**
 * The folder of photos that come with the project.
 *
 * @throws {DataError} If the module was not loaded from a folder.
 */
export function photosFolder(): string {
  if (!import.meta.url.startsWith("file:")) {
    throw new DataError("Cannot read the bundled photos over the network: name a folder of images");
  }
  return fileURLToPath(new URL("../data/photos", import.meta.url));
}

/**
 * Lists the training images of a recipe.
 *
 * @throws {UsageError} If the folder or file that was asked for is missing, empty or bad.
 */
export async function trainingImages(settings: DataSettings): Promise<ImageSource> {
  try {
    return await sourceOf(settings);
  } catch (error) {
    if (!(error instanceof DataError) || settings.path === BUNDLED) throw error;
    throw new UsageError(error.message, { cause: error });
  }
}

async function sourceOf({ path }: DataSettings): Promise<ImageSource> {
  const file = `${path}/train-images-idx3-ubyte.gz`;
  if (await Deno.stat(file).then(() => true, () => false)) {
    const { length } = await idxImages(file);
    return { kind: "idx", path: file, length };
  }
  const { files } = await imageFolder(path === BUNDLED ? photosFolder() : path!);
  return { kind: "folder", files, length: files.length };
}

/**
 * Channels that image files can give.
 *
 * @throws {UsageError} If it is another number.
 */
export function channelsOf(channels: number): 1 | 3 {
  if (channels === 1 || channels === 3) return channels;
  throw new UsageError(
    `Cannot load images of ${channels} channels: files give 1 or 3; set model.channels to one of them`,
  );
}
