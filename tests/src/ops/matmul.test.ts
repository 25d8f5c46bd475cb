import assert from "node:assert/strict";
import { kernels } from "../../../kernels/mod.ts";
import type { Device } from "../../../src/device.ts";
import { apply, type Target } from "../../../src/op.ts";
import {
  type Layout,
  linear,
  matmul,
  type Product,
  productDispatch,
  productVariants,
  splits,
} from "../../../src/ops/matmul.ts";
import { gelu } from "../../../src/ops/map.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read } from "../../../src/plan/read.ts";
import { type Shape, type Tensor, zeros } from "../../../src/tensor.ts";
import {
  at,
  checkOp,
  close,
  fill,
  gpuLike,
  random,
  sameBits,
  sharedDevice,
  toTensor,
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
  // The same, of blocks of 64 × 16.
  ["matmulBroadcastNarrow", sharedDevice, [[68, 16, 12], [132, 20, 20]]],
  // Edges of tiles of 64, and of 16 along the sum.
  ["matmulTile", gpuLike, [[16, 17, 1], [67, 65, 18]]],
  ["matmulTileFours", gpuLike, [[16, 16, 4], [68, 20, 20]]],
];

const gpu: Target = { cpu: false, broadcast: false };

for (const [kernel, open, sizes] of variants) {
  Deno.test(`matmul() matches float64 by the kernel ${kernel}, whichever operand lies transposed`, async (t) => {
    const device = await open();
    const skip = kernel.startsWith("matmulBroadcast") && !device.target.broadcast;
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
    const isNarrow = kernel === "matmulBroadcastNarrow";
    const [M, N, K] = kernel === "matmul" ? [3, 5, 2] : isNarrow ? [68, 16, 8] : [20, 24, 8];
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

/** A product's operands; where rows are filled up, with zeros. */
function operandsOf({ M, K, outer, a, b }: Product): Values[] {
  return [a, b].map(({ offset, outer: size, transpose, filled, inner }, i) => {
    const values = random([offset + outer * size], i);
    const length = transpose ? M : K;
    for (let at = offset; filled && at < values.data.length; at++) {
      if ((at - offset) % inner >= length) values.data[at] = 0;
    }
    return values;
  });
}

/** All of c, by [outer, inner, M, N]. */
function layoutReference(product: Product, a: Values, b: Values): Values {
  const { M, N, K, outer, inner, scale } = product;
  const element = ({ data }: Values, layout: Layout, o: number, i: number, r: number, c: number) =>
    data[place(layout, o, i, r, c)];
  return fill([outer, inner, M, N], (o, i, m, n) => {
    let total = 0;
    for (let k = 0; k < K; k++) {
      total += element(a, product.a, o, i, m, k) * element(b, product.b, o, i, k, n);
    }
    return scale * total;
  });
}

function place(layout: Layout, o: number, i: number, row: number, col: number): number {
  const [line, along] = layout.transpose ? [col, row] : [row, col];
  return layout.offset + o * layout.outer + i * layout.inner + line * layout.row + along;
}

/** A layout of [rows, cols] matrices, rows filled up to fours, `inner` of them beside each other. */
function layoutOf(
  rows: number,
  cols: number,
  inner: number,
  rest: { readonly transpose?: boolean; readonly filled?: boolean } = {},
): Layout {
  const [lines, length] = rest.transpose ? [cols, rows] : [rows, cols];
  const filled = 4 * Math.ceil(length / 4);
  return { ...rest, offset: 8, outer: lines * inner * filled, inner: filled, row: inner * filled };
}

function productOf(
  M: number,
  N: number,
  K: number,
  { transposeA, transposeB }: Transposes = {},
  { filledA = false, filledC = false, batch = [3, 4] } = {},
): Product {
  const [outer, inner] = batch;
  return {
    ...{ M, N, K, outer, inner, scale: 0.5 },
    a: layoutOf(M, K, inner, { transpose: transposeA, filled: filledA }),
    b: layoutOf(K, N, inner, { transpose: transposeB }),
    c: layoutOf(M, N, inner, { filled: filledC }),
  };
}

const products: [name: string, product: Product, kernels: string[]][] = [
  ...layouts.map(([name, layout]): typeof products[number] => [
    name,
    productOf(68, 132, 20, layout), // edges of tiles of 64 and 128; K is not a multiple of 16
    ["matmulTileFours", "matmulTileLarge"],
  ]),
  ["A B, odd M", productOf(67, 132, 36), ["matmulTileFours", "matmulTileLarge"]],
  [
    "A filled up",
    productOf(129, 68, 19, {}, { filledA: true }),
    ["matmulTileFours", "matmulTileLarge"],
  ],
  [
    "Aᵀ filled up",
    productOf(67, 132, 5, { transposeA: true }, { filledA: true }),
    ["matmulTileFours", "matmulTileLarge"],
  ],
  [
    "A Bᵀ to C filled up",
    productOf(65, 131, 16, { transposeB: true }, { filledC: true }),
    ["matmulTileFours", "matmulTileLarge"],
  ],
  ["odd, few", productOf(18, 33, 17, {}, { batch: [1, 2] }), ["matmulTile", "matmul"]],
  ["fours, few", productOf(20, 36, 24, {}, { batch: [1, 2] }), ["matmulTileFours", "matmul"]],
];

Deno.test("productVariants() all match float64, for interleaved matrices of any layout", async (t) => {
  const device = await sharedDevice();
  for (const [name, product, expected] of products) {
    await t.step(name, async () => {
      const operands = operandsOf(product);
      const reference = layoutReference(product, operands[0], operands[1]);
      const { M, N, outer, inner, c } = product;
      const size = c.offset + outer * c.outer;
      const variants = productVariants(gpu, product, [0, 1, 2]);
      assert.deepEqual(variants.map(({ kernel }) => kernel).sort(), expected.sort());
      const found: Float32Array[] = [];
      for (const variant of variants) {
        const data = await read(
          device,
          apply({
            name: variant.kernel,
            key: variant.kernel,
            outputs: [{ shape: [size], dtype: "f32" }],
            lowering: { kind: "kernel", dispatches: () => [variant] },
          }, operands.map((values) => toTensor(values))),
        );
        const inside = fill([outer, inner, M, N], (...at) => data[place(c, ...at as [0, 0, 0, 0])]);
        close(inside.data, reference.data, 1e-6, variant.kernel);
        found.push(Float32Array.from(inside.data));
      }
      // All add along K in the same order; a GPU may still fuse multiplications with additions.
      if (device.target.cpu) sameBits(found[1], found[0], "variants");
    });
  }
});

Deno.test("productVariants() has one launch a shape on CPU adapters", () => {
  for (const target of [{ cpu: true, broadcast: true }, { cpu: true, broadcast: false }]) {
    for (const [name, product] of products) {
      assert.equal(productVariants(target, product, [0, 1, 2]).length, 1, name);
      assert.equal(productDispatch(target, product, [0, 1, 2]).variants, undefined, name);
    }
  }
});

Deno.test("productVariants() guesses large tiles where they are enough for a GPU", () => {
  const kernelsOf = (...sizes: [M: number, N: number, K: number]) =>
    productVariants(gpu, productOf(...sizes, {}, { batch: [1, 1] }), [0, 1, 2])
      .map(({ kernel }) => kernel);
  assert.deepEqual(kernelsOf(2048, 2048, 64), ["matmulTileLarge", "matmulTileFours"]);
  assert.deepEqual(kernelsOf(2048, 1024, 64), ["matmulTileFours", "matmulTileLarge"]);
  assert.deepEqual(kernelsOf(65536, 64, 64), ["matmulTileFours"]); // a large one would be half empty
  assert.deepEqual(kernelsOf(256, 256, 64), ["matmulTileFours", "matmul"]);
  assert.deepEqual(kernelsOf(2048, 12, 64), ["matmul"]);
});

Deno.test("productDispatch() obeys a choice, and guesses where it cannot", () => {
  const product = productOf(68, 132, 20);
  const [guess] = productVariants(gpu, product, [0, 1, 2]);
  const { key, candidates } = productDispatch(gpu, product, [0, 1, 2]).variants!;
  const kernelBy = (choices: Map<string, string>, change: Partial<Product> = {}) =>
    productDispatch({ ...gpu, choices }, { ...product, ...change }, [0, 1, 2]).kernel;
  assert.equal(kernelBy(new Map()), guess.kernel);
  for (const { kernel } of candidates) {
    assert.equal(kernelBy(new Map([[key, kernel]])), kernel);
    assert.equal(kernelBy(new Map([[key, kernel]]), { M: 72 }), guess.kernel);
  }
  assert.equal(kernelBy(new Map([[key, "gone"]])), guess.kernel);
  assert.equal(kernelBy(new Map([[key, "layerNorm"]])), guess.kernel);
});

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

Deno.test("compile() ends large tiles too with what follows them, where they are the choice", async () => {
  const [x, w, b] = [[516, 8], [516, 8], [516]].map((shape, i) => toTensor(random(shape, i)));
  const results: Float32Array[] = [];
  for (const kernel of ["matmulTileFours", "matmulTileLarge"]) {
    const choices = new Map([["product 516 × 516 × 8 × 1 NT in fours", kernel]]);
    const device = { ...await gpuLike(), target: { ...gpu, choices } };
    const plan = await compile(device, ({ x }) => [gelu(linear(x, w, b))], { x });
    assert.equal(plan.dispatches, 1, kernel);
    assert.ok([...device.pipelines.values()].some(({ label }) => label === kernel), kernel);
    results.push(await read(device, plan.run({ x })[0]) as Float32Array);
    plan.destroy();
  }
  const reference = linearReference(...[x, w, b].map(valuesOf) as [Values, Values, Values]);
  const expected = await read(await sharedDevice(), gelu(toTensor(reference)));
  results.forEach((found) => close(found, expected, 1e-6));
});

function valuesOf({ source, shape }: Tensor): Values {
  return { data: Float64Array.from((source as { data: Float32Array }).data), shape };
}

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

Deno.test("linear() of columns that are no multiple of four", async (t) => {
  for (const [name, open] of [["a CPU adapter", sharedDevice], ["a GPU", gpuLike]] as const) {
    await t.step(
      `${name}, split`,
      async () =>
        checkOp(linear, linearReference, [[1536, 8], [10, 8], [10]], {
          device: await open(),
          positions: 12,
        }),
    );
    await t.step(
      `${name}, several tiles`,
      async () =>
        checkOp(linear, linearReference, [[33, 68], [67, 68], [67]], {
          device: await open(),
          positions: 12,
        }),
    );
  }
});

Deno.test("linear() splits the long sum of its weight gradient", async (t) => {
  // 1536 rows are six parts of 256; 1031 is prime, and stays one.
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

Deno.test("splits() takes parts of 512 rows, and smaller ones where the result is small", () => {
  assert.equal(splits(1568, 3072, 768), 2); // the only ones not below 512
  assert.equal(splits(25088, 1024, 256), 16); // and never more than 16 for precision
  assert.equal(splits(6272, 64, 64), 16); // 24 would fit, and do not divide
  assert.equal(splits(25088, 128, 32), 98); // of 256 rows
  assert.equal(splits(2 ** 20, 512, 256), 16); // 32 tiles: 16 parts are 512 workgroups
  assert.equal(splits(2 ** 20, 128, 64), 128); // 2 tiles: 128 parts are 256 workgroups
  assert.equal(splits(255, 4, 4), 1);
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
