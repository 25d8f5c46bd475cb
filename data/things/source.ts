import type { CocoCategory, Segmentation } from "../coco/instances.ts";
import { holdOut } from "../split.ts";

/** A thing in an image, with its mask. */
export interface Thing {
  /** Index of its category. */
  readonly category: number;
  readonly segmentation: Segmentation;
}

/** Images and the things in them: plain data, which can be posted to a worker. */
export interface ThingSource {
  readonly kind: "things";
  readonly length: number;
  readonly images: readonly string[];
  /** Of each image: its id in the annotations, and its height and width there. */
  readonly ids: readonly number[];
  readonly sizes: readonly (readonly [height: number, width: number])[];
  /** Things to learn from; regions of many are left out. */
  readonly things: readonly (readonly Thing[])[];
  /** By increasing id; the index of one is its class. */
  readonly categories: readonly CocoCategory[];
  /** File that all this is from. */
  readonly annotations: string;
  /** Folder that names of images begin below. */
  readonly root: string;
}

/** Name of an image: its path below the source's folder. */
export function thingName({ images, root }: ThingSource, index: number): string {
  const image = images[index];
  return image.startsWith(`${root}/`) ? image.slice(root.length + 1) : image;
}

/** The images that show something to learn from; there is nothing to match on others. */
export function withThings(source: ThingSource): ThingSource {
  return pick(source, source.images.keys().filter((i) => source.things[i].length > 0).toArray());
}

/** Some of the images, in this order. */
export function pick(source: ThingSource, indices: readonly number[]): ThingSource {
  const take = <T>(list: readonly T[]) => indices.map((index) => list[index]);
  return {
    ...source,
    length: indices.length,
    images: take(source.images),
    ids: take(source.ids),
    sizes: take(source.sizes),
    things: take(source.things),
  };
}

/** Holds out a share of the images by their names, as {@linkcode holdOut} does. */
export function holdOutThings(
  source: ThingSource,
  share: number,
): { readonly train: ThingSource; readonly val: ThingSource } {
  const { images: files, root, length } = source;
  // Their numbers pass for labels, which go where their images go.
  const labels = Int32Array.from(files, (_, i) => i);
  const { train, val } = holdOut({ kind: "files", files, root, length, labels }, share);
  return { train: pick(source, [...train.labels!]), val: pick(source, [...val.labels!]) };
}
