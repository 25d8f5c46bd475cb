/** Inputs of the cases, and a look at their results: a few values, computed again in float64. */
import { key, uniform } from "../../../src/random.ts";
import { type Shape, sizeOf } from "../../../src/tensor.ts";
import { depthwise, gelu, layerNorm, type Product, type tinyStep } from "./cases.ts";

/** Values in row-major order. */
export type Values = Float32Array<ArrayBuffer>;

/** Throws unless two values are equal but for rounding. */
function expect(found: number, wanted: number, what: string): void {
  // A comparison with NaN is false.
  if (Math.abs(found - wanted) <= 1e-3 * (1 + Math.abs(wanted))) return;
  throw new Error(`computes a wrong ${what}: ${found} in place of ${wanted}`);
}

/** Uniform values from −0.5 to 0.5. */
export function random(shape: Shape, seed: number): Values {
  return uniform(key(seed), sizeOf(shape)).map((u) => u - 0.5);
}

const sum = (length: number, term: (i: number) => number) => {
  let total = 0;
  for (let i = 0; i < length; i++) total += term(i);
  return total;
};

/** Throws where a product c[M, N] is wrong. */
export function checkProduct(
  { M, N, K, transposeA, transposeB }: Product,
  a: Values,
  b: Values,
  c: Values,
): void {
  for (const [row, column] of [[0, 0], [M >> 1, N >> 1], [M - 1, N - 1]]) {
    const wanted = sum(
      K,
      (k) =>
        a[transposeA ? k * M + row : row * K + k] * b[transposeB ? column * K + k : k * N + column],
    );
    expect(c[row * N + column], wanted, "product");
  }
}

const [N, H, W, C] = depthwise.shape;
const SIDE = depthwise.kernel;
const MARGIN = (SIDE - 1) / 2;

/** Value of a map `[N, H, W, C]`; zero outside. */
const cell = (map: Values, n: number, row: number, column: number, channel: number) =>
  row < 0 || row >= H || column < 0 || column >= W
    ? 0
    : map[((n * H + row) * W + column) * C + channel];

const PLACES = [[0, 0, 0, 0], [1, H >> 1, W >> 1, C >> 1], [N - 1, H - 1, W - 1, C - 1]] as const;

/** Sum over the taps of a place, forwards or mirrored; weights are `[C, 1, SIDE, SIDE]`. */
function taps(map: Values, weight: Values, place: typeof PLACES[number], mirrored = false): number {
  const [n, row, column, channel] = place;
  return sum(SIDE * SIDE, (tap) => {
    const [down, across] = [Math.floor(tap / SIDE) - MARGIN, tap % SIDE - MARGIN];
    const value = mirrored
      ? cell(map, n, row - down, column - across, channel)
      : cell(map, n, row + down, column + across, channel);
    return value * weight[channel * SIDE * SIDE + tap];
  });
}

const placeOf = ([n, row, column, channel]: typeof PLACES[number]) =>
  ((n * H + row) * W + column) * C + channel;

/** Throws where a depthwise convolution is wrong. */
export function checkDepthwise(x: Values, weight: Values, bias: Values, y: Values): void {
  for (const place of PLACES) {
    expect(y[placeOf(place)], taps(x, weight, place) + bias[place[3]], "convolution");
  }
}

/**
 * Throws where a gradient of a depthwise convolution is wrong.
 *
 * @param tapsFirst Whether dw is `[SIDE, SIDE, C, 1]`.
 */
export function checkDepthwiseGrad(
  x: Values,
  weight: Values,
  dy: Values,
  [dx, dw, db]: readonly Values[],
  tapsFirst: boolean,
): void {
  for (const place of PLACES) {
    expect(dx[placeOf(place)], taps(dy, weight, place, true), "gradient of the input");
  }
  for (const [tap, channel] of [[0, 1], [SIDE * SIDE - 1, C - 1]]) {
    const [down, across] = [Math.floor(tap / SIDE) - MARGIN, tap % SIDE - MARGIN];
    const wanted = sum(N * H * W, (i) => {
      const [n, row, column] = [Math.floor(i / (H * W)), Math.floor(i / W) % H, i % W];
      return dy[i * C + channel] * cell(x, n, row + down, column + across, channel);
    });
    const place = tapsFirst ? tap * C + channel : channel * SIDE * SIDE + tap;
    expect(dw[place], wanted, "gradient of the weights");
  }
  expect(db[C - 1], sum(N * H * W, (i) => dy[i * C + C - 1]), "gradient of the bias");
}

/** Throws where the last row of a LayerNorm is wrong. */
export function checkLayerNorm(x: Values, gain: Values, bias: Values, y: Values): void {
  const [rows, width] = layerNorm.shape;
  const start = (rows - 1) * width;
  const mean = sum(width, (i) => x[start + i]) / width;
  const variance = sum(width, (i) => (x[start + i] - mean) ** 2) / width;
  for (const i of [0, width - 1]) {
    const normal = (x[start + i] - mean) / Math.sqrt(variance + layerNorm.eps);
    expect(y[start + i], normal * gain[i] + bias[i], "norm");
  }
}

/** Values with 1 and −1 at the ends. */
export function geluInput(): Values {
  const x = random([gelu.size], 1);
  x[0] = 1;
  x[gelu.size - 1] = -1;
  return x;
}

/** Throws where GELU of {@linkcode geluInput} is wrong. */
export function checkGelu(y: Values): void {
  expect(y[0], 0.8413447, "value of GELU");
  expect(y[gelu.size - 1], -0.1586553, "value of GELU");
}

/** Throws where losses are not those of our own model. */
export function checkLosses(losses: readonly number[], wanted: typeof tinyStep.losses): void {
  losses.forEach((loss, i) => expect(loss, wanted[i], `loss of step ${i + 1}`));
}
