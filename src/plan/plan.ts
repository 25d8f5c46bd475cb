/**
 * Plans: a function traced once, given fixed buffers and dispatches, and replayed.
 *
 * @module
 */
import { createBuffer, type Device, pipelineOf, readBuffers, sourceOf } from "../device.ts";
import { workgroups } from "../op.ts";
import { bytesOf, type HostArray, node, sameShape, type Tensor } from "../tensor.ts";
import { entries, map, type Tree } from "../tree.ts";
import { fuse, type Group, isMap } from "./fuse.ts";
import { isFull, mapKernel } from "./map.ts";
import { assignSlots } from "./memory.ts";
import { type Graph, trace, type Value } from "./trace.ts";

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
  /** Milliseconds of every dispatch of one run, from timestamp queries where there are any. */
  profile(args: Args): Promise<Timing[]>;
  /** The first step of a run whose result is not finite. */
  firstNonFinite(args: Args): Promise<Location | undefined>;
  readonly dispatches: number;
  /** Everything that the plan binds: arguments, constants, results, and values between. */
  readonly buffers: ReadonlySet<GPUBuffer>;
  /** Bytes of these buffers. */
  readonly peakBytes: number;
  /** One line a step. */
  describe(): string;
  /** Frees the buffers that belong to the plan alone; its results die with it. */
  destroy(): void;
}

export interface Location {
  readonly op: string;
  readonly stage?: string;
  readonly shape: readonly number[];
}

export interface Timing extends Location {
  readonly milliseconds: number;
}

export interface CompileOptions {
  /** Arguments, by path or its beginning, whose buffers the results at the same paths take over. */
  readonly donate?: readonly string[];
  /** False leaves elementwise steps alone. */
  readonly fuse?: boolean;
}

/** A launch with its buffers. */
interface Launch extends Location {
  readonly pipeline: GPUComputePipeline;
  readonly values: readonly number[];
  readonly workgroups: readonly [number, number, number];
  readonly outputs: readonly number[]; // values complete after this launch
  bindGroup?: GPUBindGroup;
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
 * const device = await openDevice();
 * const plan = await compile(device, ({ x }) => ({ y: mul(x, x) }), { x: tensor([1, 2, 3]) });
 * const { y } = plan.run({ x: tensor([4, 5, 6]) });
 * console.log(await read(device, y)); // 16, 25, 36
 * ```
 */
export async function compile<Args extends Tree<Tensor>, Results extends Tree<Tensor>>(
  device: Device,
  fn: (args: Args) => Results,
  args: Args,
  { donate = [], fuse: fusing = true }: CompileOptions = {},
): Promise<Plan<Args, Results>> {
  const { gpu } = device;
  const given = entries<Tensor>(args);
  const holes = given.map(([, leaf], index) => node(leaf, { kind: "argument", index }));
  let next = 0;
  const returned = fn(map<Tensor, Tensor, Args>(args, () => holes[next++]));
  const wanted = entries<Tensor>(returned);
  const graph = trace([...wanted.map(([, leaf]) => leaf)]);
  checkLimits(device, graph);
  const groups = fuse(graph, gpu.limits.maxStorageBuffersPerShaderStage, fusing);

  // Buffers: given ones, then results, then slots.
  const buffers = Array<GPUBuffer | undefined>(graph.values.length).fill(undefined);
  const own: GPUBuffer[] = [];
  const allocate = (value: Value | Tensor, label: string) => {
    const buffer = createBuffer(device, bytesOf(value), label);
    own.push(buffer);
    return buffer;
  };
  const valueOfArgument = new Map<number, number>();
  const uploads = given.map(([path, leaf]) =>
    leaf.source.kind === "device" ? undefined : allocate(leaf, path)
  );
  const bound = given.map(([, { source }], index) =>
    source.kind === "device" ? source.buffer : uploads[index]!
  );
  graph.values.forEach(({ source }, value) => {
    if (source?.kind === "argument") {
      valueOfArgument.set(source.index, value);
      buffers[value] = bound[source.index];
    } else if (source?.kind === "device") buffers[value] = source.buffer;
    else if (source?.kind === "host") {
      buffers[value] = allocate(graph.values[value], "constant");
      gpu.queue.writeBuffer(buffers[value], 0, source.data as Float32Array<ArrayBuffer>);
    }
  });

  gpu.pushErrorScope("out-of-memory");
  gpu.pushErrorScope("validation");
  const outcomes = graph.results.map((value, i) => ({
    value,
    argument: given.findIndex(([path, leaf]) =>
      path === wanted[i][0] && bytesOf(leaf) === bytesOf(graph.values[value]) &&
      donate.some((prefix) => path === prefix || path.startsWith(`${prefix}.`))
    ),
  }));
  const { inPlace, copies, kept } = place(device, graph, groups, buffers, allocate, {
    results: outcomes,
    valueOfArgument,
    bound,
  });
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
  const failure = invalid ?? exhausted;
  if (failure) throw new RangeError(`Cannot prepare the plan: ${failure.message.split("\n")[0]}`);

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
    const leaves = entries<Tensor>(args);
    if (leaves.length !== given.length) {
      throw new RangeError(`Cannot run a plan of ${given.length} arguments with ${leaves.length}`);
    }
    leaves.forEach(([path, leaf], index) => {
      if (!sameShape(leaf.shape, given[index][1].shape) || leaf.dtype !== given[index][1].dtype) {
        throw new RangeError(
          `Cannot pass [${leaf.shape}] as ${path}, which was compiled as [${
            given[index][1].shape
          }]`,
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
          : uploads[index] ??= allocate(leaf, path);
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
    for (const { from, to, bytes } of copies) {
      encoder.copyBufferToBuffer(kept.get(from) ?? buffers[from]!, 0, bound[to], 0, bytes);
    }
    gpu.queue.submit([encoder.finish()]);
  };
  const step = (pass: GPUComputePassEncoder, launch: Launch) => {
    pass.setPipeline(launch.pipeline);
    pass.setBindGroup(0, bind(launch));
    pass.dispatchWorkgroups(...launch.workgroups);
  };
  const all = new Set([...buffers, ...bound, ...kept.values()].filter((b) => b !== undefined));
  const copied = new Map(copies.map(({ from, to, result }) => [result, { from, to }]));
  next = 0;
  const results: Results = map<Tensor, Tensor, Results>(returned, (leaf) => {
    const i = next++;
    const { value, argument } = outcomes[i];
    const copy = copied.get(i);
    const stays = argument >= 0 && valueOfArgument.get(argument) === value;
    const buffer = copy ? bound[copy.to] : !stays && kept.get(value) || buffers[value]!;
    return node(leaf, { kind: "device", buffer });
  });

  return {
    run(args) {
      accept(args);
      const encoder = gpu.createCommandEncoder();
      start(encoder);
      const pass = encoder.beginComputePass();
      for (const launch of launches) step(pass, launch);
      pass.end();
      finish(encoder);
      return results;
    },
    async profile(args) {
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
        if (read.some((bytes) => !new Float32Array(bytes).every(Number.isFinite))) {
          const { op, stage, shape } = launch;
          return { op, stage, shape };
        }
      }
    },
    dispatches: launches.length,
    results,
    buffers: all,
    peakBytes: [...all].reduce((sum, { size }) => sum + size, 0),
    describe: () =>
      launches.map(({ op, stage, shape }, i) => `${i} ${stage ?? "-"} ${op} [${shape}]`).join("\n"),
    destroy: () => own.forEach((buffer) => buffer.destroy()),
  };
}

/** Where results and values between go; fills `buffers`. */
function place(
  device: Device,
  graph: Graph,
  groups: readonly Group[],
  buffers: (GPUBuffer | undefined)[],
  allocate: (value: Value, label: string) => GPUBuffer,
  { results, valueOfArgument, bound }: {
    results: readonly { value: number; argument: number }[];
    valueOfArgument: ReadonlyMap<number, number>;
    bound: readonly GPUBuffer[];
  },
) {
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  groups.forEach((group, i) => {
    for (const { value } of group.inputs) last.set(value, i);
    for (const value of group.outputs) {
      first.set(value, i);
      if (!last.has(value)) last.set(value, i);
    }
  });
  const inPlace = groups.map(() => new Map<number, number>()); // per group: output → input
  const copies: { from: number; to: number; bytes: number; result: number }[] = [];
  const overwritable = (group: Group, value: number) =>
    isMap(group.steps[0]) &&
    group.inputs.some((input) =>
      input.value === value && isFull(input.shape, bytesOf(graph.values[group.outputs[0]]) / 4)
    );

  // Arguments asked for as results: copied before a step overwrites them or the next run rebinds them.
  const kept = new Map<number, GPUBuffer>();
  results.forEach(({ value, argument }, result) => {
    const donor = valueOfArgument.get(argument);
    if (graph.values[value].source?.kind === "argument" && donor !== value && !kept.has(value)) {
      kept.set(value, allocate(graph.values[value], "result"));
    }
    if (argument >= 0 && donor !== value) {
      const made = first.get(value);
      const free = donor === undefined || (last.get(donor) ?? -1) < (made ?? -1);
      const over = donor !== undefined && last.get(donor) === made && made !== undefined &&
        overwritable(groups[made], donor);
      if (made !== undefined && buffers[value] === undefined && (free || over)) {
        buffers[value] = bound[argument];
        if (!free) inPlace[made].set(value, donor!);
      } else {copies.push({
          from: value,
          to: argument,
          bytes: bytesOf(graph.values[value]),
          result,
        });}
    }
    buffers[value] ??= allocate(graph.values[value], "result");
  });

  const free = graph.values.keys().toArray().filter((value) =>
    buffers[value] === undefined && first.has(value)
  );
  const position = new Map(free.map((value, i) => [value, i]));
  const { slotOf, slots, inPlace: taken } = assignSlots(free.map((value) => {
    const group = groups[first.get(value)!];
    return {
      bytes: bytesOf(graph.values[value]),
      first: first.get(value)!,
      last: last.get(value)!,
      over: group.inputs.filter((input) => overwritable(group, input.value))
        .map((input) => position.get(input.value)).filter((i) => i !== undefined),
    };
  }));
  for (const [output, input] of taken) {
    inPlace[first.get(free[output])!].set(free[output], free[input]);
  }
  const mine = takeSlots(device, slots);
  free.forEach((value, i) => buffers[value] = mine[slotOf[i]]);
  return { inPlace, copies, kept };
}

/** A buffer for each slot, from the device's pool where one fits. */
function takeSlots(device: Device, slots: readonly number[]): GPUBuffer[] {
  const pool = new Set(device.scratch);
  const order = slots.keys().toArray().sort((a, b) => slots[b] - slots[a]);
  const taken: GPUBuffer[] = [];
  for (const slot of order) {
    let best: GPUBuffer | undefined;
    for (const buffer of pool) {
      const fits = buffer.size >= slots[slot] && buffer.size < 2 * slots[slot] + 4096;
      if (fits && (!best || buffer.size < best.size)) best = buffer;
    }
    if (best) pool.delete(best);
    else device.scratch.push(best = createBuffer(device, slots[slot], "slot"));
    taken[slot] = best;
  }
  return taken;
}

/** Pipelines and operands of a group. */
function launchesOf(
  device: Device,
  graph: Graph,
  group: Group,
  inPlace: ReadonlyMap<number, number>,
): Launch[] {
  const { op, stage, inputs, outputs } = group.steps.at(-1)!;
  const { lowering } = op;
  if (lowering.kind === "map") {
    const kernel = mapKernel(group, inPlace);
    return [{
      op: group.steps.map((step) => step.op.name).join("+"),
      stage,
      shape: op.outputs[0].shape,
      pipeline: pipelineOf(device, kernel.source, { size: kernel.size }, "map"),
      values: kernel.bindings.map(({ value }) => value),
      workgroups: workgroups(kernel.size),
      outputs: group.outputs,
    }];
  }
  if (lowering.kind === "view") return [];
  const operands = [...inputs.map(({ value }) => value), ...outputs];
  const dispatches = lowering.dispatches(device.target);
  return dispatches.map((dispatch, i) => ({
    op: op.name,
    stage,
    shape: op.outputs[0].shape,
    pipeline: pipelineOf(device, sourceOf(dispatch), dispatch.constants, dispatch.kernel),
    values: dispatch.operands.map((operand) => operands[operand]),
    workgroups: dispatch.workgroups,
    outputs: i === dispatches.length - 1
      ? outputs.filter((value) => graph.values[value].dtype === "f32")
      : [],
  }));
}

/** Refuses what the adapter cannot bind or launch, before anything is allocated. */
function checkLimits({ gpu, name, target }: Device, { values, steps }: Graph): void {
  const limit = Math.min(gpu.limits.maxStorageBufferBindingSize, gpu.limits.maxBufferSize);
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const refuse = (what: string, shape: readonly number[], stage = "(none)", why: string) => {
    throw new RangeError(
      `Use a smaller batch.micro: ${what} [${shape}] in stage ${stage} takes ${why}`,
    );
  };
  for (const value of values) {
    if (bytesOf(value) <= limit) continue;
    const why = `${mebibytes(bytesOf(value))}, and ${name} binds at most ${mebibytes(limit)}`;
    refuse(value.name, value.shape, value.stage, why);
  }
  const most = gpu.limits.maxComputeWorkgroupsPerDimension;
  for (const { op, stage } of steps) {
    if (op.lowering.kind !== "kernel") continue;
    const counts = op.lowering.dispatches(target).flatMap(({ workgroups }) => workgroups);
    if (counts.every((count) => count <= most)) continue;
    const why = `${Math.max(...counts)} workgroups along an axis, and ${name} launches ${most}`;
    refuse(op.name, op.outputs[0].shape, stage, why);
  }
}

/** Times every launch in a pass of its own. */
async function time(
  { gpu, features }: Device,
  launches: readonly Launch[],
  step: (pass: GPUComputePassEncoder, launch: Launch) => void,
  begin: (encoder: GPUCommandEncoder) => void,
  finish: (encoder: GPUCommandEncoder) => void,
): Promise<Timing[]> {
  if (!features.has("timestamp-query")) return [];
  const timings: Timing[] = [];
  const batch = 1024; // a query set holds at most 4096 timestamps
  for (let start = 0; start < launches.length; start += batch) {
    const part = launches.slice(start, start + batch);
    const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * part.length });
    const bytes = 16 * part.length;
    const [usage, copy] = [
      GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
      GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    ]
      .map((usage) => gpu.createBuffer({ size: bytes, usage }));
    const encoder = gpu.createCommandEncoder();
    if (start === 0) begin(encoder);
    part.forEach((launch, i) => {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        },
      });
      step(pass, launch);
      pass.end();
    });
    encoder.resolveQuerySet(querySet, 0, 2 * part.length, usage, 0);
    encoder.copyBufferToBuffer(usage, 0, copy, 0, bytes);
    if (start + batch >= launches.length) finish(encoder);
    else gpu.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const stamps = new BigUint64Array(copy.getMappedRange().slice(0));
    part.forEach(({ op, stage, shape }, i) =>
      timings.push({
        op,
        stage,
        shape,
        milliseconds: Number(stamps[2 * i + 1] - stamps[2 * i]) / 1e6,
      })
    );
  }
  return timings;
}

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
  const results = (plan?.run([]) ?? tensors) as readonly Tensor[];
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
