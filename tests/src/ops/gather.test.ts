import assert from "node:assert/strict";
import { gather } from "../../../src/ops/gather.ts";
import { read } from "../../../src/plan/read.ts";
import { tensor, zeros } from "../../../src/tensor.ts";
import { checkOp, fill, sharedDevice, type Values } from "../../check_op.ts";

/** Row k of y is row index[k] of x, or zeros where x has no such row. */
function gatherReference(x: Values, index: Values): Values {
  const [n, L, C] = x.shape;
  const K = index.shape[1];
  return fill([n, K, C], (sample, k, c) => {
    const row = index.data[sample * K + k];
    return row < L ? x.data[(sample * L + row) * C + c] : 0;
  });
}

const keep = { indices: [3, 0, 4, 1, 2, 0], shape: [2, 3] };
// Places of five rows among the three kept; 3 and 4 are removed.
const restore = { indices: [1, 3, 4, 0, 2, 2, 0, 1, 3, 4], shape: [2, 5] };

Deno.test("gather() picks rows, in fours and one by one", async (t) => {
  for (const C of [8, 3, 1]) {
    await t.step(`C = ${C}`, () => checkOp(gather, gatherReference, [[2, 5, C], keep, restore]));
  }
});

Deno.test("gather() by the inverse fills absent rows with zeros", async (t) => {
  for (const C of [4, 5]) {
    await t.step(`C = ${C}`, () => checkOp(gather, gatherReference, [[2, 3, C], restore, keep]));
  }
});

Deno.test("gather() takes the largest u32 for an absent row, and a single one", async () => {
  const absent = 2 ** 32 - 1;
  const index = { indices: [absent, 0], shape: [1, 2] };
  await checkOp(gather, gatherReference, [[1, 1, 4], index, { indices: [1], shape: [1, 1] }]);
});

Deno.test("gather() covers more values than one row of 65535 workgroups holds", async () => {
  const K = 65535 * 64 + 1;
  const x = Float32Array.from({ length: 7 }, (_, i) => i + 1);
  const index = Uint32Array.from({ length: K }, (_, i) => (i + (i >> 20)) % 8);
  // The inverse matters to the gradient alone.
  const y = gather(tensor(x, [1, 7, 1]), tensor(index, [1, K]), zeros([1, 7], "u32"));
  const found = await read(await sharedDevice(), y);
  assert.ok(found.every((value, i) => value === (index[i] < 7 ? x[index[i]] : 0)));
});

Deno.test("gather() refuses indices of other samples and an inverse of another length", () => {
  const [x, index, inverse] = [zeros([2, 5, 3]), zeros([2, 3], "u32"), zeros([2, 5], "u32")];
  assert.throws(() => gather(x, zeros([1, 3], "u32"), inverse), {
    name: "RangeError",
    message: "Cannot gather rows of [2,5,3] by [1,3] with inverse [2,5]",
  });
  assert.throws(() => gather(x, index, zeros([2, 4], "u32")), RangeError);
  assert.throws(() => gather(zeros([2, 5]), index, inverse), RangeError);
});
