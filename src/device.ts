/**
 * The adapter: opened at its own limits, with a cache of pipelines and a pool of buffers.
 *
 * @module
 */
import { kernels } from "../kernels/mod.ts";
import { type Calibration, calibrationWanted, openCalibration } from "./choices.ts";
import type { Dispatch, Target } from "./op.ts";

/** What an adapter takes at most. */
export interface Limits {
  /** Bytes of a tensor. */
  readonly bindingBytes: number;
  /** Tensors that a kernel binds. */
  readonly bindings: number;
  /** Workgroups along an axis. */
  readonly workgroups: number;
}

/** What a plan must know of an adapter before anything is allocated. */
export interface Adapter {
  /** As the driver calls it. */
  readonly name: string;
  readonly target: Target;
  readonly limits: Limits;
}

/** An open adapter. */
export interface Device extends Adapter {
  readonly gpu: GPUDevice;
  /** Measured choices between kernels, the same that `target` tells; undefined where none is measured. */
  readonly calibration?: Calibration;
  readonly features: ReadonlySet<string>;
  /** Compiled shaders by text and constants. */
  readonly pipelines: Map<string, GPUComputePipeline>;
  /** Buffers for values that do not outlive a run; every plan draws on them. */
  readonly scratch: GPUBuffer[];
  /** Why the device no longer works; undefined while it does. */
  failure?: Error;
}

/** Raised where there is no adapter, or one that cannot run the kernels. */
export class DeviceError extends Error {
  override name = "DeviceError";
}

/** Raised where the adapter's memory does not suffice. */
export class MemoryError extends RangeError {
  override name = "MemoryError";
}

const LIMITS = [
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupStorageSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
] as const;

/** How an adapter is used. */
export interface DeviceOptions {
  /**
   * Whether kernels that do the same are timed when a plan first needs them, and the fastest is kept
   * for later runs in a file of the user's cache folder. By default unless `MCMAE_CALIBRATE=0`, and
   * never on CPU adapters. Runs repeat bit for bit only with equal choices.
   */
  readonly calibrate?: boolean;
}

/**
 * Opens the fastest adapter at its own limits.
 *
 * @throws {DeviceError} If there is no WebGPU adapter.
 */
export async function openDevice({ calibrate }: DeviceOptions = {}): Promise<Device> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) {
    throw new DeviceError(
      "Found no WebGPU adapter: install a Vulkan driver (Debian, Ubuntu: apt-get install libvulkan1 mesa-vulkan-drivers)",
    );
  }
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const optional: GPUFeatureName[] = ["timestamp-query", "shader-f16"];
  const wanted = optional.filter((name) => adapter.features.has(name));
  // Deno hides `subgroups` from the adapter's features but grants it where the driver has it.
  const gpu = await adapter.requestDevice({
    requiredLimits,
    requiredFeatures: [...wanted, "subgroups"],
  }).catch(() => adapter.requestDevice({ requiredLimits, requiredFeatures: wanted }));
  const { info } = adapter;
  const name = info.description || info.device || info.vendor;
  const features = new Set<string>(gpu.features);
  const cpu = /llvmpipe|lavapipe|swiftshader|software/i.test(name);
  const subgroups = info.subgroupMinSize >= 8 &&
    await compiles(gpu, kernels.matmulBroadcast.source);
  const { vendor, architecture, device: model } = info;
  const calibration = !cpu && (calibrate ?? await calibrationWanted())
    ? await openCalibration([vendor, architecture, model, name].join(" "))
    : undefined;
  const device: Device = {
    gpu,
    name,
    features,
    target: { cpu, broadcast: subgroups, choices: calibration?.choices },
    calibration,
    limits: {
      bindingBytes: Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize),
      bindings: gpu.limits.maxStorageBuffersPerShaderStage,
      workgroups: gpu.limits.maxComputeWorkgroupsPerDimension,
    },
    pipelines: new Map(),
    scratch: [],
  };
  gpu.lost.then(({ reason, message }) => {
    device.failure = new DeviceError(`The device was lost (${reason || "unknown"}): ${message}`);
  });
  gpu.addEventListener("uncapturederror", (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    event.preventDefault();
    device.failure ??= error instanceof GPUOutOfMemoryError
      ? new MemoryError(`Out of device memory: ${error.message}`)
      : new DeviceError(`The device refused a command: ${error.message.trim().split("\n")[0]}`);
  });
  return device;
}

/** Whether the adapter takes a shader. */
async function compiles(gpu: GPUDevice, code: string): Promise<boolean> {
  gpu.pushErrorScope("validation");
  gpu.createShaderModule({ code });
  return await gpu.popErrorScope() === null;
}

/** The pipeline of a shader text with its constants. */
export function pipelineOf(
  device: Device,
  code: string,
  constants: Readonly<Record<string, number | boolean>>,
  label: string,
): GPUComputePipeline {
  const key = `${code}\n${JSON.stringify(constants)}`;
  const known = device.pipelines.get(key);
  if (known) return known;
  const numbers = Object.fromEntries(Object.entries(constants).map(([k, v]) => [k, Number(v)]));
  const module = device.gpu.createShaderModule({ code, label });
  const pipeline = device.gpu.createComputePipeline({
    label,
    layout: "auto",
    compute: { module, entryPoint: "main", constants: numbers },
  });
  device.pipelines.set(key, pipeline);
  return pipeline;
}

/** The text of a dispatch's kernel, for its elems. */
export function sourceOf({ program: { source }, lanes }: Dispatch): string {
  return lanes === 4 ? source.replace("alias elem = f32;", "alias elem = vec4f;") : source;
}

/** Bytes of the buffer of a value: fours of elements, and never none. */
export function bufferBytes(bytes: number): number {
  return Math.max(16, Math.ceil(bytes / 16) * 16);
}

/** A buffer that kernels can bind and that can be copied either way. */
export function createBuffer(device: Device, bytes: number, label: string): GPUBuffer {
  return device.gpu.createBuffer({
    label,
    size: bufferBytes(bytes),
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST,
  });
}

/** Bytes that a read-back holds twice at most, unless one buffer is larger. */
const READ_BACK = 256 * 2 ** 20;

/**
 * Bytes of buffers, read back in one wait for every 256 MiB.
 *
 * @throws {DeviceError | MemoryError} If the device no longer works.
 */
export async function readBuffers(
  device: Device,
  sources: readonly { readonly buffer: GPUBuffer; readonly bytes: number }[],
): Promise<ArrayBuffer[]> {
  const parts: typeof sources[number][][] = [[]];
  let sum = 0;
  for (const source of sources) {
    sum += source.bytes;
    if (sum > READ_BACK) sum = parts.push([]) && source.bytes;
    parts.at(-1)!.push(source);
  }
  const read: ArrayBuffer[] = [];
  try {
    for (const part of parts) read.push(...await readPart(device, part));
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve)); // for the news of a lost device to arrive
    throw device.failure ?? error;
  }
  if (device.failure) throw device.failure;
  return read;
}

async function readPart(
  device: Device,
  sources: readonly { readonly buffer: GPUBuffer; readonly bytes: number }[],
): Promise<ArrayBuffer[]> {
  const encoder = device.gpu.createCommandEncoder();
  const copies = sources.map(({ buffer, bytes }) => {
    const copy = device.gpu.createBuffer({
      size: Math.max(4, bytes),
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, bytes);
    return copy;
  });
  device.gpu.queue.submit([encoder.finish()]);
  await Promise.all(copies.map((copy) => copy.mapAsync(GPUMapMode.READ)));
  return copies.map((copy, i) => {
    const bytes = copy.getMappedRange().slice(0, sources[i].bytes);
    copy.destroy();
    return bytes;
  });
}
