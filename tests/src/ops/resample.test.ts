import assert from "node:assert/strict";
import {
  adaptiveAveragePool,
  resample,
  resizeBicubic,
  resizeBilinear,
} from "../../../src/ops/resample.ts";
import { zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

/** What a kernel of a reach gives at a place between cells, which go on beyond the border. */
function interpolation(
  sides: readonly [number, number],
  reach: number,
  kernel: (distance: number) => number,
  clamps: boolean,
) {
  return (x: Values): Values => {
    const [N, H, W, C] = x.shape;
    const place = (i: number, from: number, to: number) => {
      const at = (i + 0.5) * from / to - 0.5;
      return clamps ? Math.max(at, 0) : at;
    };
    return fill([N, ...sides, C], (n, h, w, c) => {
      const [y, z] = [place(h, H, sides[0]), place(w, W, sides[1])];
      let total = 0;
      for (let i = Math.floor(y) - reach + 1; i <= Math.floor(y) + reach; i++) {
        for (let j = Math.floor(z) - reach + 1; j <= Math.floor(z) + reach; j++) {
          const value = at(
            x,
            n,
            Math.min(Math.max(i, 0), H - 1),
            Math.min(Math.max(j, 0), W - 1),
            c,
          );
          total += kernel(Math.abs(y - i)) * kernel(Math.abs(z - j)) * value;
        }
      }
      return total;
    });
  };
}

const hat = (t: number) => Math.max(0, 1 - t);
const cubic = (t: number) =>
  t <= 1
    ? 1.25 * t ** 3 - 2.25 * t ** 2 + 1
    : t <= 2
    ? -0.75 * t ** 3 + 3.75 * t ** 2 - 6 * t + 3
    : 0;

const sides: [number, number][] = [[9, 11], [3, 4], [5, 7], [13, 3], [1, 1]];

Deno.test("resizeBilinear() matches its float64 reference and gradient", async (t) => {
  for (const to of sides) {
    await t.step(
      `5 × 7 → ${to.join(" × ")}`,
      () => checkOp((x) => resizeBilinear(x, to), interpolation(to, 1, hat, true), [[2, 5, 7, 4]]),
    );
  }
});

Deno.test("resizeBicubic() matches its float64 reference and gradient", async (t) => {
  for (const to of sides) {
    await t.step(
      `5 × 7 → ${to.join(" × ")}`,
      () =>
        checkOp((x) => resizeBicubic(x, to), interpolation(to, 2, cubic, false), [[1, 5, 7, 3]]),
    );
  }
});

Deno.test("adaptiveAveragePool() matches its float64 reference and gradient", async (t) => {
  for (const bins of [1, 2, 3, 6]) {
    const reference = (x: Values): Values => {
      const [N, H, W, C] = x.shape;
      const range = (i: number, size: number) =>
        [Math.floor(i * size / bins), Math.ceil((i + 1) * size / bins)] as const;
      return fill([N, bins, bins, C], (n, h, w, c) => {
        const [[top, bottom], [left, right]] = [range(h, H), range(w, W)];
        let total = 0;
        for (let i = top; i < bottom; i++) {
          for (let j = left; j < right; j++) total += at(x, n, i, j, c);
        }
        return total / (bottom - top) / (right - left);
      });
    };
    await t.step(
      `${bins} × ${bins}`,
      () => checkOp((x) => adaptiveAveragePool(x, bins), reference, [[2, 5, 8, 4]]),
    );
  }
});

Deno.test("resample() refuses taps beyond the axis", () => {
  assert.throws(() => resample(zeros([2, 3]), 1, [[[3, 1]]]), {
    name: "RangeError",
    message: "Cannot take value 3 of axis 1 of [2,3]",
  });
});
