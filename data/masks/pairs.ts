import { DataError, holdsImages, imageFolder } from "../dataset.ts";

/** Images and their masks, in the order of their names. */
export interface Pairs {
  readonly images: readonly string[];
  readonly masks: readonly string[];
}

/**
 * Pairs the files of two folders by their paths below these, without extensions.
 *
 * @throws {DataError} If a folder cannot be read or is empty, a name is there twice, an image has no
 * mask, or a mask no image.
 */
export async function pairsIn(imagesFolder: string, masksFolder: string): Promise<Pairs> {
  const images = await byName(imagesFolder, "image");
  const masks = await byName(masksFolder, "mask");
  checkPartners("mask", images, masks, masksFolder);
  checkPartners("image", masks, images, imagesFolder);
  return {
    images: [...images.values()],
    masks: Array.from(images.keys(), (name) => masks.get(name)!),
  };
}

/** Files of a folder by their paths below it, without extension. */
async function byName(folder: string, kind: string): Promise<Map<string, string>> {
  const isEmpty = await Deno.stat(folder).then(
    async ({ isDirectory }) => isDirectory && !await holdsImages(folder),
    () => false, // imageFolder says why
  );
  if (isEmpty) throw new DataError(`Cannot use folder ${folder}: it holds no ${kind}`);
  const found = new Map<string, string>();
  for (const file of (await imageFolder(folder)).files) {
    const name = file.slice(folder.length + 1).replace(/\.[^.]*$/, "");
    const other = found.get(name);
    if (other) throw new DataError(`Cannot use ${file}: ${other} has the same name`);
    found.set(name, file);
  }
  return found;
}

function checkPartners(
  kind: string,
  files: ReadonlyMap<string, string>,
  partners: ReadonlyMap<string, string>,
  folder: string,
): void {
  const alone = [...files].filter(([name]) => !partners.has(name));
  if (alone.length === 0) return;
  const [[, file]] = alone;
  const more = alone.length > 1 ? `, like ${alone.length - 1} more` : "";
  throw new DataError(`Cannot use ${file}: it has no ${kind} in ${folder}${more}`);
}
