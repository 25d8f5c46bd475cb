/**
 * The program that measures a library: one JSON object a case on the standard output.
 *
 *     deno run -A -c tests/bench/peers/deno.json tests/bench/peers/jax.ts [--only matmul,step,…]
 *
 * @module
 */
import { parseArgs } from "node:util";
import type { Shape } from "../../../src/tensor.ts";
import { depthwise, gelu, layerNorm, type Product, products, tinyStep } from "./cases.ts";
import {
  checkDepthwise,
  checkDepthwiseGrad,
  checkGelu,
  checkLayerNorm,
  checkLosses,
  checkProduct,
  geluInput,
  random,
  type Values,
} from "./check.ts";
import { measure, type Run } from "./time.ts";

/** A library whose arrays are of type A. No function uses its arguments up. */
export interface Peer<A> {
  readonly name: string;
  array(values: Values, shape: Shape): A;
  matmul(a: A, b: A, layout: Pick<Product, "transposeA" | "transposeB">): A;
  /** Of a map `[N, H, W, C]`, as all maps are. */
  depthwise(x: A, weight: A, bias: A): A;
  /** Gradients of x, weight and bias. */
  depthwiseGrad(x: A, weight: A, dy: A): A[];
  /** How weights `[C, 1, k, k]` of depthwise convolutions lie: some want `[k, k, C, 1]`. */
  readonly tapsFirst: boolean;
  layerNorm(x: A, gain: A, bias: A): A;
  gelu(x: A): A;
  training(): Training<A>;
  /** Waits until the values are computed, all of them. */
  wait(arrays: readonly A[]): Promise<void>;
  read(x: A): Promise<Values>;
  free(arrays: readonly A[]): void;
  /** What the device has complained of since the last call: its errors raise nothing. */
  failure(): string | undefined;
}

/** A model in training. */
export interface Training<A> {
  /** Trained values. */
  readonly parameters: number;
  /** Starts a step; gives its loss. */
  step(): A;
  /** What lives from step to step. */
  state(): A[];
}

interface Case {
  readonly name: string;
  /** What `--only` takes, besides the beginning of a name. */
  readonly group: string;
  readonly images?: number;
  /** Makes the inputs, and throws if the results are wrong. */
  prepare(): Promise<{ readonly run: Run; free(): void }>;
}

function casesOf<A>(peer: Peer<A>): Case[] {
  /** Something to run over and over on the same inputs. */
  const repeated = async (inputs: A[], call: () => A[], check: (results: Values[]) => void) => {
    const run = async (calls: number) => {
      const results = Array.from({ length: calls }, call).flat();
      await peer.wait(results);
      peer.free(results);
    };
    const results = call();
    await peer.wait(results);
    complain(peer);
    check(await Promise.all(results.map((result) => peer.read(result))));
    peer.free(results);
    return { run, free: () => peer.free(inputs) };
  };

  const product = (product: Product): Case => ({
    name: product.name,
    group: "matmul",
    prepare: () => {
      const { M, N, K, transposeA, transposeB } = product;
      const shapes = [transposeA ? [K, M] : [M, K], transposeB ? [N, K] : [K, N]];
      const values = shapes.map(random);
      const [a, b] = values.map((data, i) => peer.array(data, shapes[i]));
      return repeated(
        [a, b],
        () => [peer.matmul(a, b, product)],
        ([c]) => checkProduct(product, values[0], values[1], c),
      );
    },
  });

  const convolution = (part: "forward" | "backward"): Case => ({
    name: `depthwise-5x5-${part}`,
    group: "depthwise",
    prepare: () => {
      const { shape, kernel } = depthwise;
      const C = shape[3];
      const [map, taps, shift, slope] = [shape, [C, 1, kernel, kernel], [C], shape].map(random);
      const x = peer.array(map, shape);
      const weight = peer.tapsFirst
        ? peer.array(transposed(taps, C), [kernel, kernel, C, 1])
        : peer.array(taps, [C, 1, kernel, kernel]);
      if (part === "forward") {
        const bias = peer.array(shift, [C]);
        const call = () => [peer.depthwise(x, weight, bias)];
        return repeated([x, weight, bias], call, ([y]) => checkDepthwise(map, taps, shift, y));
      }
      const dy = peer.array(slope, shape);
      return repeated(
        [x, weight, dy],
        () => peer.depthwiseGrad(x, weight, dy),
        (grads) => checkDepthwiseGrad(map, taps, slope, grads, peer.tapsFirst),
      );
    },
  });

  const norm: Case = {
    name: "layer-norm-forward",
    group: "elementwise",
    prepare: () => {
      const { shape } = layerNorm;
      const shapes = [shape, [shape[1]], [shape[1]]];
      const [rows, scale, shift] = shapes.map(random);
      const [x, gain, bias] = [rows, scale, shift].map((data, i) => peer.array(data, shapes[i]));
      return repeated(
        [x, gain, bias],
        () => [peer.layerNorm(x, gain, bias)],
        ([y]) => checkLayerNorm(rows, scale, shift, y),
      );
    },
  };

  const curve: Case = {
    name: "gelu",
    group: "elementwise",
    prepare: () => {
      const x = peer.array(geluInput(), [gelu.size]);
      return repeated([x], () => [peer.gelu(x)], ([y]) => checkGelu(y));
    },
  };

  const step: Case = {
    name: "step-tiny",
    group: "step",
    images: tinyStep.batch,
    prepare: async () => {
      const { parameters, step, state } = peer.training();
      if (parameters !== tinyStep.parameters) {
        throw new Error(`has ${parameters} parameters in place of ${tinyStep.parameters}`);
      }
      const run = async (calls: number) => {
        const losses = Array.from({ length: calls }, step);
        await peer.wait([...losses, ...state()]);
        const values = await Promise.all(losses.map((loss) => peer.read(loss)));
        peer.free(losses);
        return values.map(([loss]) => loss);
      };
      const losses: number[] = [];
      for (const _ of tinyStep.losses) losses.push(...await run(1));
      complain(peer);
      checkLosses(losses, tinyStep.losses);
      return { run: async (calls) => void await run(calls), free: () => peer.free(state()) };
    },
  };

  return [
    ...products.map(product),
    convolution("forward"),
    convolution("backward"),
    norm,
    curve,
    step,
  ];
}

/** Weights `[C, taps]` as `[taps, C]`. */
function transposed(weight: Values, C: number): Values {
  const size = weight.length / C;
  return weight.map((_, i) => weight[i % C * size + Math.floor(i / C)]);
}

/** Throws if the device has complained. */
function complain(peer: Pick<Peer<unknown>, "failure">): void {
  const failure = peer.failure();
  if (failure) throw new Error(failure);
}

/** Options of the command line. */
export function options(backends: readonly string[]) {
  const { values } = parseArgs({
    options: {
      backend: { type: "string", default: backends[0] },
      only: { type: "string" },
      repeats: { type: "string", default: "5" },
    },
  });
  if (!backends.includes(values.backend)) {
    console.error(`Unknown backend ${values.backend}: choose from ${backends.join(", ")}`);
    Deno.exit(2);
  }
  // Libraries talk too, and only results may reach the standard output.
  console.log = console.info = console.debug = console.error;
  return {
    backend: values.backend,
    only: values.only?.split(","),
    repeats: Number(values.repeats),
  };
}

/** Measures a library and prints a line for every case. */
export async function measurePeer<A>(
  peer: Peer<A>,
  { only, repeats }: { readonly only?: readonly string[]; readonly repeats: number },
): Promise<void> {
  for (const { name, group, images, prepare } of casesOf(peer)) {
    if (only && !only.some((word) => word === group || name.startsWith(word))) continue;
    const label = { case: name, peer: peer.name };
    try {
      const { run, free } = await prepare();
      const ms = await measure(run, repeats);
      complain(peer);
      free();
      print({
        case: name,
        ms,
        peer: peer.name,
        ...(images && { images_per_s: 1000 * images / ms }),
      });
    } catch (error) {
      peer.failure();
      print({ ...label, why: sentence(error) });
    }
  }
}

function sentence(error: unknown): string {
  const { message } = error instanceof Error ? error : new Error(String(error));
  return message.trim().replaceAll(/\s+/g, " ").slice(0, 200);
}

function print(line: Readonly<Record<string, string | number>>): void {
  Deno.stdout.writeSync(new TextEncoder().encode(JSON.stringify(line) + "\n"));
}
