import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { selfAttention } from "../../../src/models/transformer.ts";
import { merge, partition, regionsOf, windowsOf } from "../../../src/models/windows.ts";
import type { Grid } from "../../../src/models/positions.ts";
import { attention } from "../../../src/ops/attention.ts";
import { mul } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { type Tensor, tensor } from "../../../src/tensor.ts";
import { at, checkOp, close, fill, sharedDevice, type Values } from "../../check_op.ts";

/** Grids, sides of windows, and whether these are shifted. */
const CASES: [grid: Grid, side: number, isShifted: boolean][] = [
  [[4, 4], 2, false],
  [[4, 6], 2, true],
  [[5, 7], 3, false],
  [[5, 7], 3, true],
  [[7, 2], 4, true], // one window across, which is not shifted
  [[3, 3], 5, true],
];

/** Which cell of the grid lies at each cell of each window; −1 for what is filled up. */
function places([GH, GW]: Grid, side: number, isShifted: boolean): number[][] {
  const shift = (length: number) => isShifted && length > side ? Math.floor(side / 2) : 0;
  const [rows, columns] = [Math.ceil(GH / side), Math.ceil(GW / side)];
  return Array.from(
    { length: rows * columns },
    (_, window) =>
      Array.from({ length: side * side }, (_, cell) => {
        const h = Math.floor(window / columns) * side + Math.floor(cell / side) + shift(GH);
        const w = window % columns * side + cell % side + shift(GW);
        const [row, column] = [h % (rows * side), w % (columns * side)];
        return row < GH && column < GW ? row * GW + column : -1;
      }),
  );
}

Deno.test("partition() matches a plain loop, with its gradient", async (t) => {
  for (const [grid, side, isShifted] of CASES) {
    const cells = places(grid, side, isShifted);
    const [n, C] = [2, 3];
    await t.step(`${grid} by ${side}${isShifted ? ", shifted" : ""}`, () =>
      checkOp(
        (x) => partition(x, windowsOf(grid, side, isShifted)),
        (x) =>
          fill([n * cells.length, side * side, C], (window, cell, c) => {
            const place = cells[window % cells.length][cell];
            return place < 0 ? 0 : at(x, Math.floor(window / cells.length), place, c);
          }),
        [[n, grid[0] * grid[1], C]],
      ));
  }
});

Deno.test("merge() gives back what partition() took, and so do their gradients", async (t) => {
  for (const [grid, side, isShifted] of CASES) {
    await t.step(`${grid} by ${side}${isShifted ? ", shifted" : ""}`, async () => {
      const windows = windowsOf(grid, side, isShifted);
      const length = grid[0] * grid[1];
      const [x, dy] = [1, 2].map((seed) =>
        tensor(normal(key(seed), 2 * length * 3), [2, length, 3])
      );
      const y = merge(partition(x, windows), windows);
      const [found, dx] = await readAll(await sharedDevice(), [y, grad(sum(mul(y, dy)), { x }).x]);
      const values = ({ source }: Tensor) => (source as { data: Float32Array }).data;
      assert.deepEqual(found, values(x));
      assert.deepEqual(dx, values(dy));
    });
  }
});

Deno.test("regionsOf() lets a token see those that lie together in the grid alone", () => {
  for (const [grid, side, isShifted] of CASES) {
    const windows = windowsOf(grid, side, isShifted);
    const regions = regionsOf(windows);
    const [H, W] = windows.counts.map((count) => count * side);
    const [sh, sw] = windows.shift;
    if (sh === 0 && sw === 0) {
      assert.equal(regions, undefined);
      continue;
    }
    const { data } = regions!.source as { data: Uint32Array };
    assert.deepEqual(regions!.shape, [windows.counts[0] * windows.counts[1], side * side]);
    // Cells that a roll brought together lie on different sides of its seam.
    const seam = (window: number, cell: number) => {
      const h = Math.floor(window / windows.counts[1]) * side + Math.floor(cell / side);
      const w = window % windows.counts[1] * side + cell % side;
      return `${h + sh >= H} ${w + sw >= W}`;
    };
    for (let window = 0; window < regions!.shape[0]; window++) {
      for (let pair = 0; pair < side ** 4; pair++) {
        const [a, b] = [Math.floor(pair / side ** 2), pair % side ** 2];
        assert.equal(
          data[window * side ** 2 + a] === data[window * side ** 2 + b],
          seam(window, a) === seam(window, b),
          `${grid} by ${side}: window ${window}, cells ${a} and ${b}`,
        );
      }
    }
  }
});

Deno.test("Attention within shifted windows matches a plain loop over the grid", async (t) => {
  const [heads, D, n] = [2, 2, 2];
  for (const [grid, side] of [[[4, 6], 2], [[6, 6], 3], [[5, 7], 3]] as [Grid, number][]) {
    const cells = places(grid, side, true);
    const windows = windowsOf(grid, side, true);
    const { data } = regionsOf(windows)!.source as { data: Uint32Array };
    const width = heads * D;
    const plain = (qkv: Values): Values => {
      const value = (sample: number, token: number, channel: number) =>
        token < 0 ? 0 : at(qkv, sample, token, channel);
      return fill([n, grid[0] * grid[1], width], (sample, token, channel) => {
        const window = cells.findIndex((cells) => cells.includes(token));
        const own = cells[window].indexOf(token);
        const head = Math.floor(channel / D) * D;
        const seen = [...cells[window].keys()].filter((cell) =>
          data[window * side * side + cell] === data[window * side * side + own]
        );
        const weights = seen.map((cell) => {
          let dot = 0;
          for (let d = 0; d < D; d++) {
            dot += value(sample, token, head + d) *
              value(sample, cells[window][cell], width + head + d);
          }
          return Math.exp(dot / Math.sqrt(D));
        });
        const total = weights.reduce((a, b) => a + b);
        return seen.reduce(
          (sum, cell, i) =>
            sum + weights[i] / total * value(sample, cells[window][cell], 2 * width + channel),
          0,
        );
      });
    };
    await t.step(`${grid} by ${side}`, () =>
      checkOp(
        (qkv) => {
          const bias = { grid: [side, side] as const, regions: regionsOf(windows) };
          return merge(attention(partition(qkv, windows), heads, bias), windows);
        },
        plain,
        [[n, grid[0] * grid[1], 3 * width]],
        { forward: 2e-6, gradient: 2e-5 },
      ));
  }
});

Deno.test("What fills windows up takes part in attention, with the bias of its keys", async () => {
  const [C, grid] = [4, [1, 1]] as const;
  const params = {
    qkv: {
      weight: tensor(normal(key(1), 3 * C * C), [3 * C, C]),
      bias: tensor(normal(key(2), 3 * C)),
    },
    proj: { weight: tensor(normal(key(3), C * C), [C, C]), bias: tensor(normal(key(4), C)) },
  };
  const x = tensor(normal(key(5), C), [1, 1, C]);
  const zeros = Float32Array.from({ length: 4 * C }, (_, i) => i < C ? normal(key(5), C)[i] : 0);
  const windows = windowsOf(grid, 2);
  const [found, expected] = await readAll(await sharedDevice(), [
    merge(selfAttention(partition(x, windows), params, 2), windows),
    selfAttention(tensor(zeros, [1, 4, C]), params, 2),
  ]);
  close(found, expected.subarray(0, C), 1e-6);
});

Deno.test("windowsOf() refuses a side that is no number of tokens", () => {
  assert.throws(() => windowsOf([4, 5], 0), {
    name: "RangeError",
    message: "Cannot cut a grid of 4 × 5 into windows of 0",
  });
  assert.throws(() => windowsOf([4, 5], 1.5), RangeError);
});
