/**
 * The single-frame control: what a model of clips can tell without seeing anything move.
 *
 * @module
 */

/**
 * Clips that show their middle frame alone, T times.
 *
 * @param clips RGB `[N, T, H, W, 3]`.
 * @returns New clips, as many.
 */
export function stillClips(
  clips: Uint8Array<ArrayBuffer>,
  [n, frames, height, width, channels]: readonly number[],
): Uint8Array<ArrayBuffer> {
  const size = height * width * channels;
  const still = new Uint8Array(clips.length);
  for (let clip = 0; clip < n; clip++) {
    const first = clip * frames;
    const middle = first + Math.floor(frames / 2);
    const frame = clips.subarray(middle * size, (middle + 1) * size);
    for (let t = 0; t < frames; t++) still.set(frame, (first + t) * size);
  }
  return still;
}
