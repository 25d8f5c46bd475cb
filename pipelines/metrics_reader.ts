/**
 * Reads steps' metrics together and late, since waiting for the device costs about 11 ms.
 *
 * @module
 */
import { createBuffer, type Device, readBuffers } from "../src/device.ts";
import type { Tensor } from "../src/tensor.ts";

/** Steps whose metrics may wait to be read. */
export const RING = 8;

/** Copies each step's metrics aside, to be read together. */
export function metricsReader(device: Device) {
  const bytes = 3 * 4;
  const buffers = Array.from({ length: RING }, () => createBuffer(device, bytes, "metrics"));
  let steps: { step: number; lr: number }[] = [];
  return {
    get pending() {
      return steps.length;
    },
    push(metrics: Tensor, step: { step: number; lr: number }) {
      const encoder = device.gpu.createCommandEncoder();
      const { buffer } = metrics.source as { buffer: GPUBuffer };
      encoder.copyBufferToBuffer(buffer, 0, buffers[steps.length], 0, bytes);
      device.gpu.queue.submit([encoder.finish()]);
      steps.push(step);
    },
    async flush() {
      const sources = steps.map((_, i) => ({ buffer: buffers[i], bytes }));
      const done = steps;
      steps = [];
      const values = await readBuffers(device, sources);
      return done.map((step, i) => {
        const [loss, gradNorm, healthy] = new Float32Array(values[i]);
        return { ...step, loss, gradNorm, healthy };
      });
    },
  };
}
