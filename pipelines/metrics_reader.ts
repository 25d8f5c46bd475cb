/**
 * Reads steps' metrics together and late, since waiting for the device costs about 11 ms.
 *
 * @module
 */
import { createBuffer, type Device, readBuffers } from "../src/device.ts";
import { bytesOf, type Tensor } from "../src/tensor.ts";

/** Steps whose metrics may wait to be read. */
export const RING = 8;

/**
 * Copies each step's metrics aside, to be read together.
 *
 * @param metrics The tensor that every step leaves its metrics in.
 */
export function metricsReader<Step>(device: Device, metrics: Tensor) {
  const bytes = bytesOf(metrics);
  const { buffer } = metrics.source as { buffer: GPUBuffer };
  const buffers = Array.from({ length: RING }, () => createBuffer(device, bytes, "metrics"));
  let steps: Step[] = [];
  return {
    get pending() {
      return steps.length;
    },
    push(step: Step) {
      const encoder = device.gpu.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, 0, buffers[steps.length], 0, bytes);
      device.gpu.queue.submit([encoder.finish()]);
      steps.push(step);
    },
    /** The steps since the last flush, with their metrics. */
    async flush(): Promise<{ step: Step; values: Float32Array }[]> {
      const done = steps;
      steps = [];
      const values = await readBuffers(device, done.map((_, i) => ({ buffer: buffers[i], bytes })));
      return done.map((step, i) => ({ step, values: new Float32Array(values[i]) }));
    },
    destroy: () => buffers.forEach((buffer) => buffer.destroy()),
  };
}
