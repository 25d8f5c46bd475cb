/**
 * Steps of a plan that the host computes.
 *
 * @module
 */
import { type Device, readBuffers } from "../device.ts";
import type { HostArray } from "../tensor.ts";
import { bytesOf, sameShape, sizeOf } from "../tensor.ts";
import type { Group } from "./fuse.ts";
import type { Launch, Location } from "./launch.ts";
import type { Graph, Value } from "./trace.ts";

/** A step on the host. */
export interface HostCall extends Location {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly compute: (inputs: readonly HostArray[]) => readonly HostArray[];
}

/** Launches in a row, and the call that follows them; the last part has none. */
export interface Part {
  readonly launches: readonly Launch[];
  readonly call?: HostCall;
}

/** The call that a group is, if it is one. */
export function hostCallOf({ kernel }: Group): HostCall | undefined {
  if (kernel?.op.lowering.kind !== "host") return undefined;
  const { op, stage, inputs, outputs } = kernel;
  return {
    ...{ op: op.name, stage, shape: op.outputs[0].shape, outputs },
    ...{ inputs: inputs.map(({ value }) => value), compute: kernel.op.lowering.compute },
  };
}

/** Splits work at the calls. */
export function partsAt(work: readonly (Launch | HostCall)[]): Part[] {
  const parts: Part[] = [];
  let launches: Launch[] = [];
  for (const item of work) {
    if ("pipeline" in item) {
      launches.push(item);
      continue;
    }
    parts.push({ launches, call: item });
    launches = [];
  }
  return [...parts, { launches }];
}

/**
 * Reads what a call needs, computes, and writes what it gives.
 *
 * @param given Values that are in host memory anyway.
 * @throws {RangeError} If the results are not as the op said.
 */
export async function callHost(
  device: Device,
  { op, inputs, outputs, compute }: HostCall,
  { values }: Graph,
  buffers: readonly (GPUBuffer | undefined)[],
  given: (value: number) => HostArray | undefined,
): Promise<void> {
  const absent = [...new Set(inputs)].filter((value) => !given(value));
  const read = await readBuffers(
    device,
    absent.map((value) => ({ buffer: buffers[value]!, bytes: bytesOf(values[value]) })),
  );
  const arrays = new Map(absent.map((value, i) => [value, arrayOf(values[value], read[i])]));
  const results = compute(inputs.map((value) => given(value) ?? arrays.get(value)!));
  outputs.forEach((value, i) => {
    const { shape, dtype } = values[value];
    const result = results[i];
    const isRight = dtype === "u32"
      ? result instanceof Uint32Array
      : result instanceof Float32Array;
    if (!isRight || !sameShape([result.length], [sizeOf(shape)])) {
      throw new RangeError(
        `Cannot take result ${i} of ${op}: ${dtype} [${shape}] was announced, and ` +
          `${result?.constructor.name} of ${result?.length} values came`,
      );
    }
    const buffer = buffers[value];
    if (buffer) device.gpu.queue.writeBuffer(buffer, 0, result as Float32Array<ArrayBuffer>);
  });
}

function arrayOf({ dtype, half }: Value, bytes: ArrayBuffer): HostArray {
  if (half) return Float32Array.from(new Float16Array(bytes));
  return dtype === "u32" ? new Uint32Array(bytes) : new Float32Array(bytes);
}
