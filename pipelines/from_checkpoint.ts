/**
 * Recipes of runs that begin with a pretrained model: the file tells what the recipe leaves open.
 *
 * @module
 */
import { describeMatch } from "../src/match_weights.ts";
import type { ClassifierParams, ClassifierSettings } from "../src/models/classifier.ts";
import { inspectPretrained, loadClassifier } from "../src/pretrained.ts";
import type { EncoderSettings, VideoEncoderSettings } from "../src/models/encoder.ts";
import { hasCheckpoint } from "./checkpoints.ts";
import type { RunSettings } from "./recipe.ts";
import { oldRunFolder, readRecipe } from "./run_folder.ts";
import {
  requestRun,
  type RunOptionValues,
  type RunRequest,
  type wordsOf,
} from "./training_command.ts";
import { UsageError } from "./usage.ts";

/** A recipe before it meets a checkpoint. */
export interface Preset extends RunSettings {
  readonly model: object;
}

/** A recipe with what the checkpoint tells. */
export type Completed<P extends Preset> = Omit<P, "model"> & {
  /** File that the encoder is from. */
  readonly pretrained: string;
  readonly model: EncoderSettings & P["model"];
};

/**
 * Finds the folder and the recipe of such a run, and changes the recipe's fields.
 *
 * @param find Finds a preset by its name.
 * @param values Options as given.
 * @param completed Adds to a preset what a checkpoint tells, see {@linkcode complete}.
 * @throws {UsageError} If they do not fit together, or the file is not there.
 * @throws {CheckpointError} If the file holds no model.
 */
export async function requestFromCheckpoint<P extends Preset, R extends RunSettings>(
  find: (name: string) => P,
  words: ReturnType<typeof wordsOf>,
  values: RunOptionValues & { readonly checkpoint?: string },
  completed: (preset: P, checkpoint: string, fields: readonly string[]) => Promise<R>,
): Promise<RunRequest<R>> {
  const preset = find(words.name);
  const { checkpoint, resume } = values;
  if (resume && checkpoint !== undefined) {
    throw new UsageError("Option --checkpoint does not go with --resume: a run keeps its own");
  }
  if (!resume && !checkpoint) {
    throw new UsageError("Name the pretrained model: add --checkpoint FILE");
  }
  const known = resume
    ? await readRecipe<Preset>(
      await oldRunFolder(preset.name, values.out),
      find,
    ) as RunSettings as R
    : await completed(preset, checkpoint!, words.fields);
  if (words.isNamed && known.name !== preset.name) {
    throw new UsageError(`Cannot resume as ${preset.name}: the run is one of ${known.name}`);
  }
  return await requestRun(() => known, words, values);
}

/**
 * Parameters to begin with: those of the pretrained file; of a run that goes on from a checkpoint, any.
 *
 * @param initial What the file lacks.
 */
export async function loadInitial(
  { recipe, out, resume }: RunRequest<RunSettings & { readonly pretrained: string }>,
  settings: ClassifierSettings<EncoderSettings | VideoEncoderSettings>,
  initial: ClassifierParams,
): Promise<ClassifierParams> {
  if (resume && await hasCheckpoint(out)) return initial;
  const match = await loadClassifier(recipe.pretrained, settings, initial);
  console.error(`${recipe.pretrained}: ${describeMatch(match)}\n`);
  return match.params;
}

/**
 * A preset with what a checkpoint tells: the model's sizes, and its images' mean and deviation.
 *
 * @throws {UsageError} If there is no such file, or its model is one of clips.
 */
export async function complete<P extends Preset>(
  preset: P,
  checkpoint: string,
  fields: readonly string[] = [],
): Promise<Completed<P>> {
  const { settings, mean, std } = await inspect(checkpoint, fields);
  if ("frames" in settings) throw wrongKind(preset, checkpoint, "clips", "images");
  const { channels } = settings;
  const usual = channels === 3 ? preset.data : {
    mean: Array<number>(channels).fill(0.5),
    std: Array<number>(channels).fill(0.25),
  };
  return {
    ...preset,
    pretrained: checkpoint,
    model: { ...settings, ...preset.model },
    data: { ...preset.data, mean: mean ?? usual.mean, std: std ?? usual.std },
  };
}

/** What a checkpoint tells; where it does not, fields of the model may. */
export async function inspect(
  checkpoint: string,
  fields: readonly string[],
): ReturnType<typeof inspectPretrained> {
  const { isFile } = await Deno.stat(checkpoint).catch(() => ({ isFile: false }));
  if (!isFile) throw new UsageError(`Cannot read ${checkpoint}: no such file`);
  const given = (name: string) =>
    fields.findLast((field) => field.startsWith(`model.${name}=`))?.split("=")[1];
  const [heads, frames] = [given("heads"), given("frames")];
  const [height, width] = given("imageSize")?.split(",").map(Number) ?? [];
  return await inspectPretrained(checkpoint, {
    ...(heads && { heads: Number(heads) }),
    ...(frames && { frames: Number(frames) }),
    ...(height && width && { imageSize: [height, width] as const }),
    decoderHeads: 1, // no matter to an encoder
  });
}

/** Says that a recipe is not for such a model. */
export function wrongKind(
  { name }: Preset,
  checkpoint: string,
  kind: string,
  wanted: string,
): UsageError {
  return new UsageError(
    `Cannot use ${checkpoint} with the recipe ${name}: it is a model of ${kind}, not of ${wanted}`,
  );
}
