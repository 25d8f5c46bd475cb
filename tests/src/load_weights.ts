/** Loads a file of weights into a tree and prints how much memory that took at most, in bytes. */
import { type Tensor, tensor } from "../../src/tensor.ts";
import { entries, fromEntries } from "../../src/tree.ts";
import { openWeights } from "../../src/weights.ts";

const list: [string, Tensor][] = [];
{
  using file = await openWeights(Deno.args[0]);
  for (const [name, weight] of file.tensors) {
    list.push([name, tensor(await weight.values(), weight.shape)]);
  }
}
const tree = fromEntries(list);
const [, peak] = /VmHWM:\s*(\d+) kB/.exec(await Deno.readTextFile("/proc/self/status"))!;
const values = entries<Tensor>(tree).reduce(
  (sum, [, { shape }]) => sum + shape.reduce((product, length) => product * length, 1),
  0,
);
console.log(JSON.stringify({ peakBytes: 1024 * Number(peak), tensorBytes: 4 * values }));
