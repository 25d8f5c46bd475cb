/**
 * Matrix products: three shapes in each layout, and the linear layers of MCMAE-B forward and backward.
 *
 * @module
 */
import type { Device } from "../../src/device.ts";
import { pullback } from "../../src/grad.ts";
import { linear, matmul } from "../../src/ops/matmul.ts";
import { arithmetic, type Ceilings, free, type Line, random, timeFunction } from "./measure.ts";
import { mcmaeBase, shapes } from "./peers/cases.ts";

export async function* matmuls(device: Device, ceilings: Ceilings): AsyncGenerator<Line> {
  for (const { name, M, N, K, transposeA, transposeB } of shapes) {
    const args = {
      a: random(device, transposeA ? [K, M] : [M, K], 1),
      b: random(device, transposeB ? [N, K] : [K, N], 2),
    };
    const product = ({ a, b }: typeof args) => ({ c: matmul(a, b, { transposeA, transposeB }) });
    const ms = await timeFunction(device, product, args);
    free(Object.values(args));
    yield { case: name, ms, ...arithmetic(ms, 2 * M * N * K, ceilings) };
  }
  for (const { name, rows: R, outputs: O, inputs: I } of mcmaeBase) {
    const args = {
      x: random(device, [R, I], 1),
      w: random(device, [O, I], 2),
      dy: random(device, [R, O], 3),
    };
    const directions = {
      forward: ({ x, w }: typeof args) => ({ y: linear(x, w) }),
      dx: ({ x, w, dy }: typeof args) => ({ dx: pullback([linear(x, w)], [dy], [x])[0]! }),
      dw: ({ x, w, dy }: typeof args) => ({ dw: pullback([linear(x, w)], [dy], [w])[0]! }),
    };
    for (const [direction, fn] of Object.entries(directions)) {
      const ms = await timeFunction(device, fn, args);
      const figures = arithmetic(ms, 2 * R * O * I, ceilings);
      yield { case: `mcmae-b-${name}-${direction}`, ms, ...figures };
    }
    free(Object.values(args));
  }
}
