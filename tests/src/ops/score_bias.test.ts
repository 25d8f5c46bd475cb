import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { attention } from "../../../src/ops/attention.ts";
import { mul, sub } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import type { ScoreBias } from "../../../src/ops/score_bias.ts";
import { concat, reshape, slice } from "../../../src/ops/shape.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { type Shape, sizeOf, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { checkOp, close, gpuLike, sameBits, sharedDevice, type Values } from "../../check_op.ts";

type Grid = ScoreBias["grid"];

/** Sizes of what is tested: samples, heads, values of a head. */
type Sizes = readonly [N: number, heads: number, D: number];

type TermValues = Partial<Record<"table" | "rows" | "columns" | "regions", Values>>;

/** softmax(Q Kᵀ / √D + B) V, head by head; B by each pair's places. */
function reference([H, W]: Grid, heads: number) {
  return (qkv: Values, { table, rows, columns, regions }: TermValues): Values => {
    const [n, L, triple] = qkv.shape;
    const width = triple / 3;
    const D = width / heads;
    const data = new Float64Array(n * L * width);
    for (let sample = 0; sample < n; sample++) {
      for (let head = 0; head < heads; head++) {
        const part = (which: number, token: number) =>
          (sample * L + token) * triple + which * width + head * D;
        for (let q = 0; q < L; q++) {
          const start = (sample * heads + head) * L + q;
          const scores = Float64Array.from({ length: L }, (_, k) => {
            const row = regions && sample % regions.shape[0] * L;
            if (regions && regions.data[row! + q] !== regions.data[row! + k]) return -Infinity;
            let score = 0;
            for (let d = 0; d < D; d++) {
              score += qkv.data[part(0, q) + d] * qkv.data[part(1, k) + d] / Math.sqrt(D);
            }
            const [i, j] = [Math.floor(k / W), k % W];
            const down = Math.floor(q / W) - i + H - 1;
            if (table) score += table.data[(down * (2 * W - 1) + q % W - j + W - 1) * heads + head];
            if (rows) score += rows.data[start * H + i];
            if (columns) score += columns.data[start * W + j];
            return score;
          });
          const top = Math.max(...scores);
          const total = scores.reduce((total, score) => total + Math.exp(score - top), 0);
          scores.forEach((score, k) => {
            const weight = Math.exp(score - top) / total;
            for (let d = 0; d < D; d++) {
              data[(sample * L + q) * width + head * D + d] += weight * qkv.data[part(2, k) + d];
            }
          });
        }
      }
    }
    return { data, shape: [n, L, width] };
  };
}

function shapesOf([H, W]: Grid, [n, heads, D]: Sizes) {
  const L = H * W;
  return {
    qkv: [n, L, 3 * heads * D],
    table: [(2 * H - 1) * (2 * W - 1), heads],
    rows: [n, heads, L, H],
    columns: [n, heads, L, W],
  };
}

/** Two regions, of another shape in each of M windows. */
function regionsOf([H, W]: Grid, M: number): { indices: number[]; shape: Shape } {
  const indices = Array.from({ length: M * H * W }, (_, i) => (i % (H * W) + i) % 5 < 2 ? 0 : 1);
  return { indices, shape: [M, H * W] };
}

Deno.test("attention() with a bias matches its float64 reference and gradient", async (t) => {
  const cases: [grid: Grid, sizes: Sizes][] = [
    [[3, 3], [2, 2, 4]],
    [[2, 4], [3, 2, 3]],
    [[5, 2], [1, 3, 5]],
    [[7, 10], [2, 2, 8]],
  ];
  for (const [grid, sizes] of cases) {
    const shapes = shapesOf(grid, sizes);
    const attend = reference(grid, sizes[1]);
    // On a GPU the same, by other products and softmaxes.
    for (const device of [await sharedDevice(), await gpuLike()]) {
      const options = { forward: 2e-6, gradient: 2e-5, positions: 12, device };
      await t.step(`${grid.join(" × ")}, sizes ${sizes}, CPU ${device.target.cpu}`, () =>
        checkOp(
          (qkv, table, rows, columns, regions) =>
            attention(qkv, sizes[1], { grid, table, rows, columns, regions }),
          (qkv, table, rows, columns, regions) => attend(qkv, { table, rows, columns, regions }),
          [shapes.qkv, shapes.table, shapes.rows, shapes.columns, regionsOf(grid, sizes[0])],
          options,
        ));
    }
  }
});

Deno.test("attention() with a bias is the same in several chunks as in one", async (t) => {
  // Up to 4 Mi scores are in one: these are 11 heads, then one, or 11 samples, then one.
  const cases: [name: string, grid: Grid, sizes: Sizes, axis: number][] = [
    ["heads", [20, 30], [1, 12, 2], 3],
    ["samples", [24, 25], [12, 1, 2], 0],
  ];
  for (const [name, grid, sizes, axis] of cases) {
    await t.step(name, async () => {
      const [n, heads, D] = sizes;
      const L = sizeOf(grid);
      const shapes = shapesOf(grid, sizes);
      const draw = (shape: Shape, seed: number) => tensor(normal(key(seed), sizeOf(shape)), shape);
      const { table, rows, columns } = shapes;
      const args = {
        ...{ qkv: draw([n, L, 3, heads, D], 1), table: draw(table, 2) },
        ...{ rows: draw(rows, 3), columns: draw(columns, 4), dy: draw([n, L, heads, D], 5) },
      };
      type Args = typeof args;
      /** Of a half of the heads or samples, or of all. */
      const of = ({ qkv, table, rows, columns }: Args, start: number, end: number) => {
        const part = (x: Tensor, axis: number) => slice(x, axis, start, end);
        const count = axis === 3 ? end - start : heads;
        const own = part(qkv, axis);
        const y = attention(reshape(own, [own.shape[0], L, 3 * count * D]), count, {
          grid,
          table: axis === 3 ? part(table, 1) : table,
          rows: part(rows, axis === 3 ? 1 : 0),
          columns: part(columns, axis === 3 ? 1 : 0),
        });
        return reshape(y, [own.shape[0], L, count, D]);
      };
      const results = (halve: boolean) => (args: Args) => {
        const y = halve
          ? concat([of(args, 0, 6), of(args, 6, 12)], axis === 3 ? 2 : 0)
          : of(args, 0, 12);
        const { dy, ...inputs } = args;
        return [y, ...Object.values(grad(sum(mul(y, dy)), inputs))];
      };
      const device = await sharedDevice();
      const [whole, halves] = await Promise.all([false, true].map(async (halve) => {
        const plan = await compile(device, results(halve), args);
        const values = await readAll(device, plan.run(args));
        plan.destroy();
        return values;
      }));
      whole.forEach((values, i) => close(values, halves[i], 2e-6, `result ${i}`));
    });
  }
});

Deno.test("attention() takes each term of a bias by itself", async (t) => {
  const [grid, sizes] = [[3, 4], [2, 2, 3]] as const;
  const shapes = shapesOf(grid, sizes);
  const attend = reference(grid, sizes[1]);
  for (const term of ["table", "rows", "columns"] as const) {
    await t.step(term, () =>
      checkOp(
        (qkv, tensor) => attention(qkv, sizes[1], { grid, [term]: tensor }),
        (qkv, values) => attend(qkv, { [term]: values }),
        [shapes.qkv, shapes[term]],
        { forward: 2e-6, gradient: 2e-5 },
      ));
  }
});

Deno.test("attention() gives rows of regions to samples in turn", () => {
  const [grid, heads] = [[2, 3], 2] as const;
  const attend = reference(grid, heads);
  return checkOp(
    (qkv, regions) => attention(qkv, heads, { grid, regions }),
    (qkv, regions) => attend(qkv, { regions }),
    [[4, 6, 3 * heads * 2], regionsOf(grid, 2)],
    { forward: 2e-6 },
  );
});

Deno.test("attention() with a bias of zeros is attention() without one, and repeats its bits", async () => {
  const device = await sharedDevice();
  const qkv = tensor(normal(key(1), 2 * 6 * 24), [2, 6, 24]);
  const biased = (qkv: Tensor) =>
    attention(qkv, 2, { grid: [2, 3], table: tensor(normal(key(2), 30), [15, 2]) });
  const [found, expected, once, twice] = await readAll(device, [
    attention(sub(qkv, 0), 2, { grid: [2, 3], table: zeros([15, 2]) }),
    attention(qkv, 2),
    biased(qkv),
    biased(sub(qkv, 0)),
  ]);
  close(found, expected, 1e-6);
  sameBits(twice, once);
});

Deno.test("attention() plans no buffer as large as all scores, nor as all biases", async () => {
  const [grid, heads, D] = [[40, 40], 6, 4] as const;
  const shapes = shapesOf(grid, [1, heads, D]);
  for (const device of [await sharedDevice(), await gpuLike()]) {
    const args = { qkv: zeros(shapes.qkv), table: zeros(shapes.table), rows: zeros(shapes.rows) };
    const pool: GPUBuffer[] = [];
    const plan = await compile({ ...device, scratch: pool }, ({ qkv, ...terms }) => {
      const y = attention(qkv, heads, { grid, ...terms });
      return Object.values(grad(sum(mul(y, y)), { qkv, ...terms }));
    }, args);
    const bytes = Math.max(...[...plan.buffers].map(({ size }) => size));
    assert.ok(bytes <= 4 * sizeOf(grid) ** 2, `${bytes} bytes`);
    plan.destroy();
    pool.forEach((buffer) => buffer.destroy());
  }
});

Deno.test("attention() refuses biases of another grid, other heads or another length", () => {
  const qkv = zeros([1, 6, 24]);
  assert.throws(() => attention(qkv, 2, { grid: [2, 4] }), {
    name: "RangeError",
    message: "Cannot add biases of a grid of 2 × 4 to the scores of 6 tokens",
  });
  assert.throws(() => attention(qkv, 2, { grid: [2, 3], table: zeros([15, 3]) }), {
    name: "RangeError",
    message: "Cannot add biases by table [15,3] to scores [1,2,6,6] on a grid of 2 × 3",
  });
  assert.throws(() => attention(qkv, 2, { grid: [2, 3], rows: zeros([1, 2, 6, 3]) }), RangeError);
  assert.throws(() => attention(qkv, 2, { grid: [2, 3], regions: zeros([1, 5], "u32") }));
});
