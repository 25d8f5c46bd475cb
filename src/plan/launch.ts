/**
 * Launches: the dispatches of a plan with their pipelines, and how long each takes.
 *
 * @module
 */
import { type Device, pipelineOf, readBuffers, sourceOf } from "../device.ts";
import { workgroups } from "../op.ts";
import type { Group } from "./fuse.ts";
import { halfKernel } from "./half.ts";
import { epilogueKernel, mapKernel } from "./map.ts";
import type { Graph } from "./trace.ts";

/** Which op, on what. */
export interface Location {
  readonly op: string;
  readonly stage?: string;
  readonly shape: readonly number[];
}

export interface Timing extends Location {
  readonly milliseconds: number;
}

/** A launch with its buffers. */
export interface Launch extends Location {
  readonly pipeline: GPUComputePipeline;
  readonly values: readonly number[];
  readonly workgroups: readonly [number, number, number];
  readonly outputs: readonly number[]; // values complete after this launch
  bindGroup?: GPUBindGroup;
}

/** Pipelines and operands of a group. */
export function launchesOf(
  device: Device,
  graph: Graph,
  group: Group,
  inPlace: ReadonlyMap<number, number>,
): Launch[] {
  const { kernel, maps, outputs } = group;
  const { op, stage } = group.steps.at(-1)!;
  const name = group.steps.map((step) => step.op.name).join("+");
  const about = { op: name, stage, shape: op.outputs[0].shape };
  /** Of the bindings, those of values in half precision. */
  const halves = (values: readonly number[]) =>
    [...values.keys()].filter((binding) => graph.values[values[binding]].half);
  if (!kernel) {
    const { source, size, lanes, values } = mapKernel(group, inPlace);
    const text = halfKernel(source, halves(values), lanes);
    const pipeline = pipelineOf(device, text, { size }, "map");
    return [{ ...about, pipeline, values, workgroups: workgroups(size), outputs }];
  }
  const { lowering, outputs: results } = kernel.op;
  if (lowering.kind !== "kernel") return [];
  const dispatches = lowering.dispatches(device.target);
  const operands = [...kernel.inputs.map(({ value }) => value), ...kernel.outputs];
  if (maps.length > 0) {
    const [dispatch] = dispatches;
    const bound = dispatch.operands.slice(0, -1); // all but the result
    const written = epilogueKernel(group, inPlace, sourceOf(dispatch), bound.length);
    const values = [...bound.map((operand) => operands[operand]), ...written.values];
    const text = halfKernel(written.source, halves(values), written.lanes);
    return [{
      ...{ ...about, workgroups: dispatch.workgroups, values, outputs },
      pipeline: pipelineOf(device, text, dispatch.constants, dispatch.kernel),
    }];
  }
  return dispatches.map((dispatch, i) => {
    const values = dispatch.operands.map((operand) => operands[operand]);
    const text = halfKernel(sourceOf(dispatch), halves(values), dispatch.lanes);
    return {
      ...{ ...about, workgroups: dispatch.workgroups, values },
      pipeline: pipelineOf(device, text, dispatch.constants, dispatch.kernel),
      outputs: i === dispatches.length - 1
        ? kernel.outputs.filter((_, i) => results[i].dtype === "f32")
        : [],
    };
  });
}

/** Times every launch in a pass of its own. */
export async function time(
  device: Device,
  launches: readonly Launch[],
  step: (pass: GPUComputePassEncoder, launch: Launch) => void,
  begin: (encoder: GPUCommandEncoder) => void,
  finish: (encoder: GPUCommandEncoder) => void,
): Promise<Timing[]> {
  const { gpu } = device;
  const timings: Timing[] = [];
  const batch = 1024; // a query set holds at most 4096 timestamps
  if (launches.length === 0) {
    const encoder = device.gpu.createCommandEncoder();
    begin(encoder);
    finish(encoder);
  }
  for (let start = 0; start < launches.length; start += batch) {
    const part = launches.slice(start, start + batch);
    const querySet = gpu.createQuerySet({ type: "timestamp", count: 2 * part.length });
    const bytes = 16 * part.length;
    const usage = GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC;
    const buffer = gpu.createBuffer({ size: bytes, usage });
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
    encoder.resolveQuerySet(querySet, 0, 2 * part.length, buffer, 0);
    if (start + batch >= launches.length) finish(encoder);
    else gpu.queue.submit([encoder.finish()]);
    const [read] = await readBuffers(device, [{ buffer, bytes }]);
    buffer.destroy();
    querySet.destroy();
    const stamps = new BigUint64Array(read);
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
