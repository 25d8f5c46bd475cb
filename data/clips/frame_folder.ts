import { DataError, imageFolder } from "../dataset.ts";
import { decodeImage } from "../decode.ts";
import { resize } from "../resize.ts";
import type { Video } from "./video.ts";

const collator = new Intl.Collator("en", { numeric: true });

/**
 * Opens a folder of images as the frames of a video: by their names, numbers in these by value, so
 * that frame10 follows frame9.
 *
 * @throws {DataError} If it holds no image or the first cannot be read.
 */
export async function openFrameFolder(path: string): Promise<Video> {
  const { files } = await imageFolder(path);
  files.sort(collator.compare);
  const { width, height } = await decodeImage(files[0]);
  return {
    ...{ path, frames: files.length, width, height },
    async *decode(indices, size) {
      for (const index of indices) {
        const image = await decodeImage(files[index]);
        if (image.width !== width || image.height !== height) {
          const found = `${image.width} × ${image.height}`;
          throw new DataError(
            `Cannot use ${files[index]}: it is ${found}, the first frame ${width} × ${height}`,
          );
        }
        yield { index, pixels: resize(image, size.width, size.height, "bicubic").pixels };
      }
    },
  };
}
