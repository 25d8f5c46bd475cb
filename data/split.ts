import { fold, key } from "../src/random.ts";
import { sampleName, subset } from "./place.ts";
import type { ImageSource } from "./source.ts";

const VALIDATION = 0x76616c; // far from other uses of keys

/**
 * Holds out a share of the samples, by a hash of each one's name: a sample's part depends neither
 * on the others nor on their order or a seed, so it stays when images are added or moved, and in
 * every form of the same data.
 *
 * @param share In 0–1; a sample is held out with this probability.
 * @returns Two sources without a common sample; either may be empty.
 */
export function holdOut(
  source: ImageSource,
  share: number,
): { readonly train: ImageSource; readonly val: ImageSource } {
  const parts: [train: number[], val: number[]] = [[], []];
  for (let i = 0; i < source.length; i++) {
    parts[Number(unitOf(sampleName(source, i)) < share)].push(i);
  }
  const [train, val] = parts.map((indices) => subset(source, Uint32Array.from(indices)));
  return { train, val };
}

/** A name's place in [0, 1): FNV-1a, which spreads ends of names badly, then Threefry. */
function unitOf(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  }
  return fold(key(hash >>> 0), VALIDATION)[0] / 2 ** 32;
}
