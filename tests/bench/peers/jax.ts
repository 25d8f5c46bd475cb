/**
 * Measures jax-js on the cases of `cases.ts`.
 *
 *     deno run -A -c tests/bench/peers/deno.json tests/bench/peers/jax.ts [--backend webgpu|wasm]
 *         [--only matmul,depthwise,elementwise,step] [--repeats 5]
 *
 * @module
 */
import {
  blockUntilReady,
  defaultDevice,
  type Device,
  getWebGPUDevice,
  init,
  jit,
  nn,
  numpy as np,
  vjp,
} from "@jax-js/jax";
import { layerNorm } from "./cases.ts";
import { depthwise, gelu, training } from "./jax_model.ts";
import { measurePeer, options, type Peer } from "./peer.ts";

const { backend, ...rest } = options(["webgpu", "wasm"]);
const device = backend as Device;
if (!(await init(device)).includes(device)) {
  console.error(`jax-js has no ${device} here`);
  Deno.exit(1);
}
defaultDevice(device);

let failure: string | undefined;
if (device === "webgpu") {
  getWebGPUDevice().addEventListener("uncapturederror", (event) => {
    failure ??= (event as GPUUncapturedErrorEvent).error.message;
  });
}

const products = {
  plain: jit((a: np.Array, b: np.Array) => np.matmul(a, b)),
  transposeA: jit((a: np.Array, b: np.Array) => np.matmul(a.transpose(), b)),
  transposeB: jit((a: np.Array, b: np.Array) => np.matmul(a, b.transpose())),
};

const convolve = jit((x: np.Array, weight: np.Array, bias: np.Array) =>
  depthwise(x, { weight, bias })
);

// A convolution is linear, so that nothing of its forward pass is left in here.
const convolveBack = jit((x: np.Array, weight: np.Array, dy: np.Array) => {
  const bias = np.zeros([dy.shape[3]]);
  const forward = (x: np.Array, weight: np.Array, bias: np.Array) => depthwise(x, { weight, bias });
  const [y, back] = vjp(forward, [x, weight, bias]);
  y.dispose();
  return back(dy) as np.Array[];
});

const normalise = jit((x: np.Array, gain: np.Array, bias: np.Array) =>
  nn.standardize(x, -1, { epsilon: layerNorm.eps }).mul(gain).add(bias)
);

const curve = jit(gelu);

const jax: Peer<np.Array> = {
  name: `jax-js ${device}`,
  tapsFirst: false,
  array: (values, shape) => np.array(values).reshape([...shape]),
  matmul: (a, b, { transposeA, transposeB }) =>
    products[transposeA ? "transposeA" : transposeB ? "transposeB" : "plain"](a.ref, b.ref),
  depthwise: (x, weight, bias) => convolve(x.ref, weight.ref, bias.ref),
  depthwiseGrad: (x, weight, dy) => convolveBack(x.ref, weight.ref, dy.ref),
  layerNorm: (x, gain, bias) => normalise(x.ref, gain.ref, bias.ref),
  gelu: (x) => curve(x.ref),
  training,
  wait: async (arrays) => {
    if (device !== "webgpu") return void await blockUntilReady(arrays);
    // Asking for the buffer submits what makes it; blockUntilReady() adds a read-back for each.
    await Promise.all(arrays.map((x) => x.ref.gpuBuffer()));
    await getWebGPUDevice().queue.onSubmittedWorkDone();
  },
  read: async (x) => await x.ref.data() as Float32Array<ArrayBuffer>,
  free: (arrays) => arrays.forEach((x) => x.dispose()),
  failure: () => {
    const message = failure;
    failure = undefined;
    return message;
  },
};

await measurePeer(jax, rest);
Deno.exit(); // workers of the wasm backend would keep the process
