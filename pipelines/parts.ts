/**
 * Micro-batches in parts: where the adapter cannot bind what a whole one takes.
 *
 * @module
 */
import type { Adapter } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { traceFor } from "../src/plan/draft.ts";
import { LimitError } from "../src/plan/limits.ts";
import { type Tensor, tensor } from "../src/tensor.ts";
import { leaves, map } from "../src/tree.ts";
import { gradientCall, startOf } from "./step_calls.ts";
import { scalerFor, type Task } from "./train_step.ts";

/** A task of which each micro-batch goes in parts, and why. */
export interface Parted<P extends Params, Batch extends Params> {
  /** The task with smaller batches, of which more are accumulated. */
  readonly task: Task<P, Batch>;
  /** A batch of it. */
  readonly example: Batch;
  readonly parts: number;
  /** One sentence; none for one part. */
  readonly notice?: string;
}

/**
 * Splits a task's micro-batches into the fewest equal parts of which an adapter binds and launches all
 * that their gradient takes. Nothing is allocated.
 *
 * @param example A micro-batch.
 * @throws {LimitError} If the task is not separable, or one sample is too much.
 */
export function inParts<P extends Params, Batch extends Params>(
  adapter: Adapter,
  task: Task<P, Batch>,
  example: Batch,
): Parted<P, Batch> {
  const partedIn = (parts: number) => ({
    task: splitTask(task, parts),
    example: splitBatch(example, parts)[0],
    parts,
  });
  const refusal = refusalOf(adapter, partedIn(1));
  if (!refusal) return partedIn(1);
  const samples = task.separable ? samplesOf(example) ?? 1 : 1;
  if (refusalOf(adapter, partedIn(samples))) throw refusal; // whatever the parts
  for (let parts = 2;; parts++) {
    if (samples % parts !== 0 || refusalOf(adapter, partedIn(parts))) continue;
    const notice = `batch.micro=${samples} goes in ${parts} parts of ${samples / parts}, ` +
      `since ${refusal.reason}`;
    return { ...partedIn(parts), notice };
  }
}

/** Why an adapter cannot take the gradient of a task's batch; undefined if it can. */
function refusalOf<P extends Params, Batch extends Params>(
  adapter: Adapter,
  { task, example }: Pick<Parted<P, Batch>, "task" | "example">,
): LimitError | undefined {
  const weights = { params: task.params, state: scalerFor(task) as Params };
  const { fn, args, options } = gradientCall(task, weights, example, startOf(task, task, example));
  try {
    traceFor(adapter, fn, args, options);
  } catch (error) {
    if (error instanceof LimitError) return error;
    throw error;
  }
}

/** The size of the first axis, if all tensors of a batch share it and lie on the host. */
function samplesOf(batch: Params): number | undefined {
  const all = leaves<Tensor>(batch);
  const [samples] = all[0]?.shape ?? [];
  const fits = all.every(({ shape, source }) => shape[0] === samples && source.kind === "host");
  return fits ? samples : undefined;
}

function splitTask<P extends Params, Batch extends Params>(
  task: Task<P, Batch>,
  parts: number,
): Task<P, Batch> {
  if (parts === 1) return task;
  return {
    ...task,
    accumulate: task.accumulate * parts,
    async *batches(position) {
      for await (const batch of task.batches(position)) yield* splitBatch(batch, parts);
    },
  };
}

function splitBatch<Batch extends Params>(batch: Batch, parts: number): Batch[] {
  if (parts === 1) return [batch];
  return Array.from(
    { length: parts },
    (_, part) =>
      map<Tensor, Tensor, Batch>(batch, ({ shape: [n, ...rest], source }) => {
        const { data } = source as { data: Float32Array };
        const size = data.length / parts;
        return tensor(data.subarray(part * size, (part + 1) * size), [n / parts, ...rest]);
      }),
  );
}
