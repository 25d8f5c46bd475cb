import assert from "node:assert/strict";
import { dropPath } from "../../../src/ops/drop_path.ts";
import { grad } from "../../../src/grad.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import { sharedDevice } from "../../check_op.ts";

Deno.test("dropPath() drops whole samples, enlarges the others, and so does its gradient", async () => {
  const x = tensor([1, -2, 3, 4, 5, -6], [3, 1, 2]);
  const u = tensor([0.1, 0.25, 0.9], [3, 1, 1]); // rate 0.25: kept from 0.25 on
  const y = dropPath(x, u, 0.25);
  const gradients = grad(sum(y), { x, u });
  const [values, dx, du] = await readAll(await sharedDevice(), [y, gradients.x, gradients.u]);
  const near = (actual: Iterable<number>, expected: number[]) =>
    [...actual].forEach((value, i) => assert.ok(Math.abs(value - expected[i]) < 1e-6));
  near(values, [0, 0, 4, 16 / 3, 20 / 3, -8]);
  near(dx, [0, 0, 4 / 3, 4 / 3, 4 / 3, 4 / 3]);
  assert.deepEqual([...du], [0, 0, 0]);
});

Deno.test("dropPath() leaves x alone at rate 0 and refuses rates that keep nothing", () => {
  const [x, u] = [tensor([1]), tensor([0])];
  assert.equal(dropPath(x, u, 0), x);
  for (const rate of [-0.1, 1, NaN]) assert.throws(() => dropPath(x, u, rate), RangeError);
});
