/**
 * A recipe is everything that decides a run, as plain data: it is what `recipes/` holds, what
 * `path=value` on the command line changes, and what a run keeps as `recipe.json`.
 */
import { nearest, UsageError } from "./usage.ts";

import type { MaeSettings } from "../src/models/mae.ts";
import type { McmaeSettings } from "../src/models/mcmae.ts";
import type { Rule, Rules } from "../src/rules.ts";

export { nearest, UsageError } from "./usage.ts";
export { validate } from "./validate.ts";

/** Settings of one pretraining run. */
export interface Recipe extends RunSettings {
  readonly model: McmaeSettings | MaeSettings;
  readonly memory: MemorySettings;
  readonly data: DataSettings;
  /** Share of the tokens that are removed. */
  readonly maskRatio: number;
  readonly optimizer: AdamWFields;
}

/** Fields of recipes that train with AdamW. */
export interface AdamWFields extends OptimizerFields {
  readonly betas: readonly [number, number];
  readonly eps: number;
}

/** Fields of every optimizer. */
export interface OptimizerFields {
  /** Rate at an effective batch of 256; it scales linearly with the batch. */
  readonly blr: number;
  /** Absolute rate at the end of the cosine. */
  readonly minLr: number;
  readonly weightDecay: number;
  /** Largest global norm of the gradient; `null` leaves it alone. */
  readonly clipNorm: number | null;
  /** Factors on the rate by parameter path; 0 freezes. */
  readonly rates: Rules;
  /** Share that the moving average of the parameters keeps each step; `null` makes no average. */
  readonly emaDecay: number | null;
}

/** What every training run has: data, batches, optimizer, and how it is kept. */
export interface RunSettings {
  readonly name: string;
  /** Where the settings come from. */
  readonly source: string;
  readonly data: SampleSettings;
  readonly batch: {
    /** Images that the device holds at once. */
    readonly micro: number;
    /** Images an update: micro-batches are accumulated until there are so many. */
    readonly effective: number;
  };
  readonly optimizer: OptimizerFields;
  readonly schedule: {
    readonly epochs: number;
    readonly warmupEpochs: number;
    /**
     * Stops after so many updates; `null` runs to the end. The rate follows `epochs`, unless the
     * updates take longer.
     */
    readonly steps: number | null;
  };
  readonly checkpoint: {
    /** Optimizer steps between two checkpoints. */
    readonly every: number;
    /** Latest checkpoints to keep, besides the best. */
    readonly keep: number;
  };
  /** What to do when a loss or gradient is not finite. */
  readonly faults: {
    /**
     * `stop` ends the run, `skip` leaves the step's update out, `rewind` goes back to the last
     * checkpoint and on with other samples.
     */
    readonly policy: Choice<"faults.policy">;
    /** Faults to bear in a run before it stops. */
    readonly limit: number;
  };
  readonly report: {
    /** Optimizer steps between two reports with reconstructions. */
    readonly every: number;
    /** Images that are reconstructed. */
    readonly images: number;
  };
  readonly seed: number;
}

/** What a run of a whole model keeps in the device's memory. */
export interface MemorySettings {
  /**
   * `blocks` keeps the inputs of the model's blocks alone, and computes each block again for its
   * gradient (arXiv:1604.06174): a fraction of the memory, for about a third more time. It changes no
   * number.
   */
  readonly recompute: Choice<"memory.recompute">;
  /**
   * How activations and their gradients are stored: `f16` takes half the memory and rounds each; sums,
   * parameters and the optimizer's state stay f32, and the loss is scaled (arXiv:1710.03740).
   */
  readonly activations: Choice<"memory.activations">;
}

/** `data.path` of the photos that come with the project. */
export const BUNDLED = "bundled:photos";

/** `data.path` of clips that are made of them. */
export const MOTIONS = "bundled:motions";

/** `data.path` of scenes with masks: things before the bundled photos. */
export const SCENES = "bundled:scenes";

/** What every run is told of its images or clips. */
export interface SampleSettings {
  /**
   * Folder of images, list file, tar shards or IDX files; `bundled:photos` for those that come with
   * the project; `null` where the user must say. Of clips: folder, list or annotation, or
   * `bundled:motions`.
   */
  readonly path: string | null;
  /** Samples to validate on, in any of these forms; `null` for those of `valShare`. */
  readonly valPath: string | null;
  /**
   * Share of the training samples that is held out to validate on, so that another split stays unseen
   * (masks and things have a share by default, which such a split replaces).
   */
  readonly valShare: number;
  /** Folder for decoded, smaller samples; `null` decodes the originals each time. */
  readonly cache: string | null;
  /** Of each channel, for values in 0–1. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** Threads that decode. */
  readonly workers: number;
  /** Unreadable samples that are skipped and counted before the run gives up. */
  readonly maxBad: number;
}

/** Images and how they are augmented. */
export interface DataSettings extends SampleSettings {
  /** Short side of cached images, in pixels. */
  readonly cacheSide: number;
  /** RandomResizedCrop: share of the image's area, then a horizontal flip half of the time. */
  readonly crop: { readonly scale: readonly [number, number]; readonly flip: boolean };
}

const CHOICES = {
  "model.masking": ["block", "token"],
  "model.evaluation": ["visible", "dense"],
  "model.pooling": ["mean", "token"],
  "model.relativePositions": ["none", "shared", "blocks"],
  "model.backbone": ["windowed", "vitdet"],
  "model.norm": ["none", "BN", "LN"],
  "memory.recompute": ["none", "blocks"],
  "memory.activations": ["f32", "f16"],
  "mix.mode": ["batch", "pair", "elem"],
  "augment.eraseMode": ["pixel", "rand", "const"],
  "faults.policy": ["stop", "skip", "rewind"],
  "data.decoder": ["node-av", "ffmpeg"],
  "data.sampling": ["dense", "segments"],
  "data.crop.kind": ["multi-scale", "random-resized"],
} as const;

/** How clips are masked, in place of images' `model.masking`. */
const CLIP_MASKING = ["tube", "random"];

type Choice<Path extends keyof typeof CHOICES> = typeof CHOICES[Path][number];

/** Fields whose default may be `null`, which does not tell their type. */
const NULLABLE: Record<string, "number" | "string"> = {
  "data.path": "string",
  "data.valPath": "string",
  "data.cache": "string",
  "data.root": "string",
  "data.classes": "number",
  "data.jitter": "number", // of the list alone
  "data.resize.long": "number",
  "data.resize.short": "number",
  "model.layerScale": "number",
  "data.cropPct": "number",
  "augment.randAugment": "string",
  "optimizer.clipNorm": "number",
  "optimizer.emaDecay": "number",
  "schedule.steps": "number",
};

/** Fields that name a recipe; another value would be another recipe. */
const FIXED = ["name", "source", "model.kind", "pretrained", "paper", "published"];

/** Lists of any length; all others keep theirs. */
const ANY_LENGTH = ["data.mean", "data.std", "data.shorter", "model.globalBlocks"];

/** Fields that hold rules, as `pattern:factor,pattern:factor`. */
const RULES = ["optimizer.rates"];

type Field = string | number | boolean | null | readonly number[] | Rules;

/**
 * Changes fields of a recipe, as the command line does: `["batch.micro=2", "model.depths=1,1,4"]`.
 * `batch.micro` alone sets `batch.effective` too, as `--batch_size` of the published code does
 * without `--accum_iter`; give both to accumulate.
 *
 * @returns A new recipe; call `validate` on it, since only types are checked here.
 * @throws {UsageError} If a field does not exist (names the nearest) or a value's type differs
 * from the default's (names both).
 */
export function override<R extends RunSettings>(recipe: R, assignments: readonly string[]): R {
  const names = assignments.map((assignment) => assignment.split("=")[0]);
  const changed = assignments.reduce<R>(assign, recipe);
  if (!names.includes("batch.micro") || names.includes("batch.effective")) return changed;
  return { ...changed, batch: { micro: changed.batch.micro, effective: changed.batch.micro } };
}

function assign<R extends RunSettings>(recipe: R, assignment: string): R {
  const at = assignment.indexOf("=");
  if (at < 1) throw new UsageError(`Expected field.path=value, got ${assignment}`);
  const path = assignment.slice(0, at);
  const fields = new Map(fieldsOf(recipe));
  if (!fields.has(path)) throw unknownField(path, [...fields.keys()]);
  if (FIXED.includes(path.split(".")[0]) || FIXED.includes(path)) {
    throw new UsageError(`Recipe field ${path} is fixed: choose another recipe instead`);
  }
  const value = parseField(path, assignment.slice(at + 1), fields.get(path)!);
  return replace(recipe, path.split("."), value) as R;
}

/** Fields that a run may change when it goes on: none of them changes what its steps so far were. */
const FREE =
  /^(data\.(path|valPath|root|decoder|workers|maxBad)|batch\.micro|optimizer\.(?!rates|emaDecay).*|(schedule|checkpoint|faults|report)\..*|memory\.recompute|model\.evaluation)$/;

/**
 * Refuses to go on with a run under settings that would make it another.
 *
 * @throws {UsageError} If a field differs that decides the model, the samples or the masks.
 */
export function checkContinues(from: RunSettings, to: RunSettings): void {
  const before = new Map(fieldsOf(from));
  for (const [path, value] of fieldsOf(to)) {
    if (FREE.test(path) || String(value) === String(before.get(path))) continue;
    throw new UsageError(
      `Cannot resume with ${path} = ${value}: the run has ${before.get(path)}; start another`,
    );
  }
}

/** Every leaf with its path. */
function* fieldsOf(tree: object, prefix = ""): Generator<[string, Field]> {
  for (const [key, value] of Object.entries(tree)) {
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    if (isGroup) yield* fieldsOf(value, `${prefix}${key}.`);
    else yield [`${prefix}${key}`, value];
  }
}

function unknownField(path: string, known: readonly string[]): UsageError {
  const members = known.filter((field) => field.startsWith(`${path}.`));
  if (members.length > 0) {
    return new UsageError(`Recipe field ${path} is a group: set one of ${members.join(", ")}`);
  }
  const meant = known.find((field) => field.endsWith(`.${path}`)) ?? nearest(path, known);
  return new UsageError(`Unknown recipe field ${path}${meant ? `: did you mean ${meant}?` : ""}`);
}

/** The default's type, not the text's look, decides how a value is read. */
function parseField(path: string, text: string, standard: Field): Field {
  const wrong = (expected: string) =>
    new UsageError(
      `Recipe field ${path} expects ${expected}, got ${text === "" ? "nothing" : text}`,
    );
  if (path in CHOICES) {
    const choices: readonly string[] = CLIP_MASKING.includes(String(standard))
      ? CLIP_MASKING
      : CHOICES[path as keyof typeof CHOICES];
    if (!choices.includes(text)) throw wrong(`one of ${choices.join(", ")}`);
    return text;
  }
  const nullable = path in NULLABLE;
  if (nullable && text === "null") return null;
  if (RULES.includes(path)) {
    const rules = text === "" ? [] : text.split(",").map((rule): Rule => {
      const at = rule.lastIndexOf(":");
      return [rule.slice(0, at), parseNumber(rule.slice(at + 1))];
    });
    if (rules.some(([pattern, factor]) => pattern === "" || Number.isNaN(factor))) {
      throw wrong("pattern:factor pairs such as patch_embed*:0,blocks1.*:0.5");
    }
    return rules;
  }
  const type: string = Array.isArray(standard) ? "list" : NULLABLE[path] ?? typeof standard;
  if (type === "list") {
    const list = standard as readonly number[];
    const numbers = text.replace(/^\[(.*)\]$/, "$1").split(",").map(parseNumber);
    const fits = ANY_LENGTH.includes(path) || numbers.length === list.length;
    if (!fits || numbers.some(Number.isNaN)) {
      throw wrong(`${list.length} numbers such as ${list.join(",")}`);
    }
    return numbers;
  }
  if (type === "number") {
    const number = parseNumber(text);
    if (Number.isNaN(number)) throw wrong(nullable ? "a number or null" : "a number");
    return number;
  }
  if (type === "boolean") {
    if (text !== "true" && text !== "false") throw wrong("true or false");
    return text === "true";
  }
  if (text === "") throw wrong(nullable ? "text or null" : "text");
  return text;
}

/** Finite number in decimal notation, else NaN. */
function parseNumber(text: string): number {
  const isDecimal = /^\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*$/i.test(text);
  return isDecimal && Number.isFinite(Number(text)) ? Number(text) : NaN;
}

function replace(tree: object, [key, ...rest]: string[], value: Field): object {
  const child = rest.length === 0
    ? value
    : replace((tree as Record<string, object>)[key], rest, value);
  return { ...tree, [key]: child };
}
