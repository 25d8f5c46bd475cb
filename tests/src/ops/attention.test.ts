import assert from "node:assert/strict";
import type { Device } from "../../../src/device.ts";
import { grad } from "../../../src/grad.ts";
import { attention, softmax } from "../../../src/ops/attention.ts";
import { mul } from "../../../src/ops/map.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { compile } from "../../../src/plan/plan.ts";
import { read, readAll } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { type Tensor, tensor, zeros } from "../../../src/tensor.ts";
import {
  checkOp,
  close,
  fill,
  gpuLike,
  sameBits,
  sharedDevice,
  type Values,
} from "../../check_op.ts";

function softmaxRow(row: Float64Array): Float64Array {
  const top = Math.max(...row);
  const powers = row.map((value) => Math.exp(value - top));
  const total = powers.reduce((sum, value) => sum + value, 0);
  return powers.map((value) => value / total);
}

function softmaxReference({ data, shape }: Values): Values {
  const C = shape.at(-1)!;
  const y = new Float64Array(data.length);
  for (let start = 0; start < data.length; start += C) {
    y.set(softmaxRow(data.subarray(start, start + C)), start);
  }
  return { data: y, shape };
}

/** qkv [N, L, 3 · heads · D] → Σ_j softmax_j(q_i · k_j / √D) v_j, head by head. */
function attentionReference(heads: number) {
  return (qkv: Values): Values => {
    const [n, L, triple] = qkv.shape;
    const width = triple / 3;
    const D = width / heads;
    const data = new Float64Array(n * L * width);
    for (let sample = 0; sample < n; sample++) {
      for (let head = 0; head < heads; head++) {
        // Rows lie far apart, and `at` would take most of the time of long ones.
        const part = (which: number, token: number) => {
          const start = (sample * L + token) * triple + which * width + head * D;
          return qkv.data.subarray(start, start + D);
        };
        for (let i = 0; i < L; i++) {
          const query = part(0, i);
          const scores = Float64Array.from({ length: L }, (_, j) => {
            const key = part(1, j);
            let dot = 0;
            for (let d = 0; d < D; d++) dot += query[d] * key[d];
            return dot / Math.sqrt(D);
          });
          const start = (sample * L + i) * width + head * D;
          softmaxRow(scores).forEach((weight, j) => {
            const value = part(2, j);
            for (let d = 0; d < D; d++) data[start + d] += weight * value[d];
          });
        }
      }
    }
    return { data, shape: [n, L, width] };
  };
}

Deno.test("softmax() matches its float64 reference and gradient", async (t) => {
  for (const shape of [[2, 3, 5], [4, 8], [70, 3], [3, 1]]) {
    // A row of one is 1 whatever its value.
    const gradient = shape.at(-1) === 1 ? null : 1e-5;
    await t.step(
      `[${shape}]`,
      () => checkOp(softmax, softmaxReference, [shape], { gradient, forward: 2e-6 }),
    );
  }
});

Deno.test("softmax() matches its float64 reference where a workgroup takes a row", async (t) => {
  const device = await gpuLike();
  for (const shape of [[3, 64], [2, 2, 65], [5, 130], [1, 300]]) {
    assert.deepEqual(kernelsOf(softmax(zeros(shape)), device), ["softmaxWorkgroup"]);
    await t.step(
      `[${shape}]`,
      () => checkOp(softmax, softmaxReference, [shape], { forward: 2e-6, device }),
    );
  }
});

Deno.test("softmax() does not overflow, and ignores a common offset", async () => {
  const row = [1e4, 1e4 - 1, -1e4];
  const y = await read(await sharedDevice(), softmax(tensor(row)));
  close(y, fill([3], (i) => [1, Math.exp(-1), 0][i] / (1 + Math.exp(-1))).data, 1e-6);
});

Deno.test("attention() matches its float64 reference and gradient", async (t) => {
  const cases: [name: string, N: number, L: number, heads: number, D: number][] = [
    ["fours", 2, 8, 2, 4],
    ["odd tokens", 2, 5, 3, 4],
    ["odd heads", 1, 6, 2, 3],
    ["one token", 2, 1, 2, 4],
    ["one head", 1, 4, 1, 8],
    ["a quarter of 14 × 14", 2, 49, 2, 32],
  ];
  for (const [name, N, L, heads, D] of cases) {
    const shape = [N, L, 3 * heads * D];
    await t.step(
      name,
      () =>
        checkOp((x) => attention(x, heads), attentionReference(heads), [shape], { forward: 2e-6 }),
    );
  }
});

Deno.test("attention() matches its float64 reference where no scores are stored", async (t) => {
  const device = await gpuLike();
  // Tiles are of 64 queries by 64 keys; columns go by fours, by 16 in a sum, by 64 in a result.
  const cases: Record<number, [D: number, heads: number, N: number][]> = {
    1: [[4, 3, 2], [64, 1, 1], [5, 2, 1]],
    7: [[1, 2, 2], [16, 1, 2], [27, 2, 1], [128, 3, 1]],
    49: [[4, 2, 2], [16, 3, 1], [32, 2, 2], [64, 3, 1], [128, 1, 2]],
    64: [[8, 1, 2]],
    65: [[20, 2, 1]],
    128: [[48, 1, 1]],
    130: [[4, 1, 2], [16, 2, 1], [64, 2, 1], [67, 1, 1], [128, 1, 1]],
    200: [[3, 3, 2], [16, 1, 2], [32, 3, 1], [64, 1, 1], [80, 2, 1], [128, 1, 1]],
  };
  const all = Object.entries(cases).flatMap(([L, rest]) => rest.map((sizes) => [+L, ...sizes]));
  for (const [L, D, heads, N] of all) {
    const shape = [N, L, 3 * heads * D];
    const op = (x: Tensor) => attention(x, heads);
    await t.step(`L ${L}, D ${D}, heads ${heads}, N ${N}`, async () => {
      assert.deepEqual(kernelsOf(op(zeros(shape)), device), ["attention"]);
      // A single weight is 1 whatever the score: most of that gradient is zero.
      const positions = L === 1 ? 3 * heads * D : L < 128 ? 12 : 4;
      await checkOp(op, attentionReference(heads), [shape], { forward: 2e-6, device, positions });
    });
  }
});

Deno.test("attention() stores maps of heads above 128 on a GPU too", async () => {
  const device = await gpuLike();
  const [L, D] = [17, 132];
  const op = (x: Tensor) => attention(x, 1);
  assert.equal(kernelsOf(op(zeros([1, L, 3 * D])), device).length, 3);
  await checkOp(op, attentionReference(1), [[1, L, 3 * D]], {
    ...{ forward: 2e-6, device, positions: 8 },
  });
});

/** Kernels that a device takes for an op. */
function kernelsOf(y: Tensor, { target }: Device): string[] {
  assert.ok(y.source.kind === "result" && y.source.application.op.lowering.kind === "kernel");
  return y.source.application.op.lowering.dispatches(target).map(({ kernel }) => kernel);
}

/** Result and gradient of attention on a device. */
async function valuesOf(
  device: Device,
  [N, L, heads, D]: readonly [N: number, L: number, heads: number, D: number],
  bias = 0, // of the values
) {
  const width = heads * D;
  const size = N * L * width;
  const draws = normal(key(3), 3 * size);
  const args = {
    qkv: tensor(
      draws.map((z, i) => i % (3 * width) < 2 * width ? z : z + bias),
      [N, L, 3 * width],
    ),
    dy: tensor(normal(key(4), size), [N, L, width]),
  };
  const plan = await compile(device, ({ qkv, dy }) => {
    const y = attention(qkv, heads);
    return [y, grad(sum(mul(y, dy)), { qkv }).qkv];
  }, args);
  const [y, dqkv] = await readAll(device, plan.run(args));
  plan.destroy();
  return { y, dqkv, dispatches: plan.dispatches };
}

Deno.test("attention() is the same with all scores stored, with a part of them, and with none", async (t) => {
  const [cpu, gpu] = [await sharedDevice(), await gpuLike()];
  // Up to 4 Mi scores all are stored; 600 × 600 × 12 of them go by 11 heads, or by 11 samples.
  const cases: [name: string, N: number, L: number, heads: number, D: number][] = [
    ["stored", 2, 50, 3, 32],
    ["11 heads, then one", 1, 600, 12, 4],
    ["11 samples, then one", 12, 600, 1, 4],
  ];
  for (const [name, ...sizes] of cases) {
    await t.step(name, async () => {
      const [stored, streamed] = [await valuesOf(cpu, sizes), await valuesOf(gpu, sizes)];
      close(streamed.y, stored.y, 1e-5, "values");
      close(streamed.dqkv, stored.dqkv, 1e-5, "gradient");
      assert.ok(stored.dispatches > streamed.dispatches);
    });
  }
});

Deno.test("attention() that stores no scores gives the same bits again", async () => {
  const device = await gpuLike();
  const sizes = [2, 70, 2, 20] as const;
  const [once, twice] = [await valuesOf(device, sizes), await valuesOf(device, sizes)];
  sameBits(twice.y, once.y);
  sameBits(twice.dqkv, once.dqkv);
});

Deno.test("attention() plans no buffer as large as all scores of a clip's tokens", async () => {
  const [L, heads, D] = [1568, 2, 4];
  for (const device of [await sharedDevice(), await gpuLike()]) {
    const args = { qkv: zeros([1, L, 3 * heads * D]) };
    const pool: GPUBuffer[] = [];
    const plan = await compile({ ...device, scratch: pool }, ({ qkv }) => {
      const y = attention(qkv, heads);
      return [y, grad(sum(mul(y, y)), { qkv }).qkv];
    }, args);
    const bytes = Math.max(...[...plan.buffers].map(({ size }) => size));
    assert.ok(bytes < 4 * heads * L * L, `${bytes} bytes, target ${JSON.stringify(device.target)}`);
    plan.destroy();
    pool.forEach((buffer) => buffer.destroy());
  }
});

Deno.test("attention() does not overflow, nor lose precision, where scores are ± 1e4", async () => {
  // q and k are ± 100 in each of 64 columns: a query's own kind of keys scores 8e4, all others −8e4.
  const [L, D] = [130, 64];
  const sign = (token: number) => token % 3 === 0 ? 1 : -1;
  const data = Float32Array.from({ length: L * 3 * D }, (_, i) => {
    const [token, column] = [Math.floor(i / (3 * D)), i % (3 * D)];
    return column < 2 * D ? 100 * sign(token) : Math.sin(i);
  });
  const expected = attentionReference(1)({ data: Float64Array.from(data), shape: [1, L, 3 * D] });
  for (const device of [await sharedDevice(), await gpuLike()]) {
    const qkv = tensor(data, [1, L, 3 * D]);
    const y = attention(qkv, 1);
    const [found, gradient] = await readAll(device, [y, grad(sum(mul(y, y)), { qkv }).qkv]);
    close(found, expected.data, 2e-6);
    assert.ok(gradient.every(Number.isFinite));
  }
});

Deno.test("attention() gives the keys' bias no gradient, which only rounding could", async () => {
  const [N, L, heads, D] = [2, 130, 2, 32];
  const width = heads * D;
  for (const device of [await sharedDevice(), await gpuLike()]) {
    // Large values have large weighted means, whose rounding would be 2e-6.
    const { dqkv } = await valuesOf(device, [N, L, heads, D], 30);
    let [totals, sizes] = [0, 0];
    for (let column = width; column < 2 * width; column++) {
      const grads = Array.from({ length: N * L }, (_, row) => dqkv[row * 3 * width + column]);
      totals += grads.reduce((sum, value) => sum + value, 0) ** 2;
      sizes += grads.reduce((sum, value) => sum + Math.abs(value), 0) ** 2;
    }
    const relative = Math.sqrt(totals / sizes);
    assert.ok(relative < 1e-6, `${relative}`);
  }
});

Deno.test("attention() keeps samples and heads apart, whatever lies beside them", async () => {
  const [L, heads, D] = [5, 2, 4];
  const width = heads * D;
  const own = normal(key(3), L * 3 * width);
  for (const device of [await sharedDevice(), await gpuLike()]) {
    const of = async (values: Float32Array<ArrayBuffer>, n: number) => {
      const qkv = tensor(values, [n, L, 3 * width]);
      const y = attention(qkv, heads);
      return await readAll(device, [y, grad(sum(mul(y, y)), { qkv }).qkv]);
    };
    const both = new Float32Array(2 * own.length).fill(NaN);
    both.set(own);
    const alone = await of(own, 1);
    (await of(both, 2)).forEach((values, i) =>
      assert.deepEqual([...values.subarray(0, alone[i].length)], [...alone[i]])
    );
    // The second head is of no number, the first as it was.
    const half = own.map((value, i) => i % width >= D ? NaN : value);
    (await of(half, 1)).forEach((values, i) =>
      values.forEach((value, at) =>
        assert.ok(at % width >= D ? Number.isNaN(value) : value === alone[i][at], `${i}, ${at}`)
      )
    );
  }
});

Deno.test("attention() refuses heads that do not divide the width", () => {
  assert.throws(() => attention(zeros([1, 4, 24]), 3), {
    name: "RangeError",
    message: "Cannot split qkv [1,4,24] into 3 × 3 heads",
  });
  assert.throws(() => attention(zeros([4, 24]), 2), RangeError);
});
