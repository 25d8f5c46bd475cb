/**
 * Launches: the dispatches of a plan with their pipelines, and how long each takes.
 *
 * @module
 */
import { type Device, pipelineOf, readBuffers, sourceOf } from "../device.ts";
import { workgroups } from "../op.ts";
import type { Group } from "./fuse.ts";
import { mapKernel } from "./map.ts";
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
