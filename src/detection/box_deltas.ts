/**
 * Boxes as what moves and scales other boxes there (arXiv:1311.2524, appendix C), as detectron2's
 * `Box2BoxTransform` in float32.
 *
 * @module
 */

const { exp, fround, log, min } = Math;

/** Factors on the shifts along x and y, and on the logarithms of the scales. */
export type DeltaWeights = readonly [dx: number, dy: number, dw: number, dh: number];

/** Of the region proposals, and of the boxes of classes. */
export const PROPOSAL_WEIGHTS: DeltaWeights = [1, 1, 1, 1];
export const BOX_WEIGHTS: DeltaWeights = [10, 10, 5, 5];

/** Largest logarithm of a scale: a side of 16 becomes one of 1000. */
const SCALE_CLAMP = fround(log(1000 / 16));

/**
 * What takes boxes to targets.
 *
 * @param boxes `[n, 4]`, none of them empty.
 * @param targets `[n, 4]`.
 * @returns `[n, 4]`: dx, dy, dw and dh of each.
 */
export function encodeBoxes(
  boxes: Float32Array,
  targets: Float32Array,
  weights: DeltaWeights,
): Float32Array<ArrayBuffer> {
  const deltas = new Float32Array(boxes.length);
  for (let at = 0; at < boxes.length; at += 4) {
    for (const axis of [0, 1]) {
      const [size, centre] = extent(boxes[at + axis], boxes[at + 2 + axis]);
      const [newSize, newCentre] = extent(targets[at + axis], targets[at + 2 + axis]);
      deltas[at + axis] = fround(weights[axis] * fround(newCentre - centre)) / size;
      deltas[at + 2 + axis] = weights[2 + axis] * fround(log(fround(newSize / size)));
    }
  }
  return deltas;
}

/**
 * Where deltas take boxes.
 *
 * @param boxes `[n, 4]`.
 * @param deltas `[n, K, 4]`.
 * @returns `[n, K, 4]`.
 */
export function decodeBoxes(
  boxes: Float32Array,
  deltas: Float32Array,
  weights: DeltaWeights,
): Float32Array<ArrayBuffer> {
  const decoded = new Float32Array(deltas.length);
  const perBox = deltas.length / boxes.length;
  for (let at = 0; at < deltas.length; at += 4) {
    const box = 4 * Math.floor(at / 4 / perBox);
    for (const axis of [0, 1]) {
      const [size, centre] = extent(boxes[box + axis], boxes[box + 2 + axis]);
      const shift = fround(deltas[at + axis] / weights[axis]);
      const scale = min(fround(deltas[at + 2 + axis] / weights[2 + axis]), SCALE_CLAMP);
      const newCentre = fround(fround(shift * size) + centre);
      const half = fround(0.5 * fround(fround(exp(scale)) * size));
      decoded[at + axis] = newCentre - half;
      decoded[at + 2 + axis] = newCentre + half;
    }
  }
  return decoded;
}

function extent(start: number, end: number): [size: number, centre: number] {
  const size = fround(end - start);
  return [size, fround(start + fround(0.5 * size))];
}
