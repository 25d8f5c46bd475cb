import assert from "node:assert/strict";
import { kernels } from "../../../kernels/mod.ts";
import type { Device } from "../../../src/device.ts";
import { type Layout, linear, matmul, productDispatch } from "../../../src/ops/matmul.ts";
import { type Shape, zeros } from "../../../src/tensor.ts";
import {
  at,
  checkOp,
  fill,
  gpuLike,
  sharedDevice,
  type Values,
  withoutBroadcast,
} from "../../check_op.ts";

interface Transposes {
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** c[…, m, n] = Σ a[…, m, k] b[…, k, n]. */
function productReference({ transposeA, transposeB }: Transposes) {
  return (a: Values, b: Values): Values => {
    const [rows, cols] = a.shape.slice(-2);
    const [M, K] = transposeA ? [cols, rows] : [rows, cols];
    const N = b.shape.at(transposeB ? -2 : -1)!;
    return fill([...a.shape.slice(0, -2), M, N], (...index) => {
      const [m, n] = index.slice(-2);
      const batch = index.slice(0, -2);
      let total = 0;
      for (let k = 0; k < K; k++) {
        const left = transposeA ? [k, m] : [m, k];
        const right = transposeB ? [n, k] : [k, n];
        total += at(a, ...batch, ...left) * at(b, ...batch, ...right);
      }
      return total;
    });
  };
}

const layouts: [name: string, Transposes][] = [
  ["A B", {}],
  ["A Bᵀ", { transposeB: true }],
  ["Aᵀ B", { transposeA: true }],
  ["Aᵀ Bᵀ", { transposeA: true, transposeB: true }],
];

/** Shapes of a and b for c [batch, M, N]. */
function shapesOf(
  batch: Shape,
  M: number,
  N: number,
  K: number,
  { transposeA, transposeB }: Transposes,
): Shape[] {
  return [
    [...batch, ...transposeA ? [K, M] : [M, K]],
    [...batch, ...transposeB ? [N, K] : [K, N]],
  ];
}

const variants: [
  kernel: string,
  device: () => Promise<Device>,
  sizes: [M: number, N: number, K: number][],
][] = [
  // Edges of blocks of 4, and of workgroups of 32.
  ["matmul", withoutBroadcast, [[1, 1, 1], [5, 7, 3], [35, 33, 6]]],
  // Edges of blocks of 16 × 64, multiples of four.
  ["matmulBroadcast", sharedDevice, [[4, 4, 4], [20, 68, 12]]],
  // Edges of tiles of 64, and of 16 along the sum.
  ["matmulTile", gpuLike, [[16, 17, 1], [67, 65, 18]]],
];

for (const [kernel, open, sizes] of variants) {
  Deno.test(`matmul() matches float64 by the kernel ${kernel}, whichever operand lies transposed`, async (t) => {
    const device = await open();
    const skip = kernel === "matmulBroadcast" && !device.target.broadcast;
    for (const [M, N, K] of sizes) {
      for (const [name, layout] of layouts) {
        await t.step({
          name: `${name}, ${M} × ${N} × ${K}`,
          ignore: skip,
          fn: async () => {
            const shapes = shapesOf([], M, N, K, layout);
            const op = (a: Parameters<typeof matmul>[0], b: typeof a) => matmul(a, b, layout);
            assert.equal(chosen(op(zeros(shapes[0]), zeros(shapes[1])), device), kernel);
            await checkOp(op, productReference(layout), shapes, { device, positions: 8 });
          },
        });
      }
    }
  });

  Deno.test(`matmul() matches float64 by the kernel ${kernel} over two batch axes`, async () => {
    const device = await open();
    const [M, N, K] = kernel === "matmul" ? [3, 5, 2] : [20, 24, 8];
    await checkOp((a, b) => matmul(a, b), productReference({}), shapesOf([2, 3], M, N, K, {}), {
      device,
    });
  });
}

/** The kernel that a device takes for a product. */
function chosen(c: ReturnType<typeof matmul>, { target }: Device): string {
  assert.ok(c.source.kind === "result" && c.source.application.op.lowering.kind === "kernel");
  return c.source.application.op.lowering.dispatches(target)[0].kernel;
}

Deno.test("productDispatch() takes fours only where offsets, strides and rows divide", () => {
  const even = { offset: 0, outer: 64, inner: 8, row: 16 };
  const product = {
    ...{ M: 8, N: 8, K: 8, outer: 2, inner: 2, scale: 1 },
    ...{ a: even as Layout, b: even as Layout, c: even as Layout },
  };
  const kernelOf = (change: Partial<typeof product>) =>
    productDispatch({ cpu: true, broadcast: true }, { ...product, ...change }, [0, 1, 2]).kernel;
  assert.equal(kernelOf({}), "matmulBroadcast");
  assert.equal(kernelOf({ M: 7 }), "matmulBroadcast"); // rows of a and c need not
  for (
    const change of [{ N: 6 }, { K: 6 }, { a: { ...even, offset: 2 } }, {
      b: { ...even, inner: 6 },
    }, { c: { ...even, row: 18 } }]
  ) {
    assert.equal(kernelOf(change), "matmul", JSON.stringify(change));
  }
  const filled = { ...even, filled: true };
  assert.equal(kernelOf({ K: 7, a: filled }), "matmulBroadcast");
  assert.equal(kernelOf({ N: 7, c: filled }), "matmul"); // rows of b are not filled up
  assert.equal(kernelOf({ N: 7, c: filled, b: { ...even, transpose: true } }), "matmulBroadcast");
  const { constants } = productDispatch({ cpu: true, broadcast: true }, product, [0, 1, 2]);
  assert.deepEqual(
    new Set(Object.keys(constants)),
    new Set<string>(kernels.matmulBroadcast.constants),
  );
});

function linearReference(x: Values, weight: Values, bias?: Values): Values {
  const [O] = weight.shape;
  const I = x.shape.at(-1)!;
  return fill([...x.shape.slice(0, -1), O], (...index) => {
    const o = index.at(-1)!;
    let total = bias?.data[o] ?? 0;
    for (let i = 0; i < I; i++) total += at(x, ...index.with(-1, i)) * weight.data[o * I + i];
    return total;
  });
}

Deno.test("linear() matches float64 with and without bias, for any leading axes", async (t) => {
  await t.step("bias", () => checkOp(linear, linearReference, [[2, 3, 8], [12, 8], [12]]));
  await t.step(
    "no bias, odd",
    () => checkOp((x, w) => linear(x, w), linearReference, [[5, 3], [7, 3]]),
  );
  await t.step(
    "a 1×1 convolution's weights",
    () => checkOp(linear, linearReference, [[1, 2, 2, 4], [4, 4, 1, 1], [4]]),
  );
});

Deno.test("linear() splits the long sum of its weight gradient", async (t) => {
  // 1536 rows are three parts of 512; 1031 is prime, and stays one.
  for (
    const [rows, open] of [[1536, sharedDevice], [1031, sharedDevice], [1536, gpuLike]] as const
  ) {
    await t.step(
      `${rows} rows`,
      async () =>
        checkOp(linear, linearReference, [[rows, 4], [8, 4], [8]], {
          device: await open(),
          positions: 12,
        }),
    );
  }
});

Deno.test("Products refuse sizes that differ", () => {
  assert.throws(() => matmul(zeros([2, 3]), zeros([2, 3])), {
    name: "RangeError",
    message: "Cannot multiply [2,3] by [2,3]",
  });
  assert.throws(() => matmul(zeros([2, 3, 4]), zeros([3, 4, 5])), RangeError);
  assert.throws(() => matmul(zeros([2, 3]), zeros([3, 2]), { transposeB: true }), RangeError);
  assert.throws(() => matmul(zeros([3]), zeros([3])), RangeError);
  assert.throws(() => linear(zeros([2, 3]), zeros([4, 2])), {
    name: "RangeError",
    message: "Cannot multiply [2,3] by weights [4,2]",
  });
});
