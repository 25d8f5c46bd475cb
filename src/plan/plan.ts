/**
 * Plans: a function traced once, given fixed buffers and dispatches, and replayed.
 *
 * @module
 */
import { type Device, MemoryError, readBuffers } from "../device.ts";
import { bytesOf, type HostArray, node, sameShape, type Tensor } from "../tensor.ts";
import { entries, map, type Tree } from "../tree.ts";
import { allOf, buffersOf, deviceBuffers } from "./buffers.ts";
import { calibrate } from "./calibrate.ts";
import { type CompileOptions, draft } from "./draft.ts";
import { callHost, type HostCall, hostCallOf, partsAt } from "./host.ts";
import { type Launch, launchesOf, type Location, time, type Timing } from "./launch.ts";
import { peaksOf, type StageBytes, valuesOfArguments } from "./place.ts";

export type { CompileOptions } from "./draft.ts";

/** A compiled function. */
export interface Plan<Args, Results> {
  /**
   * Runs the plan without waiting for it.
   *
   * @param args A tree like the one compiled for. Host tensors are uploaded; device tensors are bound.
   * @returns Device tensors. They keep their values until the plan runs again.
   * @throws {TypeError} If a step is computed on the host.
   */
  run(args: Args): Results;
  /** Runs a plan whose steps may be computed on the host; no other plan may run until it is done. */
  runAsync(args: Args): Promise<Results>;
  /** What every run returns. */
  readonly results: Results;
  /** Runs, and gives the milliseconds of every dispatch; none without timestamp queries. */
  profile(args: Args): Promise<Timing[]>;
  /** The first step of a run whose result is not finite. */
  firstNonFinite(args: Args): Promise<Location | undefined>;
  readonly dispatches: number;
  /** Everything that the plan binds: arguments, constants, results, and values between. */
  readonly buffers: ReadonlySet<GPUBuffer>;
  /** Bytes of these buffers. */
  readonly peakBytes: number;
  /** Bytes that values between hold at a stage's peak, in order of the stages. */
  readonly live: readonly StageBytes[];
  /** One line a step. */
  describe(): string;
  /** Frees the buffers that belong to the plan alone; its results die with it. */
  destroy(): void;
}

/**
 * Traces a function and plans its execution.
 *
 * @param fn A pure function of a tree of tensors; it sees placeholders. What it needs besides its
 *   arguments (host and device tensors) is bound as a constant.
 * @param args Tensors like those that `run` will get: the shapes count, and the buffers of device
 *   tensors are bound ahead.
 * @throws {RangeError} If a tensor exceeds what the adapter can bind; names it and its stage.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { compile, mul, openDevice, read, tensor } from "@mcmae/mcmae";
 *
 * const device = await openDevice();
 * const plan = await compile(device, ({ x }) => ({ y: mul(x, x) }), { x: tensor([1, 2, 3]) });
 * const { y } = plan.run({ x: tensor([4, 5, 6]) });
 * assert.deepEqual([...await read(device, y)], [16, 25, 36]);
 * ```
 */
export async function compile<Args extends Tree<Tensor>, Results extends Tree<Tensor>>(
  device: Device,
  fn: (args: Args) => Results,
  args: Args,
  options: CompileOptions = {},
): Promise<Plan<Args, Results>> {
  const own: GPUBuffer[] = [];
  try {
    return await build(device, fn, args, options, own);
  } catch (error) {
    own.forEach((buffer) => buffer.destroy());
    throw error;
  }
}

/** @param own Takes the buffers that belong to the plan alone. */
async function build<Args extends Tree<Tensor>, Results extends Tree<Tensor>>(
  device: Device,
  fn: (args: Args) => Results,
  args: Args,
  options: CompileOptions,
  own: GPUBuffer[],
): Promise<Plan<Args, Results>> {
  const { gpu } = device;
  const drafted = draft(device, fn, args, options);
  const { given, returned, graph, groups, outcomes } = drafted;
  const { inPlace, copies, live } = drafted.placement;
  await calibrate(device, graph);

  gpu.pushErrorScope("out-of-memory");
  gpu.pushErrorScope("validation");
  const allocator = deviceBuffers(device, own);
  const laid = buffersOf(drafted, allocator);
  const { bound, values: buffers, kept } = laid;
  const uploads = given.map(([, leaf], index) =>
    leaf.source.kind === "device" ? undefined : bound[index]
  );
  const valueOfArgument = valuesOfArguments(graph);
  const donated = new Set(outcomes.map(({ argument }) => argument));
  bound.forEach((buffer, index) => {
    const twice = bound.indexOf(buffer) !== index || bound.lastIndexOf(buffer) !== index ||
      graph.values.some(({ source }) => source?.kind === "device" && source.buffer === buffer);
    if (donated.has(index) && twice) {
      throw new RangeError(`Cannot donate ${given[index][0]}: the plan binds its buffer twice`);
    }
  });
  const work = groups.flatMap((group, i): readonly (Launch | HostCall)[] => {
    const call = hostCallOf(group);
    return call ? [call] : launchesOf(device, graph, group, inPlace[i]);
  });
  const parts = partsAt(work);
  const launches = parts.flatMap((part) => part.launches);
  const [invalid, exhausted] = await Promise.all([gpu.popErrorScope(), gpu.popErrorScope()]);
  if (exhausted) throw new MemoryError(`Out of device memory: ${exhausted.message}`);
  if (invalid) throw new RangeError(`Cannot prepare the plan: ${invalid.message.split("\n")[0]}`);

  const bind = (launch: Launch): GPUBindGroup =>
    launch.bindGroup ??= gpu.createBindGroup({
      layout: launch.pipeline.getBindGroupLayout(0),
      entries: launch.values.map((value, binding) => ({
        binding,
        resource: { buffer: buffers[value]! },
      })),
    });
  launches.forEach(bind);

  const hosted = new Map<number, HostArray>(); // arguments of the current run that the host gave
  const accept = (args: Args) => {
    const leaves = new Map(entries<Tensor>(args));
    hosted.clear();
    if (leaves.size !== given.length) {
      throw new RangeError(`Cannot run a plan of ${given.length} arguments with ${leaves.size}`);
    }
    given.forEach(([path, { shape, dtype }], index) => {
      const leaf = leaves.get(path);
      if (!leaf) throw new RangeError(`Cannot run the plan without its argument ${path}`);
      if (!sameShape(leaf.shape, shape) || leaf.dtype !== dtype) {
        throw new RangeError(
          `Cannot pass ${leaf.dtype} [${leaf.shape}] as ${path}, which was compiled as ${dtype} [${shape}]`,
        );
      }
      const { source } = leaf;
      if (source.kind !== "host" && source.kind !== "device") {
        throw new TypeError(`Cannot pass ${path}: it is neither a host nor a device tensor`);
      }
      if (donated.has(index)) {
        if (source.kind === "device" && source.buffer !== bound[index]) {
          throw new TypeError(`Cannot pass another buffer as ${path}, which is donated`);
        }
      } else {
        // What the host gives never goes to a buffer that the caller gave.
        const buffer = source.kind === "device"
          ? source.buffer
          : uploads[index] ??= allocator.own(leaf, path);
        rebind(index, buffer);
      }
      if (source.kind === "host") {
        hosted.set(index, source.data);
        gpu.queue.writeBuffer(bound[index], 0, source.data as Float32Array<ArrayBuffer>);
      }
    });
  };
  const rebind = (index: number, buffer: GPUBuffer) => {
    const value = valueOfArgument.get(index);
    if (buffer === bound[index]) return;
    bound[index] = buffer;
    if (value === undefined) return;
    buffers[value] = buffer;
    for (const launch of launches) {
      if (launch.values.includes(value)) launch.bindGroup = undefined;
    }
  };
  const start = (encoder: GPUCommandEncoder) => {
    for (const [value, buffer] of kept) {
      encoder.copyBufferToBuffer(buffers[value]!, 0, buffer, 0, bytesOf(graph.values[value]));
    }
  };
  const finish = (encoder: GPUCommandEncoder) => {
    for (const { from, to } of copies) {
      const bytes = bytesOf(graph.values[from]);
      encoder.copyBufferToBuffer(kept.get(from) ?? buffers[from]!, 0, bound[to], 0, bytes);
    }
    gpu.queue.submit([encoder.finish()]);
  };
  const step = (pass: GPUComputePassEncoder, launch: Launch, before?: Launch) => {
    if (launch.pipeline !== before?.pipeline) pass.setPipeline(launch.pipeline);
    pass.setBindGroup(0, bind(launch));
    pass.dispatchWorkgroups(...launch.workgroups);
  };
  const all = allOf(laid);
  let next = 0;
  const results: Results = map<Tensor, Tensor, Results>(
    returned,
    (leaf) => node(leaf, { kind: "device", buffer: laid.results[next++] }),
  );

  const call = (call: HostCall) =>
    callHost(device, call, graph, buffers, (value) => {
      const { source } = graph.values[value];
      if (source?.kind === "argument") return hosted.get(source.index);
      return source?.kind === "host" ? source.data : undefined;
    });
  const pass = (encoder: GPUCommandEncoder, launches: readonly Launch[]) => {
    const pass = encoder.beginComputePass();
    launches.forEach((launch, i) => step(pass, launch, launches[i - 1]));
    pass.end();
  };
  const submit = (encoder: GPUCommandEncoder) => gpu.queue.submit([encoder.finish()]);

  const run = (args: Args) => {
    if (parts.length > 1) throw new TypeError("Use runAsync: a step is computed on the host");
    accept(args);
    const encoder = gpu.createCommandEncoder();
    start(encoder);
    pass(encoder, launches);
    finish(encoder);
    return results;
  };
  const runAsync = async (args: Args) => {
    accept(args);
    for (const [i, part] of parts.entries()) {
      const encoder = gpu.createCommandEncoder();
      if (i === 0) start(encoder);
      pass(encoder, part.launches);
      if (!part.call) finish(encoder);
      else {
        submit(encoder);
        await call(part.call);
      }
    }
    return results;
  };

  return {
    run,
    runAsync,
    async profile(args) {
      if (!device.features.has("timestamp-query")) {
        await runAsync(args);
        return [];
      }
      accept(args);
      const timings: Timing[] = [];
      for (const [i, part] of parts.entries()) {
        const begin = i === 0 ? start : () => {};
        timings.push(
          ...await time(device, part.launches, step, begin, part.call ? submit : finish),
        );
        if (!part.call) break;
        const { op, stage, shape } = part.call;
        const since = performance.now();
        await call(part.call);
        timings.push({ op, stage, shape, milliseconds: performance.now() - since });
      }
      return timings;
    },
    async firstNonFinite(args) {
      accept(args);
      for (const part of parts) {
        for (const launch of part.launches) {
          const encoder = gpu.createCommandEncoder();
          pass(encoder, [launch]);
          submit(encoder);
          const sources = launch.outputs.map((value) => ({
            buffer: buffers[value]!,
            bytes: bytesOf(graph.values[value]),
          }));
          const read = await readBuffers(device, sources);
          const isBad = read.some((bytes, i) => {
            const { half } = graph.values[launch.outputs[i]];
            return !(half ? new Float16Array(bytes) : new Float32Array(bytes))
              .every(Number.isFinite);
          });
          if (isBad) {
            const { op, stage, shape } = launch;
            return { op, stage, shape };
          }
        }
        if (part.call) await call(part.call);
      }
    },
    dispatches: launches.length,
    results,
    buffers: all,
    peakBytes: [...all].reduce((sum, { size }) => sum + size, 0),
    live: peaksOf(groups, live),
    describe: () =>
      work.map(({ op, stage, shape }, i) => `${i} ${stage ?? "-"} ${op} [${shape}]`).join("\n"),
    destroy: () => own.forEach((buffer) => buffer.destroy()),
  };
}
