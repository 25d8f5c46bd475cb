import assert from "node:assert/strict";
import { pick } from "../../../src/ops/pick.ts";
import { zeros } from "../../../src/tensor.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

const LABELS = [2, 0, 5, 3, 4];

Deno.test("pick() matches its float64 reference and gradient", async (t) => {
  const labels = { indices: LABELS, shape: [5] };
  await t.step("of the last axis", () => {
    const reference = (x: Values, labels: Values) =>
      fill([5, 2, 3], (r, i, j) => {
        const label = labels.data[r];
        return label < 4 ? at(x, r, i, j, label) : 0;
      });
    return checkOp((x, labels) => pick(x, labels, 3), reference, [[5, 2, 3, 4], labels], {
      positions: 120,
    });
  });
  await t.step("of an axis between", () => {
    const reference = (x: Values, labels: Values) =>
      fill([5, 3], (r, j) => {
        const label = labels.data[r];
        return label < 4 ? at(x, r, label, j) : 0;
      });
    return checkOp((x, labels) => pick(x, labels, 1), reference, [[5, 4, 3], labels], {
      positions: 60,
    });
  });
});

Deno.test("pick() refuses labels of other rows, and the axis of the rows", () => {
  assert.throws(() => pick(zeros([5, 4]), zeros([4], "u32"), 1), {
    name: "RangeError",
    message: "Cannot pick of axis 1 of [5,4] by labels [4]",
  });
  assert.throws(() => pick(zeros([5, 4]), zeros([5], "u32"), 0), RangeError);
});
