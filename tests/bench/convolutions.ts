/**
 * Convolutions of UPerNet, and the other way to compute them.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { pullback } from "../../src/grad.ts";
import { apply, workgroups } from "../../src/op.ts";
import { convolution } from "../../src/ops/convolution.ts";
import { linear } from "../../src/ops/matmul.ts";
import { permute, reshape } from "../../src/ops/shape.ts";
import { sizeOf, type Tensor } from "../../src/tensor.ts";
import { leaves, type Tree } from "../../src/tree.ts";
import { arithmetic, type Ceilings, free, type Line, random, timeFunction } from "./measure.ts";
import source from "./unfold.wgsl" with { type: "text" };

/** Maps `[N, H, W, C]` of a small UPerNet, from the finest to the coarsest. */
const MAPS = [[1, 64, 64, 128], [2, 32, 32, 128], [8, 12, 12, 128], [8, 24, 24, 32]] as const;

const K = 3;

/** 3 × 3 with as many channels out, forward and backward; and forward by patches. */
export async function* convolutions(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  for (const shape of MAPS) {
    const C = shape[3];
    const args = {
      ...{ x: random(device, shape, 1), dy: random(device, shape, 2) },
      weight: random(device, [C, C, K, K], 3),
    };
    const name = `convolution-${shape.join("x")}`;
    const flops = 2 * K * K * C * sizeOf(shape);
    const convolve = ({ x, weight }: typeof args) =>
      convolution(x, weight, undefined, { padding: 1 });
    const forward = await timeFunction(device, (args) => ({ y: convolve(args) }), args);
    yield { case: `${name}-forward`, ms: forward, ...arithmetic(forward, flops, ceilings) };
    const patches = await timeFunction(device, (args) => ({ y: byPatches(args) }), args);
    yield { case: `${name}-by-patches`, ms: patches, ...arithmetic(patches, flops, ceilings) };
    const backward = await timeFunction(
      device,
      (args) => pullback([convolve(args)], [args.dy], [args.x, args.weight]) as Tree<Tensor>,
      args,
    );
    yield { case: `${name}-backward`, ms: backward, ...arithmetic(backward, 2 * flops, ceilings) };
    free(leaves<Tensor>(args));
  }
}

/** A convolution as patches times weights. */
function byPatches({ x, weight }: { readonly x: Tensor; readonly weight: Tensor }): Tensor {
  const [, H, W, C] = x.shape;
  const shape = [...x.shape.slice(0, 3), K * K * C];
  const size = sizeOf(shape) / 4;
  const constants = { H, W, C: C / 4, k: K, size };
  const patches = apply({
    name: "unfold",
    key: `unfold:${x.shape}`,
    outputs: [{ shape, dtype: "f32" }],
    lowering: {
      kind: "kernel",
      dispatches: () => [{
        kernel: "unfold",
        program: { source, access: ["read", "read_write"], constants: Object.keys(constants) },
        ...{ constants, operands: [0, 1], workgroups: workgroups(size), lanes: 4 },
      }],
    },
  }, [x]);
  return linear(patches, reshape(permute(weight, [0, 2, 3, 1]), [C, K * K * C]));
}
