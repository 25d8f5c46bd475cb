/**
 * Region proposals: what the scores and deltas of anchors say where things are, as detectron2's
 * `find_top_rpn_proposals`.
 *
 * @module
 */
import { decodeBoxes, PROPOSAL_WEIGHTS } from "./box_deltas.ts";
import { clipBoxes, joinRows, nonEmptyBoxes, type Sides, takeRows } from "./boxes.ts";
import { batchedNms, bestFirst } from "./nms.ts";

/** How many proposals an image has. */
export interface ProposalRule {
  /** Best anchors of each map before, and best of all after suppression. */
  readonly before: number;
  readonly after: number;
  /** Overlap above which the worse of two boxes of a map is dropped. */
  readonly overlap: number;
  /** Sides of boxes must be longer; 0 unless given. */
  readonly leastSide?: number;
}

/** Of a feature pyramid, at evaluation. */
export const EVALUATION_PROPOSALS: ProposalRule = { before: 1000, after: 1000, overlap: 0.7 };

/** What is known of the anchors of one map of one image. */
export interface AnchorScores {
  /** `[A, 4]`. */
  readonly anchors: Float32Array;
  /** `[A]`. */
  readonly logits: Float32Array;
  /** `[A, 4]`. */
  readonly deltas: Float32Array;
}

/** Boxes `[n, 4]` with their scores, best first. */
export interface Proposals {
  readonly boxes: Float32Array<ArrayBuffer>;
  readonly scores: Float32Array<ArrayBuffer>;
}

/**
 * The best boxes of an image. Those that are not finite are left out.
 *
 * @param maps Of every map of the pyramid.
 * @param image Height and width, without what was added at the borders.
 */
export function selectProposals(
  maps: readonly AnchorScores[],
  image: Sides,
  { before, after, overlap, leastSide = 0 }: ProposalRule,
): Proposals {
  const parts = maps.map(({ anchors, logits, deltas }) => {
    const rows = highest(logits, before);
    const moved = decodeBoxes(takeRows(anchors, rows), takeRows(deltas, rows), PROPOSAL_WEIGHTS);
    return { boxes: moved, scores: takeRows(logits, rows, 1) };
  });
  const levels = parts.flatMap(({ scores }, level) => Array<number>(scores.length).fill(level));
  const all = joinRows(parts.map(({ boxes }) => boxes));
  const scores = joinRows(parts.map(({ scores }) => scores));
  const clipped = clipBoxes(all, image);
  const rows = nonEmptyBoxes(clipped, leastSide).filter((i) =>
    Number.isFinite(scores[i]) && all.subarray(4 * i, 4 * i + 4).every(Number.isFinite)
  );
  const [boxes, logits] = [takeRows(clipped, rows), takeRows(scores, rows, 1)];
  const kept = batchedNms(boxes, logits, Array.from(rows, (i) => levels[i]), overlap)
    .subarray(0, after);
  return { boxes: takeRows(boxes, kept), scores: takeRows(logits, kept, 1) };
}

/** Numbers of the highest scores, best first; of equal ones the first. */
export function highest(scores: Float32Array, count: number): Uint32Array<ArrayBuffer> {
  if (count >= scores.length) return bestFirst(scores);
  const least = nthHighest(scores, count);
  const above: number[] = [];
  const equal: number[] = [];
  for (let i = 0; i < scores.length; i++) {
    if (scores[i] > least) above.push(i);
    else if (scores[i] === least) equal.push(i);
  }
  const rows = [...above, ...equal.slice(0, count - above.length)];
  return bestFirst(takeRows(scores, rows, 1)).map((i) => rows[i]);
}

/** The score of which `count` are at least as high: quickselect (Hoare, Algorithm 65, 1961). */
function nthHighest(scores: Float32Array, count: number): number {
  const values = scores.slice();
  let [first, last] = [0, values.length - 1];
  while (first < last) {
    const pivot = values[(first + last) >> 1];
    let [i, j] = [first, last];
    while (i <= j) {
      while (values[i] > pivot) i++;
      while (values[j] < pivot) j--;
      if (i <= j) [values[i++], values[j--]] = [values[j], values[i]];
    }
    if (count - 1 <= j) last = j;
    else if (count - 1 >= i) first = i;
    else break;
  }
  return values[count - 1];
}
