import assert from "node:assert/strict";
import { type Kernel, kernels } from "../../../kernels/mod.ts";
import { add, gelu, mul, square, sub } from "../../../src/ops/map.ts";
import { grad } from "../../../src/grad.ts";
import { layerNorm } from "../../../src/ops/layer_norm.ts";
import { linear } from "../../../src/ops/matmul.ts";
import { mean } from "../../../src/ops/reduce.ts";
import { halfKernel } from "../../../src/plan/half.ts";
import { compile } from "../../../src/plan/plan.ts";
import { readAll } from "../../../src/plan/read.ts";
import type { Tensor } from "../../../src/tensor.ts";
import { leaves } from "../../../src/tree.ts";
import { gpuLike, random, sharedDevice, toTensor } from "../../check_op.ts";

const draw = (shape: readonly number[], seed: number) => toTensor(random(shape, seed));

/** Two layers with a norm between, their loss, and its gradients. */
function network(args: Record<"x" | "w1" | "w2" | "gain" | "bias" | "goal", Tensor>) {
  const { x, w1, w2, gain, bias, goal } = args;
  const loss = ({ w1, w2, gain, bias }: Omit<typeof args, "x" | "goal">) => {
    const h = gelu(linear(x, w1, bias));
    const y = linear(add(layerNorm(h, gain, bias, 1e-6), h), w2);
    return mean(square(sub(y, goal)));
  };
  const params = { w1, w2, gain, bias };
  const value = loss(params);
  return { value, grads: grad(mul(value, 256), params) }; // small gradients would vanish
}

for (const [name, open] of [["CPU kernels", sharedDevice], ["GPU kernels", gpuLike]] as const) {
  Deno.test(`compile() stores activations in half precision, and little else changes: ${name}`, async () => {
    const device = await open();
    const args = {
      ...{ x: draw([24, 16], 1), w1: draw([32, 16], 2), w2: draw([8, 32], 3) },
      ...{ gain: draw([32], 4), bias: draw([32], 5), goal: draw([24, 8], 6) },
    };
    const run = async (half: boolean) => {
      const plan = await compile(device, network, args, { half });
      const values = await readAll(device, leaves<Tensor>(plan.run(args)));
      const { peakBytes } = plan;
      plan.destroy();
      return { values, peakBytes };
    };
    const [half, full] = [await run(true), await run(false)];
    half.values.forEach((values, i) => {
      const scale = Math.max(...full.values[i].map(Math.abs));
      const error = Math.max(...values.map((v, j) => Math.abs(v - full.values[i][j]))) / scale;
      assert.ok(error < 4e-3, `result ${i}: ${error}`);
      if (i > 0) {
        assert.ok(error > 0, `result ${i} is the same: nothing was stored in half precision`);
      }
    });
    assert.ok(half.peakBytes < full.peakBytes, `${half.peakBytes} of ${full.peakBytes} bytes`);
  });
}

Deno.test("halfKernel() converts what is loaded and stored, and nothing else", () => {
  const source = [
    "@group(0) @binding(0) var<storage, read> x: array<elem>;",
    "@group(0) @binding(1) var<storage, read_write> index: array<u32>;",
    "@group(0) @binding(2) var<storage, read_write> y: array<elem>;",
    "fn f(x: f32) -> f32 { return x; }",
    "fn main() { var y0 = box[1]; y[index[i]] = 2.0 * x[i + k[j]] - y[x0[1]].x; }",
    "fn g() { y[0] *= x0[2] + 1.0; } // y[0",
  ].join("\n");
  const converted = halfKernel(source, [0, 2], 4).split("\n");
  assert.deepEqual(converted, [
    "enable f16;",
    "@group(0) @binding(0) var<storage, read> x: array<vec4<f16>>;",
    "@group(0) @binding(1) var<storage, read_write> index: array<u32>;",
    "@group(0) @binding(2) var<storage, read_write> y: array<vec4<f16>>;",
    "fn f(x: f32) -> f32 { return x; }",
    "fn main() { var y0 = box[1]; y[index[i]] = vec4<f16>((2.0 * vec4f(x[i + k[j]]) - vec4f(y[x0[1]]).x)); }",
    "fn g() { y[0] = vec4<f16>(vec4f(y[0]) * (x0[2] + 1.0)); } ",
  ]);
  assert.match(halfKernel(source, [0], 1), /x: array<f16>;/);
  assert.equal(halfKernel(source, [], 4), source);
  assert.throws(() => halfKernel(source, [1], 4), TypeError);
});

Deno.test("Every shader takes operands in half precision, all that hold floating-point values", async (t) => {
  const { gpu, features, target } = await sharedDevice();
  for (const [name, { source }] of Object.entries<Kernel>(kernels)) {
    const bindings = [
      ...source.matchAll(/@binding\((\d+)\) var<storage, \w+> \w+: array<(?:elem|f32|vec4f)>/g),
    ].map(([, binding]) => Number(binding));
    for (
      const lanes of source.includes("alias elem = f32;") && name !== "map"
        ? [1, 4] as const
        : [1] as const
    ) {
      await t.step({
        name: `${name}, elems of ${lanes}`,
        ignore: !features.has("shader-f16") || name.endsWith("Broadcast") && !target.broadcast,
        fn: async () => {
          const alias = lanes === 4 ? "alias elem = vec4f;" : "alias elem = f32;";
          gpu.pushErrorScope("validation");
          gpu.createShaderModule({
            code: halfKernel(source.replace("alias elem = f32;", alias), bindings, lanes),
          });
          assert.equal((await gpu.popErrorScope())?.message, undefined);
        },
      });
    }
  }
});
