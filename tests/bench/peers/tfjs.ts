/**
 * Measures TensorFlow.js on the cases of `cases.ts`.
 *
 *     deno run -A -c tests/bench/peers/deno.json tests/bench/peers/tfjs.ts
 *         [--only matmul,depthwise,elementwise,step] [--repeats 5]
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { WebGPUBackend } from "@tensorflow/tfjs-backend-webgpu";
import "@tensorflow/tfjs-backend-webgpu";
import { layerNorm } from "./cases.ts";
import { measurePeer, options, type Peer } from "./peer.ts";
import { depthwise, gelu, norm, training } from "./tfjs_model.ts";

const { backend: name, ...rest } = options(["webgpu"]);
if (!await tf.setBackend(name)) {
  console.error(`TensorFlow.js has no ${name} here`);
  Deno.exit(1);
}
await tf.ready();
const backend = tf.backend() as WebGPUBackend;

let failure: string | undefined;
backend.device.addEventListener("uncapturederror", (event) => {
  event.preventDefault();
  failure ??= (event as GPUUncapturedErrorEvent).error.message;
});

/** Runs one of the kernels that gradients are made of. */
const kernel = (name: string, inputs: Record<string, tf.Tensor>, attributes: object) =>
  tf.engine().runKernel(name, inputs, { ...attributes }) as tf.Tensor;

const CONVOLUTION = { strides: 1, pad: "same", dilations: 1 };

const tfjs: Peer<tf.Tensor> = {
  name: `TensorFlow.js ${name}`,
  tapsFirst: true,
  array: (values, shape) => tf.tensor(values, [...shape]),
  matmul: (a, b, { transposeA, transposeB }) => tf.matMul(a, b, transposeA, transposeB),
  depthwise: (x, weight, bias) => tf.tidy(() => depthwise(x, { weight, bias })),
  // tf.grads() would compute the forward pass too.
  depthwiseGrad: (x, filter, dy) => [
    kernel("DepthwiseConv2dNativeBackpropInput", { dy, filter }, {
      ...CONVOLUTION,
      inputShape: x.shape,
    }),
    kernel("DepthwiseConv2dNativeBackpropFilter", { x, dy }, {
      ...CONVOLUTION,
      filterShape: filter.shape,
    }),
    tf.sum(dy, [0, 1, 2]),
  ],
  layerNorm: (x, weight, bias) => tf.tidy(() => norm(x, { weight, bias }, layerNorm.eps)),
  gelu: (x) => tf.tidy(() => gelu(x)),
  training,
  // Ops are recorded as they are called, and submitted a few at a time.
  wait: async () => {
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.submitQueue();
    await backend.queue.onSubmittedWorkDone();
  },
  read: async (x) => Float32Array.from(await x.data()),
  free: (arrays) => tf.dispose([...arrays]),
  failure: () => {
    const message = failure;
    failure = undefined;
    return message;
  },
};

await measurePeer(tfjs, rest);
