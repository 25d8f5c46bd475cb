/** Golden mixtures, boxes, targets and losses of fine-tuning. */
import type { Size } from "../../data/augment.ts";
import {
  cutmixBox,
  type Mix,
  mixImages,
  mixTargets,
  shareOutside,
  softTargets,
} from "../../data/mixup.ts";
import { erasedSize } from "../../data/random_erasing.ts";
import { crossEntropy } from "../../src/ops/cross_entropy.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { tensor } from "../../src/tensor.ts";
import { BOUNDS, compare, type TensorCheck } from "./check.ts";
import { compute, type Fixture, floats, input, json, tensorOf } from "./fixture.ts";

const MIXED = 1e-6;

/** Draws of a run: one of the batch, one a pair, or one a sample. */
interface Run {
  readonly lam: number | readonly number[];
  readonly use_cutmix: boolean | readonly boolean[];
  /** One for each draw that uses CutMix. */
  readonly boxes: readonly { readonly y0y1x0x1: readonly [number, number, number, number] }[];
}

interface Table {
  readonly rows: readonly (readonly number[])[];
}

/**
 * Compares {@linkcode mixImages}, {@linkcode mixTargets}, {@linkcode cutmixBox},
 * {@linkcode erasedSize} and {@linkcode crossEntropy} with a `mixup_cutmix` file, from the draws in
 * its metadata.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export async function* checkMixupCutmix(fixture: Fixture): AsyncGenerator<TensorCheck> {
  const { file } = fixture;
  yield* checkRuns(file);
  yield* checkTables(file);
  yield* checkLosses(fixture);
}

function* checkRuns(file: Safetensors): Generator<TensorCheck> {
  const [n, channels, height, width] = tensorOf(file, "images").shape;
  const area = height * width;
  const images = transposed(floats(file, "images"), channels, area);
  for (const [name, run] of Object.entries(json<Record<string, Run>>(file, "runs"))) {
    const mixes = mixesOf(run, n, { width, height });
    const mixed = mixImages(images, [n, height, width, channels], mixes);
    for (
      const [result, values] of [
        ["images", transposed(mixed, area, channels)],
        ["targets", targetsOf(file, mixes)],
      ] as const
    ) {
      const tensor = `${name}.out.${result}`;
      yield compare(tensor, values, floats(file, tensor), MIXED);
    }
  }
}

function* checkTables(file: Safetensors): Generator<TensorCheck> {
  const boxes = json<Table>(file, "cutmix_bbox_table").rows;
  const cut = boxes.map(([height, width, lambda, y, x]) => {
    const box = cutmixBox({ width, height }, lambda, { x, y });
    const edges = [box.y, box.y + box.height, box.x, box.x + box.width];
    return [...edges, shareOutside(box, { width, height })];
  });
  const expected = boxes.flatMap((row) => row.slice(5));
  yield compare("cutmix_bbox_table", cut.flat(), expected, BOUNDS.exact);
  const sizes = json<Table>(file, "random_erasing").rows;
  const erased = sizes.map(([imageHeight, imageWidth, area, logRatio]) => {
    const { height, width, accepted } = erasedSize(imageWidth, imageHeight, area, logRatio);
    return [height, width, Number(accepted)];
  });
  yield compare(
    "random_erasing",
    erased.flat(),
    sizes.flatMap((row) => row.slice(4)),
    BOUNDS.exact,
  );
}

async function* checkLosses({ file, device }: Fixture): AsyncGenerator<TensorCheck> {
  const labels = labelsOf(file);
  const classes = json<number>(file, "num_classes");
  const mixedBy = (lambda: string) =>
    targetsOf(file, Array(labels.length).fill({ lambda: Number(lambda) }));
  for (const name of file.tensors.keys()) {
    const [, lambda] = /^target\.out\.lam([\d.]+)$/.exec(name) ?? [];
    if (lambda) yield compare(name, mixedBy(lambda), floats(file, name), MIXED);
    const [, kind, setting] =
      /^loss\.out\.(soft_target_ce_with_target_lam|label_smoothing_ce_)([\d.]+)$/.exec(name) ?? [];
    if (!kind) continue;
    const targets = tensor(
      kind.startsWith("soft") ? mixedBy(setting) : softTargets(labels, classes, Number(setting)),
      [labels.length, classes],
    );
    const logits = input(file, "loss.logits");
    const results = await compute(
      await device(),
      ({ logits, targets }) => ({ loss: crossEntropy(logits, targets) }),
      { logits, targets },
    );
    yield compare(name, results.get("loss")!, floats(file, name), BOUNDS.loss);
  }
}

function targetsOf(file: Safetensors, mixes: readonly Mix[]): Float32Array {
  return mixTargets(
    labelsOf(file),
    json(file, "num_classes"),
    json(file, "label_smoothing"),
    mixes,
  );
}

/** @throws {RangeError} If the file has no labels, or not as I32. */
function labelsOf(file: Safetensors): Int32Array {
  const { dtype, data } = tensorOf(file, "labels");
  if (dtype !== "I32") throw new RangeError(`Tensor labels is ${dtype}, not I32`);
  return data;
}

/** How each of N samples is mixed in a run. */
function mixesOf({ lam, use_cutmix, boxes }: Run, n: number, size: Size): Mix[] {
  const cuts = [use_cutmix].flat();
  const left = boxes.values();
  const drawn = [lam].flat().map((lambda, i): Mix => {
    if (!cuts[i] || lambda === 1) return { lambda };
    const [top, bottom, x, right] = left.next().value!.y0y1x0x1;
    const box = { x, y: top, width: right - x, height: bottom - top };
    return { lambda: shareOutside(box, size), box };
  });
  if (drawn.length === n) return drawn;
  return Array.from({ length: n }, (_, i) => drawn[Math.min(i, n - 1 - i, drawn.length - 1)]);
}

/** `[N, R, C]` as `[N, C, R]`, such as channels first for last. */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const size = rows * columns;
  return Float32Array.from(values, (_, i) => {
    const [column, row] = [Math.floor(i % size / rows), i % rows];
    return values[i - i % size + row * columns + column];
  });
}
