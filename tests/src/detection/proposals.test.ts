import assert from "node:assert/strict";
import { gridAnchors } from "../../../src/detection/anchors.ts";
import { decodeBoxes, PROPOSAL_WEIGHTS } from "../../../src/detection/box_deltas.ts";
import { highest, selectProposals } from "../../../src/detection/proposals.ts";
import { key, normal, uniform } from "../../../src/random.ts";
import { boxAt, iouOf } from "./random_boxes.ts";

const RULES = [8, 16].map((stride) => ({ stride, sizes: [3 * stride], ratios: [0.5, 1, 2] }));
const IMAGE = [60, 90] as const;

function maps() {
  return RULES.map((rule, level) => {
    const anchors = gridAnchors(rule, [64 / rule.stride, 96 / rule.stride]);
    const A = anchors.length / 4;
    return {
      ...{ anchors, logits: normal(key(level), A) },
      deltas: normal(key(9 + level), 4 * A).map((z) => 0.3 * z),
    };
  });
}

Deno.test("highest() gives the best scores in order, of equal ones the first", () => {
  for (const count of [0, 1, 5, 60, 99, 100, 200]) {
    const scores = uniform(key(count), 100).map((u) => Math.round(u * 20));
    const order = [...scores.keys()].sort((i, j) => scores[j] - scores[i]);
    assert.deepEqual([...highest(scores, count)], order.slice(0, count));
  }
});

Deno.test("selectProposals() takes the best anchors of each map, and drops what overlaps within it", () => {
  const rule = { before: 40, after: 1000, overlap: 0.5 };
  const { boxes, scores } = selectProposals(maps(), IMAGE, rule);
  assert.ok(scores.length > 20 && scores.every((score, i) => i === 0 || score <= scores[i - 1]));
  const levels = maps().map(({ anchors, logits, deltas }) => {
    const decoded = decodeBoxes(anchors, deltas, PROPOSAL_WEIGHTS);
    const best = [...logits.keys()].sort((i, j) => logits[j] - logits[i]).slice(0, 40);
    return best.map((i) => ({
      score: logits[i],
      box: boxAt(decoded, i).map((x, k) => Math.min(Math.max(x, 0), IMAGE[1 - k % 2])),
    }));
  });
  const expected = levels.flatMap((level) => {
    const kept: typeof level = [];
    for (const { score, box } of level) {
      const isEmpty = box[2] <= box[0] || box[3] <= box[1];
      if (!isEmpty && !kept.some((other) => iouOf(box, other.box) > 0.5)) kept.push({ score, box });
    }
    return kept;
  }).sort((a, b) => b.score - a.score);
  assert.deepEqual([...scores], expected.map(({ score }) => score));
  assert.deepEqual([...boxes], expected.flatMap(({ box }) => box));
});

Deno.test("selectProposals() keeps no more than asked for, and nothing that is not finite or too small", () => {
  const all = selectProposals(maps(), IMAGE, { before: 40, after: 1000, overlap: 0.5 });
  const few = selectProposals(maps(), IMAGE, { before: 40, after: 7, overlap: 0.5 });
  assert.deepEqual([...few.scores], [...all.scores.subarray(0, 7)]);
  const broken = maps();
  broken[0].logits[3] = Infinity;
  broken[1].logits[0] = 100;
  broken[1].deltas[1] = NaN;
  const { boxes, scores } = selectProposals(broken, IMAGE, {
    ...{ before: 40, after: 1000, overlap: 0.5, leastSide: 20 },
  });
  assert.ok(scores.length > 0 && scores[0] < 100 && boxes.every(Number.isFinite));
  for (let i = 0; i < scores.length; i++) {
    const [x0, y0, x1, y1] = boxAt(boxes, i);
    assert.ok(x1 - x0 > 20 && y1 - y0 > 20);
  }
});
