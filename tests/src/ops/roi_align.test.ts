import assert from "node:assert/strict";
import { grad } from "../../../src/grad.ts";
import { mul } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { roiAlign, type RoiAlignOptions } from "../../../src/ops/roi_align.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import { type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, random, sameBits, sharedDevice, type Values } from "../../check_op.ts";

/** The plain loop: all samples of all bins, each between four cells. */
function reference(rois: readonly number[], options: RoiAlignOptions) {
  const { scale, output, samplingRatio = 0, aligned = true } = options;
  return (x: Values): Values => {
    const [, H, W, C] = x.shape;
    const sample = (n: number, y: number, z: number, c: number) => {
      if (y < -1 || y > H || z < -1 || z > W) return 0;
      const [top, left] = [Math.min(Math.max(y, 0), H - 1), Math.min(Math.max(z, 0), W - 1)];
      let total = 0;
      for (const h of new Set([Math.floor(top), Math.ceil(top)])) {
        for (const w of new Set([Math.floor(left), Math.ceil(left)])) {
          total += (1 - Math.abs(top - h)) * (1 - Math.abs(left - w)) * at(x, n, h, w, c);
        }
      }
      return total;
    };
    return fill([rois.length / 5, output, output, C], (r, row, column, c) => {
      const [n, ...box] = rois.slice(5 * r, 5 * r + 5);
      if (n < 0) return 0;
      const [x0, y0, x1, y1] = box.map((value) => value * scale - (aligned ? 0.5 : 0));
      const [width, height] = [x1 - x0, y1 - y0].map((side) => aligned ? side : Math.max(side, 1));
      const [down, across] = [height / output, width / output];
      const [rows, columns] = [down, across].map((bin) => samplingRatio || Math.ceil(bin));
      let total = 0;
      for (let v = 0; v < rows; v++) {
        for (let h = 0; h < columns; h++) {
          const y = y0 + row * down + (v + 0.5) * down / rows;
          total += sample(n, y, x0 + column * across + (h + 0.5) * across / columns, c);
        }
      }
      return total / Math.max(rows * columns, 1);
    });
  };
}

// Image, x0, y0, x1, y1 in pixels of half a cell: small, large, over the border, outside, of an image that is none,
// without extent, inside out, of less than a bin, and the same as another.
const ROIS = [
  ...[0, 3.125, 4.25, 12.75, 17.5],
  ...[1, 0, 0, 34, 26],
  ...[0, -7.5, 15.25, 9.25, 40.5],
  ...[1, 60, 60, 80, 80],
  ...[-1, 3, 4, 12, 17],
  ...[1, 5.5, 5.5, 5.5, 9.5],
  ...[0, 9.5, 9.25, 5.5, 3.25],
  ...[1, 8.0625, 8.125, 8.3125, 8.375],
  ...[0, 3.125, 4.25, 12.75, 17.5],
];

function withRois(rois: readonly number[], options: RoiAlignOptions) {
  return (x: Tensor) => roiAlign(x, tensor(rois, [rois.length / 5, 5]), options);
}

Deno.test("roiAlign() matches its float64 reference and gradient", async (t) => {
  for (const C of [3, 8]) {
    for (const samplingRatio of [0, 1, 3]) {
      for (const aligned of [true, false]) {
        const options = { scale: 0.5, output: 3, samplingRatio, aligned };
        await t.step(
          `C = ${C}, ${JSON.stringify(options)}`,
          () =>
            checkOp(withRois(ROIS, options), reference(ROIS, options), [[2, 13, 17, C]], {
              forward: 2e-6,
              positions: 120,
            }),
        );
      }
    }
  }
});

Deno.test("roiAlign() takes maps of one cell, and as many regions as fill several words", async () => {
  const options = { scale: 1, output: 2 };
  const one = [0, 0, 0, 1, 1, 0, -0.25, 0, 0.5, 3];
  await checkOp(withRois(one, options), reference(one, options), [[1, 1, 1, 2]]);
  const many = Array.from({ length: 70 }, (_, i) => [
    ...[i % 3 - 1, i % 9 * 1.25, i % 7 * 1.5],
    ...[i % 9 * 1.25 + 1 + i % 4 * 2.5, i % 7 * 1.5 + 1 + i % 5 * 1.75],
  ]).flat();
  await checkOp(withRois(many, options), reference(many, options), [[2, 18, 9, 4]], {
    positions: 120,
  });
});

Deno.test("roiAlign() gives zeros for rows that are none, whatever is in them, and they change nothing", async () => {
  const device = await sharedDevice();
  const x = tensor(Float32Array.from(random([2, 9, 9, 4], 1).data), [2, 9, 9, 4]);
  const real = [0, 1, 1, 8, 8, 1, 2, 3, 4, 9];
  const run = async (rois: number[], cotangent: Float32Array) => {
    const args = { x, rois: tensor(rois, [rois.length / 5, 5]) };
    const plan = await compile(device, ({ x, rois }: typeof args) => {
      const y = roiAlign(x, rois, { scale: 1, output: 2 });
      return [y, ...grad(sum(mul(y, tensor(cotangent, y.shape))), [x])];
    }, args);
    const values = await readAll(device, plan.run(args));
    plan.destroy();
    return values as Float32Array[];
  };
  const cotangent = Float32Array.from(random([4, 2, 2, 4], 2).data);
  const [y, dx] = await run(real, cotangent.slice(0, 32));
  const [padded, dxPadded] = await run([...real, -1, 0, 0, 9, 9, -1, 5, 5, 0, 0], cotangent);
  sameBits(padded.slice(0, 32), y);
  sameBits(dxPadded, dx);
  assert.ok(padded.slice(32).every((value) => value === 0));
});

Deno.test("roiAlign() refuses regions of other columns", () => {
  assert.throws(() => roiAlign(zeros([1, 4, 4, 2]), zeros([3, 4]), { scale: 1, output: 7 }), {
    name: "RangeError",
    message: "Cannot cut regions [3,4] out of [1,4,4,2]",
  });
});
