import { holdOut } from "../split.ts";

/** Images, and a mask of each: plain data, which can be posted to a worker. */
export interface MaskSource {
  readonly kind: "masks";
  readonly length: number;
  readonly images: readonly string[];
  /** Of each image, in the same order. */
  readonly masks: readonly string[];
  /** Folder that names of pairs begin below. */
  readonly root: string;
  /** Names of the classes, where the data tell them. */
  readonly classes?: readonly string[];
}

/** Name of a pair: its image's path below the source's folder. */
export function pairName({ images, root }: MaskSource, index: number): string {
  const image = images[index];
  return image.startsWith(`${root}/`) ? image.slice(root.length + 1) : image;
}

/** Holds out a share of the pairs by their names, as {@linkcode holdOut} does of images. */
export function holdOutMasks(
  source: MaskSource,
  share: number,
): { readonly train: MaskSource; readonly val: MaskSource } {
  const { images: files, masks, root, length } = source;
  // The pairs' numbers pass for labels, which go where their images go.
  const labels = Int32Array.from(files, (_, i) => i);
  const parts = holdOut({ kind: "files", files, root, length, labels }, share);
  const take = (picked: Int32Array): MaskSource => ({
    ...source,
    length: picked.length,
    images: Array.from(picked, (i) => files[i]),
    masks: Array.from(picked, (i) => masks[i]),
  });
  return { train: take(parts.train.labels!), val: take(parts.val.labels!) };
}
