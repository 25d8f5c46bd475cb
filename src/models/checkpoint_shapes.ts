/**
 * What names and shapes in a checkpoint tell, of models of images and of clips.
 *
 * @module
 */
import { CheckpointError } from "../checkpoint.ts";
import type { Shape } from "../tensor.ts";

/** Heads of the published widths; elsewhere they have 64 channels each. */
export const HEADS: Readonly<Record<number, number>> = { 384: 6, 768: 12, 1024: 16, 1280: 16 };

/** @throws {CheckpointError} If the heads are not known, or do not divide the width. */
export function headsOf(
  field: "heads" | "decoderHeads",
  width: number,
  known = width / 64,
): number {
  if (Number.isInteger(known) && width % known === 0) return known;
  throw new CheckpointError(
    Number.isInteger(known)
      ? `${known} heads do not divide its width of ${width}: give model.${field}=N`
      : `the heads of its width ${width} are not known: give model.${field}=N`,
  );
}

/** Shapes of a checkpoint, by name. */
export class Shapes {
  /** @param none What a file is that lacks a name, for messages. */
  constructor(readonly all: ReadonlyMap<string, Shape>, readonly none: string) {}

  has(name: string): boolean {
    return this.all.has(name);
  }

  get(name: string, rank: number): Shape {
    const shape = this.all.get(name);
    if (!shape) throw new CheckpointError(`it is ${this.none}: it has no ${name}`);
    if (shape.length === rank) return shape;
    throw new CheckpointError(`its ${name} is [${shape}], which has not ${rank} axes`);
  }

  /** Blocks of a stage. */
  count(stage: string): number {
    let count = 0;
    while (this.all.has(`${stage}.${count}.norm1.weight`)) count++;
    return count;
  }

  /** Width of the hidden layer, as a multiple of the stage's. */
  ratio(stage: string, width: number): number {
    if (this.count(stage) === 0) return 4;
    const [hidden] = this.all.get(`${stage}.0.mlp.fc1.weight`) ?? [4 * width];
    return hidden / width;
  }

  /** Outputs of the classifier's head; a linear probe has a BatchNorm before its layer. */
  get classes(): number | undefined {
    return (this.all.get("head.weight") ?? this.all.get("head.1.weight"))?.[0];
  }
}

/** Whether the model is one of clips: its first convolution has an axis of time. */
export function holdsClips(shapes: ReadonlyMap<string, Shape>): boolean {
  return ["patch_embed1", "patch_embed", "encoder.patch_embed"]
    .some((name) => shapes.get(`${name}.proj.weight`)?.length === 5);
}

/** What the classifier's head takes, and what the file says of its pixels. */
export function tailOf(file: Shapes, metadata: Readonly<Record<string, unknown>>) {
  const { classes } = file;
  const [mean, std] = [numbers(metadata.mean), numbers(metadata.std)];
  const [cropPct] = numbers(`[${metadata.cropPct}]`) ?? [];
  return {
    ...classes !== undefined && {
      classes,
      pooling: file.has("fc_norm.weight") ? "mean" as const : "token" as const,
    },
    ...mean && { mean },
    ...std && { std },
    ...cropPct && { cropPct },
  };
}

/** Settings that no shape tells. Heads are not compared either: they were taken from the file. */
const UNTOLD = ["normPix", "maskedConvolution", "masking", "evaluation"];

/** What tells of a decoder, and differs where a file has none. */
const DECODING = [
  ...["decoderDim", "decoderDepth", "decoderHeads", "decoderMlpRatio", "multiScaleDecoder"],
];

/** @throws {CheckpointError} If settings that a file names are not those of its tensors. */
export function checkNamed(named: object, found: object, hasDecoder: boolean): void {
  const saidOf = new Map<string, unknown>(Object.entries(named));
  for (const [field, value] of Object.entries(found)) {
    const said = saidOf.get(field);
    if (said === undefined || !hasDecoder && DECODING.includes(field)) continue;
    const agrees = UNTOLD.includes(field)
      ? typeof said === typeof value
      : String(said) === String(value);
    if (agrees) continue;
    throw new CheckpointError(`it says ${field} = ${said}, but its tensors are of ${value}`);
  }
}

/** A record, or the JSON text of one. */
export function record(value: unknown): Record<string, unknown> | undefined {
  const parsed = typeof value === "string" ? parse(value) : value;
  const isRecord = typeof parsed === "object" && parsed !== null && !Array.isArray(parsed);
  return isRecord ? parsed as Record<string, unknown> : undefined;
}

/** A list of numbers as JSON. */
function numbers(value: unknown): number[] | undefined {
  const parsed = typeof value === "string" ? parse(value) : value;
  const isList = Array.isArray(parsed) && parsed.every((item) => typeof item === "number");
  return isList ? parsed : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
