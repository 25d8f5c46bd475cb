/**
 * Which detections of one category on one image are right, as COCO's API decides it.
 *
 * @module
 */

/** What a detection is: wrong, right, or of no account. */
export const WRONG = 0;
export const RIGHT = 1;
export const IGNORED = 2;

/** Things of one category on one image. */
export interface Group {
  /** Intersections over unions `[D, G]`, detections by falling score. */
  readonly ious: Float64Array;
  readonly detections: number;
  /** Whether each of the G annotations is a region of many. */
  readonly isCrowd: readonly boolean[];
  /** Whether each is of no account: such a region, or of an area out of range. */
  readonly isIgnored: readonly boolean[];
  /** Whether each detection's area is out of range. */
  readonly isOutside: readonly boolean[];
}

/**
 * Matches detections with annotations: each, by falling score, takes the free one that it overlaps
 * most, the last of equals, if by the threshold or more. One that counts goes before all that do not;
 * regions of many are always free. A detection of what does not count is ignored, as is one of nothing
 * if its own area is out of range.
 *
 * @param verdicts Gets one of {@linkcode WRONG}, {@linkcode RIGHT} and {@linkcode IGNORED} for each
 * detection, from index `at` on.
 */
export function matchDetections(
  { ious, detections, isCrowd, isIgnored, isOutside }: Group,
  threshold: number,
  verdicts: Uint8Array,
  at: number,
): void {
  const truths = isCrowd.length;
  const isTaken = new Array<boolean>(truths).fill(false);
  for (let d = 0; d < detections; d++) {
    let match = -1;
    let best = Math.min(threshold, 1 - 1e-10);
    for (let pass = 0; pass < 2 && match < 0; pass++) {
      for (let g = 0; g < truths; g++) {
        if (isIgnored[g] !== (pass === 1) || (isTaken[g] && !isCrowd[g])) continue;
        if (ious[d * truths + g] < best) continue;
        best = ious[d * truths + g];
        match = g;
      }
    }
    if (match >= 0) isTaken[match] = true;
    const isCounted = match < 0 ? !isOutside[d] : !isIgnored[match];
    verdicts[at + d] = !isCounted ? IGNORED : match < 0 ? WRONG : RIGHT;
  }
}
