/**
 * Plans: a function traced once, given fixed buffers and dispatches, and replayed.
 *
 * @module
 */
import { type Device, MemoryError, readBuffers } from "../device.ts";
import { bytesOf, node, sameShape, type Tensor } from "../tensor.ts";
import { entries, map, type Tree } from "../tree.ts";
import { allOf, buffersOf, deviceBuffers } from "./buffers.ts";
import { calibrate } from "./calibrate.ts";
import { type CompileOptions, draft } from "./draft.ts";
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
   */
  run(args: Args): Results;
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
  const launches = groups.flatMap((group, i) => launchesOf(device, graph, group, inPlace[i]));
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

  const accept = (args: Args) => {
    const leaves = new Map(entries<Tensor>(args));
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

  const run = (args: Args) => {
    accept(args);
    const encoder = gpu.createCommandEncoder();
    start(encoder);
    const pass = encoder.beginComputePass();
    launches.forEach((launch, i) => step(pass, launch, launches[i - 1]));
    pass.end();
    finish(encoder);
    return results;
  };

  return {
    run,
    async profile(args) {
      if (!device.features.has("timestamp-query")) {
        run(args);
        return [];
      }
      accept(args);
      return await time(device, launches, step, start, finish);
    },
    async firstNonFinite(args) {
      accept(args);
      for (const launch of launches) {
        const encoder = gpu.createCommandEncoder();
        const pass = encoder.beginComputePass();
        step(pass, launch);
        pass.end();
        gpu.queue.submit([encoder.finish()]);
        const sources = launch.outputs.map((value) => ({
          buffer: buffers[value]!,
          bytes: bytesOf(graph.values[value]),
        }));
        const read = await readBuffers(device, sources);
        const isBad = read.some((bytes, i) => {
          const { half } = graph.values[launch.outputs[i]];
          return !(half ? new Float16Array(bytes) : new Float32Array(bytes)).every(Number.isFinite);
        });
        if (isBad) {
          const { op, stage, shape } = launch;
          return { op, stage, shape };
        }
      }
    },
    dispatches: launches.length,
    results,
    buffers: all,
    peakBytes: [...all].reduce((sum, { size }) => sum + size, 0),
    live: peaksOf(groups, live),
    describe: () =>
      launches.map(({ op, stage, shape }, i) => `${i} ${stage ?? "-"} ${op} [${shape}]`).join("\n"),
    destroy: () => own.forEach((buffer) => buffer.destroy()),
  };
}
