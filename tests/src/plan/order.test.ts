import assert from "node:assert/strict";
import type { Adapter } from "../../../src/device.ts";
import { inStage } from "../../../src/op.ts";
import { add, exp, mul } from "../../../src/ops/map.ts";
import { matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { draft } from "../../../src/plan/draft.ts";
import { type Tensor, zeros } from "../../../src/tensor.ts";

const GUARANTEED: Adapter = {
  name: "any adapter",
  target: { cpu: false, broadcast: false },
  limits: { bindingBytes: 2 ** 27, bindings: 8, workgroups: 65535 },
};
const x = zeros([64, 64]);

Deno.test("draft() adds what is ready to donated sums before it goes on", () => {
  const args = { x, sofar: Array.from({ length: 6 }, () => zeros([64, 64])) };
  const { groups, placement } = draft(
    GUARANTEED,
    ({ x, sofar }: typeof args) => {
      let y = x;
      const fresh = sofar.map(() => y = inStage("make", () => matmul(y, y)));
      return { sofar: inStage("add", () => sofar.map((total, i) => add(total, exp(fresh[i])))) };
    },
    args,
    { donate: ["sofar"] },
  );
  const stages = groups.map(({ steps }) => steps.at(-1)!.stage);
  assert.equal(stages.indexOf("add"), 1);
  assert.ok(Math.max(...placement.live) <= 3 * 4 * 64 * 64);
  assert.equal(placement.copies.length, 0);
});

Deno.test("draft() overwrites a donated argument after all have read it", () => {
  const { groups, placement } = draft(
    GUARANTEED,
    ({ x, y }: { x: Tensor; y: Tensor }) => {
      const read = sum(matmul(y, x));
      return { read, x: mul(x, 2) };
    },
    { x, y: x },
    { donate: ["x"] },
  );
  assert.equal(placement.copies.length, 0);
  assert.deepEqual(groups.map(({ steps }) => steps[0].op.name), ["matmul", "mul", "sum"]);
});
