/**
 * Pictures of the features of each stage, as Figure 5 of MCMAE (arXiv:2205.03892) shows them.
 *
 * @module
 */

/** How features become colours. */
export const MODES = ["pca", "mean"] as const;
export type Mode = typeof MODES[number];

/**
 * Colours of features, on one scale for all that are given together.
 *
 * @param values `[positions, channels]`.
 * @param mode `pca`: the first three principal components as red, green and blue; `mean`: the mean
 * of the channels as grey.
 * @returns `[positions, 3]`.
 */
export function coloursOf(values: Float32Array, channels: number, mode: Mode): Uint8Array {
  const positions = values.length / channels;
  const colours = new Uint8Array(3 * positions);
  const paint = (component: Float64Array, targets: readonly number[]) => {
    stretched(component).forEach((byte, i) =>
      targets.forEach((rgb) => colours[3 * i + rgb] = byte)
    );
  };
  if (mode === "mean") {
    const means = new Float64Array(positions);
    values.forEach((value, i) => means[Math.floor(i / channels)] += value / channels);
    paint(means, [0, 1, 2]);
  } else principalComponents(values, channels, 3).forEach((component, i) => paint(component, [i]));
  return colours;
}

/** Values to 0–255, from the first to the last percentile, so that outliers do not count. */
function stretched(values: Float64Array): Uint8Array {
  const sorted = values.toSorted();
  const at = (share: number) => sorted[Math.round(share * (sorted.length - 1))];
  const [least, most] = [at(0.01), at(0.99)];
  const scale = most > least ? 255 / (most - least) : 0;
  return Uint8Array.from(
    values,
    (value) => scale === 0 ? 127 : Math.max(0, Math.min(255, Math.round((value - least) * scale))),
  );
}

/**
 * The first principal components of rows: their projections onto the directions of largest
 * variance. A direction's largest entry is positive, so that pictures repeat.
 *
 * @param values `[rows, channels]`.
 * @returns `count` lists of `[rows]`, zeros where there are fewer channels.
 */
export function principalComponents(
  values: Float32Array,
  channels: number,
  count: number,
): Float64Array[] {
  const rows = values.length / channels;
  const centred = Float64Array.from(values);
  const means = new Float64Array(channels);
  for (let i = 0; i < values.length; i++) means[i % channels] += values[i] / rows;
  for (let i = 0; i < values.length; i++) centred[i] -= means[i % channels];
  const covariance = new Float64Array(channels * channels);
  for (let start = 0; start < centred.length; start += channels) {
    for (let a = 0; a < channels; a++) {
      const value = centred[start + a];
      const row = a * channels;
      for (let b = 0; b <= a; b++) covariance[row + b] += value * centred[start + b];
    }
  }
  for (let a = 0; a < channels; a++) {
    for (let b = 0; b < a; b++) covariance[b * channels + a] = covariance[a * channels + b];
  }
  const directions = eigenvectors(covariance, channels, count);
  return directions.map((direction) => {
    const component = new Float64Array(rows);
    for (let i = 0; i < centred.length; i++) {
      component[Math.floor(i / channels)] += centred[i] * direction[i % channels];
    }
    return component;
  });
}

/** The first eigenvectors of a symmetric matrix `[C, C]`, by orthogonal iteration. */
function eigenvectors(matrix: Float64Array, size: number, count: number): Float64Array[] {
  // More than are wanted, so that the wanted ones converge by their gap to the last of these.
  const vectors = Array.from(
    { length: Math.min(size, count + 5) },
    // Any start without structure will do; this one repeats.
    (_, k) =>
      Float64Array.from({ length: size }, (_, i) => Math.sin((i + 1) * (k + 1.5) * 12.9898)),
  );
  orthonormalise(vectors);
  for (let round = 0; round < 200; round++) {
    const before = vectors.slice(0, count);
    vectors.forEach((vector, k) => vectors[k] = product(matrix, vector));
    orthonormalise(vectors);
    const moved = before.map((vector, k) => 1 - Math.abs(dot(vector, vectors[k])));
    if (Math.max(...moved) < 1e-12) break;
  }
  const found = vectors.slice(0, count).map((vector) => {
    const largest = vector.reduce((best, x) => Math.abs(x) > Math.abs(best) ? x : best, 0);
    return largest < 0 ? vector.map((x) => -x) : vector;
  });
  return Array.from({ length: count }, (_, k) => found[k] ?? new Float64Array(size));
}

function product(matrix: Float64Array, vector: Float64Array) {
  const { length } = vector;
  return Float64Array.from(
    vector,
    (_, i) => dot(matrix.subarray(i * length, (i + 1) * length), vector),
  );
}

/** Gram–Schmidt, in place; a vector that the others span becomes zero. */
function orthonormalise(vectors: Float64Array[]): void {
  vectors.forEach((vector, k) => {
    const before = Math.sqrt(dot(vector, vector));
    for (const other of vectors.slice(0, k)) {
      const along = dot(vector, other);
      for (let i = 0; i < vector.length; i++) vector[i] -= along * other[i];
    }
    const norm = Math.sqrt(dot(vector, vector));
    const scale = norm > 1e-9 * before ? 1 / norm : 0;
    for (let i = 0; i < vector.length; i++) vector[i] *= scale;
  });
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** Enlarges pictures `[N, h, w, 3]` to `[N, H, W, 3]` by their nearest pixels. */
export function enlarge(
  pixels: Uint8Array,
  [h, w]: readonly [number, number],
  [H, W]: readonly [number, number],
): Uint8Array {
  const count = pixels.length / (3 * h * w);
  const result = new Uint8Array(count * H * W * 3);
  let to = 0;
  for (let n = 0; n < count; n++) {
    for (let y = 0; y < H; y++) {
      for (let x = 0; x < W; x++, to += 3) {
        const row = (n * h + Math.floor(y * h / H)) * w;
        const from = 3 * (row + Math.floor(x * w / W));
        result.set(pixels.subarray(from, from + 3), to);
      }
    }
  }
  return result;
}
