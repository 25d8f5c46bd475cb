/**
 * What tells the images of a run from others.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { sampleName } from "../data/place.ts";
import type { ImageSource } from "../data/source.ts";

/** Number of samples and SHA-256 of their names, in order; the folder above them does not count. */
export function fingerprintOf(source: ImageSource): string {
  const hash = createHash("sha256");
  for (let i = 0; i < source.length; i++) hash.update(`${sampleName(source, i)}\n`);
  return `${source.length} ${hash.digest("hex")}`;
}
