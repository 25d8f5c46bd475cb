/** Computations whose results are known in float64: the self-test of an adapter. */
import { softmax } from "../src/ops/attention.ts";
import { layerNorm } from "../src/ops/layer_norm.ts";
import { exp, gelu, mul } from "../src/ops/map.ts";
import { matmul } from "../src/ops/matmul.ts";
import { fold, key, normal } from "../src/random.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "../src/tensor.ts";

/** A computation and what it gives in float64. */
export interface Probe {
  readonly name: string;
  readonly actual: Tensor;
  readonly expected: ArrayLike<number>;
  /** Largest relative L2 error. */
  readonly bound: number;
}

/** Sizes of products, for each kernel that a product may be given: [M, K, N]. */
const PRODUCTS = [[68, 132, 100], [67, 131, 101], [5, 131, 9]] as const;

/** Probes of the arithmetic that every model rests on. */
export function makeProbes(): Probe[] {
  const rows = [33, 192] as const;
  const x = values(random(rows)).map((z) => 3 * z + 1);
  const [gain, bias] = [1, 2].map((seed) => random([rows[1]], seed));
  const grid = Float32Array.from({ length: 4001 }, (_, i) => (i - 2000) / 200); // -10 … 10
  return [
    ...PRODUCTS.map(([M, K, N]) => {
      const [a, b] = [random([M, K], 1), random([K, N], 2)];
      const expected = matmulReference(values(a), values(b), M, K, N);
      return { name: `matmul ${M}×${K}×${N}`, actual: matmul(a, b), expected, bound: 1e-6 };
    }),
    {
      name: "exp, relative",
      actual: mul(exp(tensor(grid)), tensor(grid.map((x) => Math.exp(-x)))),
      expected: new Float64Array(grid.length).fill(1),
      bound: 5e-6, // WGSL allows 3 + 2|x| units in the last place
    },
    {
      name: "GELU by erf",
      actual: gelu(tensor(grid)),
      expected: Array.from(grid, (x) => 0.5 * x * (1 + erf(x / Math.SQRT2))),
      bound: 1e-6,
    },
    {
      name: "softmax",
      actual: softmax(tensor(x, rows)),
      expected: eachRow(x, rows[1], softmaxReference),
      bound: 2e-6,
    },
    {
      name: "layer norm",
      actual: layerNorm(tensor(x, rows), gain, bias, 1e-6),
      expected: eachRow(x, rows[1], (row) => {
        const mean = row.reduce((sum, x) => sum + x, 0) / row.length;
        const variance = row.reduce((sum, x) => sum + (x - mean) ** 2, 0) / row.length;
        const [g, b] = [values(gain), values(bias)];
        return row.map((x, i) => (x - mean) / Math.sqrt(variance + 1e-6) * g[i] + b[i]);
      }),
      bound: 2e-6,
    },
  ];
}

function matmulReference(
  a: Float32Array,
  b: Float32Array,
  M: number,
  K: number,
  N: number,
): Float64Array {
  return Float64Array.from({ length: M * N }, (_, i) => {
    const [row, col] = [Math.floor(i / N), i % N];
    let sum = 0;
    for (let k = 0; k < K; k++) sum += a[row * K + k] * b[k * N + col];
    return sum;
  });
}

function softmaxReference(row: number[]): number[] {
  const top = Math.max(...row);
  const total = row.reduce((sum, x) => sum + Math.exp(x - top), 0);
  return row.map((x) => Math.exp(x - top) / total);
}

/** erf x = 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (2n + 1)!!, whose terms all have one sign. */
function erf(x: number): number {
  let [term, sum] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-18 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

function eachRow(
  x: Float32Array,
  width: number,
  fn: (row: number[]) => number[],
): number[] {
  return Array.from(
    { length: x.length / width },
    (_, i) => fn([...x.subarray(i * width, (i + 1) * width)]),
  ).flat();
}

/** Values of a standard normal distribution. */
export function random(shape: Shape, seed = 0): Tensor {
  return tensor(normal(fold(key(0), seed), sizeOf(shape)), shape);
}

function values({ source }: Tensor): Float32Array {
  return (source as { data: Float32Array }).data;
}
