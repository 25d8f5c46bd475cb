import assert from "node:assert/strict";
import type { Device } from "../../../src/device.ts";
import { pullback } from "../../../src/grad.ts";
import type { Dispatch } from "../../../src/op.ts";
import { layerNorm } from "../../../src/ops/layer_norm.ts";
import { read, readAll } from "../../../src/plan/read.ts";
import { type Shape, type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import {
  checkOp,
  close,
  gpuLike,
  random,
  sameBits,
  sharedDevice,
  toTensor,
  type Values,
  withoutBroadcast,
} from "../../check_op.ts";

/** (x − μ) / √(σ² + eps) · gain + bias, row by row, with the biased variance. */
function layerNormReference(eps: number) {
  return ({ data, shape }: Values, gain: Values, bias: Values): Values => {
    const C = shape.at(-1)!;
    const y = new Float64Array(data.length);
    for (let start = 0; start < data.length; start += C) {
      const row = data.subarray(start, start + C);
      const mean = row.reduce((total, value) => total + value, 0) / C;
      const variance = row.reduce((total, value) => total + (value - mean) ** 2, 0) / C;
      row.forEach((value, c) => {
        y[start + c] = (value - mean) / Math.sqrt(variance + eps) * gain.data[c] + bias.data[c];
      });
    }
    return { data: y, shape };
  };
}

const variants: [name: string, device: () => Promise<Device>, shapes: Shape[]][] = [
  ["subgroups", sharedDevice, [
    [13, 132], // five registers, the last of one invocation; two chunks of rows
    [9, 1024], // all registers
    [40, 33], // so of odd rows
    [2, 1028], // too long for them
    [3, 257],
  ]],
  ["workgroups", gpuLike, [
    [30, 4], // 64 teams of one, not all with a row
    [13, 132], // 33 elems: teams of 16, the last elem of one invocation
    [67, 100], // four teams, three chunks of rows
    [3, 131], // a team of 64
    [2, 1028], // a team of 128
    [2, 4096], // the largest
    [2, 4100], // too long
    [2, 1025],
  ]],
  ["any width", withoutBroadcast, [[67, 20], [13, 7]]],
];

for (const [name, open, own] of variants) {
  Deno.test(`layerNorm() by ${name} matches its float64 reference and gradient`, async (t) => {
    const device = await open();
    const shapes: Shape[] = [
      [2, 5, 8],
      [3, 7],
      [2, 2, 2, 4],
      [4, 3],
      [1, 12],
      [5, 1],
      [65, 5], // parameter gradients in six chunks of rows
      [130, 4], // workgroups of 64 rows, the last not full
      ...own,
    ];
    for (const shape of shapes) {
      const C = shape.at(-1)!;
      await t.step(`[${shape}]`, () =>
        checkOp(
          (x, g, b) => layerNorm(x, g, b, 1e-5),
          layerNormReference(1e-5),
          [shape, [C], [C]],
          { device, positions: C > 500 ? 4 : 24 },
        ));
    }
  });

  Deno.test(`layerNorm() by ${name} adds eps to the variance, not to its root`, async (t) => {
    // Rows whose variance is about eps itself.
    const draw = (z: number, input: number) => input === 0 ? 1e-3 * z : z;
    const device = await open();
    for (const C of [8, 5]) {
      await t.step(`C = ${C}`, () =>
        checkOp(
          (x, g, b) => layerNorm(x, g, b, 1e-6),
          layerNormReference(1e-6),
          [[3, C], [C], [C]],
          { draw, step: 1e-7, device },
        ));
    }
  });

  Deno.test(`layerNorm() by ${name} does not cancel where the mean is far above the deviation`, async (t) => {
    const device = await open();
    // The values of x lie 6e-5 and 1e-3 apart there, so the mean is known to about that.
    for (const [offset, forward, gradient] of [[1000, 1e-4, 1e-3], [10000, 1e-3, 1e-2]]) {
      for (const C of [16, 15, 256]) {
        await t.step(`${offset}, C = ${C}`, () =>
          checkOp(
            (x, g, b) => layerNorm(x, g, b, 1e-6),
            layerNormReference(1e-6),
            [[3, C], [C], [C]],
            { draw: (z, input) => input === 0 ? offset + z : z, forward, gradient, device },
          ));
      }
    }
  });

  Deno.test(`layerNorm() by ${name} gives the same bits again`, async () => {
    const device = await open();
    const [x, g, b, dy] = [[700, 36], [36], [36], [700, 36]]
      .map((shape, i) => toTensor(random(shape, i)));
    const run = () => {
      const y = layerNorm(x, g, b, 1e-6);
      return readAll(device, [y, ...pullback([y], [dy], [x, g, b]).map((dx) => dx!)]);
    };
    const [first, second] = [await run(), await run()];
    first.forEach((found, i) => sameBits(found, second[i]));
  });
}

/** The launches of an op. */
function dispatchesOf({ source }: Tensor, { target }: Device): readonly Dispatch[] {
  assert.ok(source.kind === "result" && source.application.op.lowering.kind === "kernel");
  return source.application.op.lowering.dispatches(target);
}

Deno.test("layerNorm() takes whole rows in registers where they fit, forward and backward", async () => {
  const cpu = await sharedDevice();
  const kernelsOf = (device: Device, width: number) => {
    const [x, g, b] = [zeros([2, width]), zeros([width]), zeros([width])];
    const y = layerNorm(x, g, b, 1e-6);
    const [dx] = pullback([y], [x], [x]);
    return [y, dx!].map((result) =>
      dispatchesOf(result, device).map(({ kernel, lanes }) => `${kernel} ${lanes}`).join(", ")
    );
  };
  const any = (lanes: number) => [
    `layerNorm ${lanes}`,
    `layerNormGrad ${lanes}, layerNormGradGain 1`,
  ];
  if (cpu.target.broadcast) {
    const fits = (lanes: number) => [
      `layerNormBroadcast ${lanes}`,
      `layerNormGradBroadcast ${lanes}`,
    ];
    assert.deepEqual(kernelsOf(cpu, 1024), fits(4));
    assert.deepEqual(kernelsOf(cpu, 255), fits(1));
    assert.deepEqual(kernelsOf(cpu, 1028), any(4));
    assert.deepEqual(kernelsOf(cpu, 257), any(1));
  }
  assert.deepEqual(kernelsOf(await withoutBroadcast(), 64), any(4));
  const gpu = await gpuLike();
  const fits = (
    lanes: number,
  ) => [`layerNormWorkgroup ${lanes}`, `layerNormGradWorkgroup ${lanes}`];
  assert.deepEqual(kernelsOf(gpu, 4096), fits(4));
  assert.deepEqual(kernelsOf(gpu, 1023), fits(1));
  assert.deepEqual(kernelsOf(gpu, 4100), any(4));
  assert.deepEqual(kernelsOf(gpu, 1025), any(1));
});

Deno.test("layerNorm() covers more rows than 65535 workgroups hold at once", async (t) => {
  const cases: [name: string, open: () => Promise<Device>, rows: number, width: number][] = [
    ["subgroups", sharedDevice, 65535 * 16 + 5, 2],
    ["workgroups", gpuLike, 65537, 129],
  ];
  for (const [name, open, rows, width] of cases) {
    await t.step(name, async () => {
      const device = await open();
      // The same 509 rows again and again.
      const few = random([509, width], 0);
      const period = few.data.length;
      const x = Float32Array.from({ length: rows * width }, (_, i) => few.data[i % period]);
      const [g, b] = [1, 2].map((seed) => random([width], seed));
      const y = layerNorm(tensor(x, [rows, width]), toTensor(g), toTensor(b), 1e-5);
      if (device.target.broadcast || !device.target.cpu) {
        assert.ok(dispatchesOf(y, device)[0].workgroups[1] > 1);
      }
      const found = await read(device, y);
      assert.equal(found.length, x.length);
      close(found.subarray(0, period), layerNormReference(1e-5)(few, g, b).data, 1e-6);
      assert.equal(found.findIndex((value, i) => value !== found[i % period]), -1);
    });
  }
});

Deno.test("layerNorm() refuses parameters of another width", () => {
  assert.throws(() => layerNorm(zeros([2, 4]), zeros([3]), zeros([4]), 1e-6), {
    name: "RangeError",
    message: "Cannot normalise [2,4] with gain [3] and bias [4]",
  });
  assert.throws(() => layerNorm(zeros([2, 4]), zeros([4]), zeros([2]), 1e-6), RangeError);
});
