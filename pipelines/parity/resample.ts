/** Golden interpolation and pooling of maps, with gradients, and relative positions. */
import { grad } from "../../src/grad.ts";
import { mul } from "../../src/ops/map.ts";
import { sum } from "../../src/ops/reduce.ts";
import { relativeBias } from "../../src/ops/relative_bias.ts";
import { adaptiveAveragePool, resizeBicubic, resizeBilinear } from "../../src/ops/resample.ts";
import { permute } from "../../src/ops/shape.ts";
import { type Tensor, tensor } from "../../src/tensor.ts";
import { compare, type TensorCheck } from "./check.ts";
import { compute, type Fixture, floats, input, tensorOf } from "./fixture.ts";

const BOUND = 2e-6;

/** Compares the `resize.*`, `adaptive_avg_pool.*` and `relpos_index.*` tensors of a `pos_embed` file. */
export async function* checkResample({ file, device }: Fixture): AsyncGenerator<TensorCheck> {
  const resizes = [...file.tensors.keys()].map((name) =>
    /^(resize\.(bilinear|bicubic)_(\d+)x(\d+))\.out$/.exec(name)
  ).filter((match) => match !== null);
  for (const [out, name, kind, height, width] of resizes) {
    const resize = kind === "bilinear" ? resizeBilinear : resizeBicubic;
    const results = await compute(await device(), ({ x, cotangent }) => {
      const y = onPlanes(x, (map) => resize(map, [Number(height), Number(width)]));
      return { out: y, grad: grad(sum(mul(y, cotangent)), { x }).x };
    }, { x: input(file, "resize.in"), cotangent: input(file, `${name}.cotangent`) });
    yield compare(out, results.get("out")!, floats(file, out), BOUND);
    yield compare(`${name}.grad`, results.get("grad")!, floats(file, `${name}.grad`), BOUND);
  }
  for (const name of file.tensors.keys()) {
    const [, bins] = /^adaptive_avg_pool\.(\d+)\.out$/.exec(name) ?? [];
    if (bins) {
      const results = await compute(await device(), ({ x }) => ({
        out: onPlanes(x, (map) => adaptiveAveragePool(map, Number(bins))),
      }), { x: input(file, "resize.in") });
      yield compare(name, results.get("out")!, floats(file, name), BOUND);
    }
    const [, height, width] = /^relpos_index\.(\d+)x(\d+)\.out$/.exec(name) ?? [];
    if (height) {
      const sides = [Number(height), Number(width)] as const;
      const length = (2 * sides[0] - 1) * (2 * sides[1] - 1);
      // A table of its own indices, spread, gives the index of every pair.
      const table = tensor(Float32Array.from({ length }, (_, i) => i), [length, 1]);
      const results = await compute(
        await device(),
        ({ table }) => ({ out: relativeBias(table, sides) }),
        { table },
      );
      yield compare(name, results.get("out")!, tensorOf(file, name).data as Int32Array, 0);
    }
  }
}

/** Applies a function of `[N, H, W, C]` to `[N, C, H, W]`. */
function onPlanes(x: Tensor, fn: (map: Tensor) => Tensor): Tensor {
  return permute(fn(permute(x, [0, 2, 3, 1])), [0, 3, 1, 2]);
}
