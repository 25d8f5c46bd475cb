import assert from "node:assert/strict";
import { axisBias, relativeBias } from "../../../src/ops/relative_bias.ts";
import { zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

function biasReference(H: number, W: number) {
  return (table: Values): Values =>
    fill([table.shape[1], H * W, H * W], (head, query, key) => {
      const down = Math.floor(query / W) - Math.floor(key / W) + H - 1;
      const across = query % W - key % W + W - 1;
      return at(table, down * (2 * W - 1) + across, head);
    });
}

/** Value i of a table `[length, D]` as if it had `size` rows. */
function stretched(table: Values, size: number, i: number, d: number): number {
  const [length] = table.shape;
  const place = Math.max((i + 0.5) * length / size - 0.5, 0);
  const [first, second] = [Math.floor(place), Math.min(Math.floor(place) + 1, length - 1)];
  const share = place - Math.floor(place);
  return (1 - share) * at(table, first, d) + share * at(table, second, d);
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

Deno.test("axisBias() matches its float64 reference and gradient, also of tables that are interpolated", async (t) => {
  const [n, heads, D] = [2, 2, 3];
  const cases: [H: number, W: number, rows: number, columns: number][] = [
    [3, 3, 5, 5],
    [2, 4, 3, 7],
    [4, 1, 7, 1],
    [3, 2, 9, 2],
  ];
  for (const [H, W, rows, columns] of cases) {
    for (const axis of ["rows", "columns"] as const) {
      await t.step(`${axis}, ${H} × ${W} by tables of ${rows} and ${columns}`, () =>
        checkOp(
          (qkv, rows, columns) => axisBias(qkv, heads, [H, W], { rows, columns })[axis]!,
          (qkv, rows, columns) =>
            fill([n, heads, H * W, axis === "rows" ? H : W], (sample, head, query, key) => {
              const [side, table, from] = axis === "rows"
                ? [H, rows, Math.floor(query / W)]
                : [W, columns, query % W];
              let dot = 0;
              for (let d = 0; d < D; d++) {
                dot += at(qkv, sample, query, head * D + d) *
                  stretched(table, 2 * side - 1, from - key + side - 1, d);
              }
              return dot;
            }),
          [[n, H * W, 3 * heads * D], [rows, D], [columns, D]],
        ));
    }
  }
});

Deno.test("axisBias() refuses tables of another width than the heads, and another grid", () => {
  const tables = { rows: zeros([5, 4]), columns: zeros([5, 3]) };
  assert.throws(() => axisBias(zeros([1, 9, 24]), 2, [3, 3], tables), {
    name: "RangeError",
    message: "Cannot take biases by rows [5,4] and columns [5,3] on a grid of 3 × 3 for 2 heads " +
      "of qkv [1,9,24]",
  });
  const fitting = { rows: zeros([5, 4]), columns: zeros([5, 4]) };
  assert.throws(() => axisBias(zeros([1, 9, 24]), 2, [3, 4], fitting), RangeError);
});
