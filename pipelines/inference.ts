/**
 * Outputs of a model for many images, batch after batch.
 *
 * @module
 */
import { type EvaluationOptions, loadInOrder } from "../data/evaluation_loader.ts";
import type { ViewBatch } from "../data/views.ts";
import type { Device } from "../src/device.ts";
import type { Params } from "../src/optim.ts";
import { compile } from "../src/plan/plan.ts";
import { read, upload } from "../src/plan/read.ts";
import { type Shape, sizeOf, type Tensor, tensor } from "../src/tensor.ts";
import { map } from "../src/tree.ts";

/** What every batch has. */
export interface BatchSize {
  /** Images that the device gets at once, N. */
  readonly batch: number;
  /** Height and width in pixels. */
  readonly imageSize: readonly [number, number];
  readonly channels: number;
  /** Of a clip, T; images have none. */
  readonly frames?: number;
}

/** A model compiled for batches of N images. */
export interface Inference {
  readonly batch: number;
  /** Shapes of the outputs of one image. */
  readonly shapes: Readonly<Record<string, Shape>>;
  /**
   * Runs the model. The next call need not wait for this one's answer.
   *
   * @param images `[count, H, W, C]`, or clips `[count, T, H, W, C]`, normalised; a short batch is
   * filled up with zeros.
   * @returns Of every output its first `count` rows.
   * @throws {RangeError} If there are more than N images, or not as many pixels as they have.
   */
  run(images: Float32Array, count: number): Promise<Record<string, Float32Array>>;
  /** Frees the plan, and parameters that were in host memory. */
  destroy(): void;
}

/**
 * Compiles a model for batches of a fixed size.
 *
 * @param params On the host or the device.
 * @param fn Parameters and images `[N, H, W, C]`, or clips `[N, T, H, W, C]`, to outputs whose first
 * axis is N.
 */
export async function prepareInference<P extends Params>(
  device: Device,
  { batch, imageSize: [height, width], channels, frames }: BatchSize,
  params: P,
  fn: (params: P, images: Tensor) => Record<string, Tensor>,
): Promise<Inference> {
  const time = frames === undefined ? [] : [frames];
  const shape = [batch, ...time, height, width, channels];
  const size = sizeOf(shape.slice(1));
  const { params: resident, free } = makeResident(device, params);
  const filled = (images: Float32Array, count: number) => {
    if (count > batch || images.length !== count * size) {
      throw new RangeError(
        `Cannot run ${count} ${frames ? "clips" : "images"} of ${images.length} values in ` +
          `batches of [${shape}]`,
      );
    }
    if (count === batch) return tensor(images, shape);
    const values = new Float32Array(batch * size);
    values.set(images);
    return tensor(values, shape);
  };
  try {
    const plan = await compile(
      device,
      ({ params, images }) => fn(params as P, images),
      { params: resident as Params, images: filled(new Float32Array(0), 0) },
    );
    const outputs = Object.entries(plan.results);
    return {
      batch,
      shapes: Object.fromEntries(outputs.map(([name, { shape }]) => [name, shape.slice(1)])),
      async run(images, count) {
        plan.run({ params: resident, images: filled(images, count) });
        // Each read queues its copy at once, so before the next run writes over the results.
        const reads = outputs.map(([, output]) => read(device, output));
        const values = await Promise.all(reads);
        return Object.fromEntries(outputs.map(([name], i) => {
          const rows = values[i].subarray(0, values[i].length / batch * count);
          return [name, rows as Float32Array];
        }));
      },
      destroy: () => {
        plan.destroy();
        free();
      },
    };
  } catch (error) {
    free();
    throw error;
  }
}

/**
 * Parameters on the device.
 *
 * @returns `free` frees those that were in host memory; others are the caller's.
 */
export function makeResident<P extends Params>(
  device: Device,
  params: P,
): { readonly params: P; free(): void } {
  const buffers: GPUBuffer[] = [];
  const resident: P = map<Tensor, Tensor, P>(params, (leaf) => {
    if (leaf.source.kind !== "host") return leaf;
    const moved = upload(device, leaf);
    buffers.push((moved.source as { buffer: GPUBuffer }).buffer);
    return moved;
  });
  return { params: resident, free: () => buffers.forEach((buffer) => buffer.destroy()) };
}

/** Outputs for N images of a source. */
export interface InferredBatch extends Omit<ViewBatch, "images"> {
  readonly values: Record<string, Float32Array>;
}

/**
 * Runs a model on the evaluation crops of a source's images, in their order; bad ones are left out.
 * The device works on a batch while the one before is looked at.
 *
 * @throws {DataError} As `loadInOrder`.
 */
export async function* inferInOrder(
  { batch, run }: Pick<Inference, "batch" | "run">,
  options: Omit<EvaluationOptions, "batch">,
): AsyncGenerator<InferredBatch, void, void> {
  let before: Promise<InferredBatch> | undefined;
  for await (const { images, ...rest } of loadInOrder({ ...options, batch })) {
    const now = run(images, rest.indices.length).then((values) => ({ values, ...rest }));
    now.catch(() => {}); // reported when its turn comes
    if (before) yield await before;
    before = now;
  }
  if (before) yield await before;
}
