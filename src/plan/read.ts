/**
 * Values between host and device, outside of a plan.
 *
 * @module
 */
import { createBuffer, type Device, readBuffers } from "../device.ts";
import { bytesOf, type HostArray, node, type Tensor } from "../tensor.ts";
import type { Tree } from "../tree.ts";
import { compile } from "./plan.ts";

/**
 * Computes a tensor's values and copies them to the host, planning just the graph beneath it.
 *
 * @returns Values in row-major order.
 */
export async function read(device: Device, x: Tensor): Promise<HostArray> {
  return (await readAll(device, [x]))[0];
}

/** Reads several tensors in one wait. */
export async function readAll(device: Device, tensors: readonly Tensor[]): Promise<HostArray[]> {
  const plan = tensors.every((x) => x.source.kind === "device")
    ? undefined
    : await compile(device, () => [...tensors] as Tree<Tensor>, []);
  // Copies of what is there are queued before anything is waited for.
  const results = (plan ? await plan.runAsync([]) : tensors) as readonly Tensor[];
  const bytes = await readBuffers(
    device,
    results.map((x) => ({
      buffer: (x.source as { buffer: GPUBuffer }).buffer,
      bytes: bytesOf(x),
    })),
  );
  plan?.destroy();
  return bytes.map((data, i) =>
    tensors[i].dtype === "u32" ? new Uint32Array(data) : new Float32Array(data)
  );
}

/** A tensor's values in device memory, to be kept there: parameters, optimizer state. */
export function upload(device: Device, x: Tensor): Tensor {
  if (x.source.kind !== "host") throw new TypeError(`Cannot upload a ${x.source.kind} tensor`);
  const buffer = createBuffer(device, bytesOf(x), "tensor");
  device.gpu.queue.writeBuffer(buffer, 0, x.source.data as Float32Array<ArrayBuffer>);
  return node(x, { kind: "device", buffer });
}
