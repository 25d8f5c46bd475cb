import assert from "node:assert/strict";
import type { Device } from "../../../src/device.ts";
import { add, gelu, isFinite, mul } from "../../../src/ops/map.ts";
import { linear, matmul } from "../../../src/ops/matmul.ts";
import { sum } from "../../../src/ops/reduce.ts";
import { reshape } from "../../../src/ops/shape.ts";
import type { Fusion } from "../../../src/plan/fuse.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import type { Tensor } from "../../../src/tensor.ts";
import type { Tree } from "../../../src/tree.ts";
import {
  close,
  gpuLike,
  random,
  sharedDevice,
  toTensor,
  withoutBroadcast,
} from "../../check_op.ts";

const draw = (shape: readonly number[], seed: number) => toTensor(random(shape, seed));

type Layer = { x: Tensor; w: Tensor; b: Tensor; residual: Tensor };

/** A layer of R rows, I inputs and O outputs, with all that can follow it. */
function layer(R: number, I: number, O: number): Layer {
  return {
    ...{ x: draw([R, I], 1), w: draw([O, I], 2), b: draw([O], 3) },
    residual: draw([2, R / 2, O], 4),
  };
}

/** Dispatches and results of a function, fused or not. */
async function run<Args extends Tree<Tensor>>(
  device: Device,
  fn: (args: Args) => Tree<Tensor>,
  args: Args,
  fuse: Fusion,
) {
  const plan = await compile(device, fn, args, { fuse });
  const results = Object.values(plan.run(args) as Record<string, Tensor>);
  const values = await readAll(device, results);
  const { dispatches } = plan;
  plan.destroy();
  return { dispatches, values };
}

const devices = [
  { name: "broadcast", open: sharedDevice },
  { name: "registers", open: withoutBroadcast },
  { name: "tiles", open: gpuLike },
];
const sizes = [[18, 12, 20], [6, 5, 7], [132, 24, 136], [130, 9, 131]];

for (const { name, open } of devices) {
  Deno.test(`compile() ends a product's kernel with what follows it, same values: ${name}`, async (t) => {
    const device = await open();
    for (const [R, I, O] of sizes) {
      await t.step(`${R} × ${I} × ${O}`, async () => {
        const fn = ({ x, w, b, residual }: Layer) => {
          const h = linear(x, w, b); // also a result, as a gradient needs it
          const y = add(reshape(gelu(h), residual.shape), residual);
          return { h, y, finite: isFinite(y) };
        };
        const args = layer(R, I, O);
        const [fused, plain] = [
          await run(device, fn, args, "all"),
          await run(device, fn, args, "none"),
        ];
        fused.values.forEach((values, i) => close(values, plain.values[i], 1e-6, `result ${i}`));
        assert.equal(plain.dispatches, 5);
        assert.equal(fused.dispatches, O % 4 === 0 ? 1 : 2); // odd rows are not read in fours
      });
    }
  });
}

Deno.test("compile() ends one kernel only once, and never with what it needs itself", async () => {
  const device = await sharedDevice();
  const args = { a: draw([8, 8], 1), b: draw([8, 8], 2) };
  const cases: [string, number, (args: { a: Tensor; b: Tensor }) => Record<string, Tensor>][] = [
    ["two products added", 2, ({ a, b }) => ({ y: add(matmul(a, b), matmul(b, a)) })],
    ["a product of what is added to it", 2, ({ a, b }) => {
      const sum = add(a, b);
      return { y: add(matmul(sum, b), sum) };
    }],
    ["a sum between", 3, ({ a, b }) => {
      const product = matmul(a, b);
      return { y: add(product, sum(product, [0], true)) };
    }],
    ["a product squared", 2, ({ a, b }) => {
      const product = matmul(a, b);
      return { y: matmul(mul(product, product), a) };
    }],
  ];
  for (const [name, dispatches, fn] of cases) {
    const [fused, plain] = [
      await run(device, fn, args, "all"),
      await run(device, fn, args, "none"),
    ];
    close(fused.values[0], plain.values[0], 1e-6, name);
    assert.equal(fused.dispatches, dispatches, name);
  }
});

Deno.test("compile() adds a product to a donated sum, in place unless it is of that sum itself", async () => {
  const device = await sharedDevice();
  const fn = ({ sofar, x }: { sofar: Tensor; x: Tensor }) => ({ sofar: add(sofar, matmul(x, x)) });
  const square = ({ sofar }: { sofar: Tensor }) => ({ sofar: add(sofar, matmul(sofar, sofar)) });
  for (const again of [false, true]) {
    const args = { sofar: draw([8, 8], 1), x: draw([8, 8], again ? 1 : 2) };
    const once = (await run(device, again ? square : fn, args, "none")).values[0];
    const plan = await compile(device, again ? square : fn, args, {
      donate: ["sofar"],
      fuse: "all",
    });
    assert.equal(plan.dispatches, 1);
    close((await readAll(device, [plan.run(args).sofar]))[0], once, 1e-6, "sum");
    plan.destroy();
  }
});
