import { DataError, type Dataset } from "./dataset.ts";
import { decodeImage } from "./decode.ts";
import { idxImages } from "./idx.ts";
import type { Image } from "./resize.ts";

/** Where images come from: plain data, so that it can be posted to a worker. */
export type ImageSource =
  | { readonly kind: "folder"; readonly files: readonly string[]; readonly length: number }
  | { readonly kind: "idx"; readonly path: string; readonly length: number };

/**
 * Opens a source; grey images are repeated for three channels.
 *
 * @throws {DataError} If an IDX file is bad or has another length. Image files are only read, and
 * then may turn out bad, by `get`.
 */
export async function openSource(
  source: ImageSource,
  channels: 1 | 3,
): Promise<Dataset<Image>> {
  if (source.kind === "folder") {
    const { files } = source;
    return { length: files.length, get: (index) => decodeImage(files[index], channels) };
  }
  const images = await idxImages(source.path);
  if (images.length !== source.length) {
    throw new DataError(
      `Cannot use ${source.path}: it holds ${images.length} images, not ${source.length}`,
    );
  }
  return {
    length: images.length,
    get: async (index) => repeatChannel(await images.get(index), channels),
  };
}

function repeatChannel(grey: Image, channels: number): Image {
  if (channels === 1) return grey;
  const pixels = new Uint8Array(grey.pixels.length * channels);
  for (let i = 0; i < grey.pixels.length; i++) {
    pixels.fill(grey.pixels[i], i * channels, (i + 1) * channels);
  }
  return { ...grey, channels, pixels };
}
