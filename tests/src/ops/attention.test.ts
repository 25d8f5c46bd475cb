import assert from "node:assert/strict";
import { attention, softmax } from "../../../src/ops/attention.ts";
import { read } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, close, fill, gpuLike, sharedDevice, type Values } from "../../check_op.ts";

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
        const part = (which: number, token: number, d: number) =>
          at(qkv, sample, token, which * width + head * D + d);
        for (let i = 0; i < L; i++) {
          const scores = Float64Array.from({ length: L }, (_, j) => {
            let dot = 0;
            for (let d = 0; d < D; d++) dot += part(0, i, d) * part(1, j, d);
            return dot / Math.sqrt(D);
          });
          softmaxRow(scores).forEach((weight, j) => {
            for (let d = 0; d < D; d++) {
              data[(sample * L + i) * width + head * D + d] += weight * part(2, j, d);
            }
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

Deno.test("attention() matches its float64 reference by a GPU's tiles", async () => {
  const device = await gpuLike();
  const [L, heads, D] = [17, 2, 16];
  await checkOp(
    (x) => attention(x, heads),
    attentionReference(heads),
    [[2, L, 3 * heads * D]],
    { forward: 2e-6, device, positions: 12 },
  );
});

Deno.test("attention() keeps samples apart where rows of its maps are filled up", async () => {
  const [L, heads, D] = [5, 2, 4];
  const own = normal(key(3), L * 3 * heads * D);
  const both = new Float32Array(2 * own.length).fill(NaN);
  both.set(own);
  const y = (values: Float32Array<ArrayBuffer>, n: number) =>
    attention(tensor(values, [n, L, 3 * heads * D]), heads);
  const device = await sharedDevice();
  const [alone, beside] = [await read(device, y(own, 1)), await read(device, y(both, 2))];
  assert.deepEqual([...beside.subarray(0, alone.length)], [...alone]);
});

Deno.test("attention() refuses heads that do not divide the width", () => {
  assert.throws(() => attention(zeros([1, 4, 24]), 3), {
    name: "RangeError",
    message: "Cannot split qkv [1,4,24] into 3 × 3 heads",
  });
  assert.throws(() => attention(zeros([4, 24]), 2), RangeError);
});
