import assert from "node:assert/strict";
import { attention } from "../../../src/ops/attention.ts";
import { sub } from "../../../src/ops/map.ts";
import { biasedAttention, relativeBias } from "../../../src/ops/relative_bias.ts";
import { readAll } from "../../../src/plan/read.ts";
import { key, normal } from "../../../src/random.ts";
import { tensor, zeros } from "../../../src/tensor.ts";
import { at, checkOp, close, fill, sharedDevice, type Values } from "../../check_op.ts";

function biasReference(H: number, W: number) {
  return (table: Values): Values =>
    fill([table.shape[1], H * W, H * W], (head, query, key) => {
      const down = Math.floor(query / W) - Math.floor(key / W) + H - 1;
      const across = query % W - key % W + W - 1;
      return at(table, down * (2 * W - 1) + across, head);
    });
}

function attentionReference(qkv: Values, bias: Values): Values {
  const [n, L, triple] = qkv.shape;
  const [heads] = bias.shape;
  const D = triple / 3 / heads;
  const value = (part: number, sample: number, token: number, head: number, d: number) =>
    at(qkv, sample, token, (part * heads + head) * D + d);
  return fill([n, L, heads * D], (sample, query, channel) => {
    const head = Math.floor(channel / D);
    const scores = Array.from({ length: L }, (_, key) => {
      let dot = 0;
      for (let d = 0; d < D; d++) {
        dot += value(0, sample, query, head, d) * value(1, sample, key, head, d);
      }
      return dot / Math.sqrt(D) + at(bias, head, query, key);
    });
    const weights = scores.map((score) => Math.exp(score));
    const total = weights.reduce((a, b) => a + b);
    return weights.reduce(
      (sum, weight, key) => sum + weight / total * value(2, sample, key, head, channel % D),
      0,
    );
  });
}

Deno.test("relativeBias() matches its float64 reference and gradient", async (t) => {
  for (const [H, W] of [[3, 3], [2, 4], [1, 5]]) {
    await t.step(`${H} × ${W}`, () =>
      checkOp(
        (table) => relativeBias(table, [H, W]),
        biasReference(H, W),
        [[(2 * H - 1) * (2 * W - 1), 2]],
      ));
  }
});

Deno.test("relativeBias() refuses a table of another grid", () => {
  assert.throws(() => relativeBias(zeros([25, 2]), [3, 4]), {
    name: "RangeError",
    message: "Cannot spread a table [25,2] over a grid of 3 × 4",
  });
});

Deno.test("biasedAttention() matches its float64 reference and gradient", () =>
  checkOp(biasedAttention, attentionReference, [[2, 6, 3 * 8], [2, 6, 6]], {
    forward: 2e-6,
    gradient: 2e-5,
  }));

Deno.test("biasedAttention() without a bias is attention()", async () => {
  const qkv = tensor(normal(key(1), 2 * 5 * 24), [2, 5, 24]);
  const [found, expected] = await readAll(await sharedDevice(), [
    biasedAttention(sub(qkv, 0), zeros([2, 5, 5])),
    attention(qkv, 2),
  ]);
  close(found, expected, 1e-6);
});

Deno.test("biasedAttention() refuses a bias of another length", () => {
  assert.throws(() => biasedAttention(zeros([1, 4, 24]), zeros([2, 5, 5])), RangeError);
});
