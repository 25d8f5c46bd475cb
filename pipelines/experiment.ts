/**
 * Several runs in one folder, to be compared: what is finished is not done again.
 *
 * @module
 */
import type { RunSettings } from "./recipe.ts";
import { exists, FILES, writeWhole } from "./run_folder.ts";
import { parseWords, UsageError } from "./usage.ts";

/** What an experiment is asked for. */
export interface Experiment {
  /** Folder of its runs. */
  readonly out: string;
  readonly seed: string;
  /** Its settings; runs of others must not share a folder. */
  readonly about: Readonly<Record<"seed" | "pretrainEpochs" | "finetuneEpochs", number>>;
  /** Options of the runs that pretrain and that fine-tune. */
  readonly pretraining: readonly string[];
  readonly finetuning: readonly string[];
}

/**
 * Reads the options of an experiment, and makes its folder.
 *
 * @param recipes Whose epochs hold where no others are given.
 * @returns Undefined if help is asked for.
 * @throws {UsageError} If they make no sense, or the folder holds runs of other settings.
 */
export async function openExperiment(
  name: string,
  args: readonly string[],
  recipes: Readonly<Record<"pretrain" | "finetune", Pick<RunSettings, "schedule">>>,
): Promise<Experiment | undefined> {
  const { values, positionals } = parseWords(args, {
    out: { type: "string", default: `runs/${name}` },
    seed: { type: "string", default: "0" },
    "pretrain-epochs": { type: "string" },
    "finetune-epochs": { type: "string" },
  }, `see deno task ${name} --help`);
  if (values.help) return undefined;
  if (positionals.length > 0) throw new UsageError(`Expected options only, got ${positionals[0]}`);
  const { out, seed } = values;
  if (!/^\d{1,9}$/.test(seed)) {
    throw new UsageError(`Option --seed expects an integer from 0 up, got ${seed}`);
  }
  for (const name of ["pretrain-epochs", "finetune-epochs"] as const) {
    if (values[name] === undefined || Number(values[name]) > 0) continue;
    throw new UsageError(`Option --${name} expects a positive number, got ${values[name]}`);
  }
  const epochs = (stage: "pretrain" | "finetune") =>
    Number(values[`${stage}-epochs`] ?? recipes[stage].schedule.epochs);
  const options = (stage: "pretrain" | "finetune") => {
    const given = values[`${stage}-epochs`];
    const fields = [`schedule.epochs=${given}`, "schedule.warmupEpochs=0"];
    return ["--seed", seed, ...given === undefined ? [] : fields];
  };
  const about = {
    seed: Number(seed),
    pretrainEpochs: epochs("pretrain"),
    finetuneEpochs: epochs("finetune"),
  };
  await checkSettings(out, JSON.stringify(about));
  return {
    ...{ out, seed, about },
    ...{ pretraining: options("pretrain"), finetuning: options("finetune") },
  };
}

/** @throws {UsageError} If a folder holds runs of other settings. */
async function checkSettings(out: string, about: string): Promise<void> {
  const path = `${out}/settings.json`;
  if (!await exists(path)) {
    await Deno.mkdir(out, { recursive: true });
    return await writeWhole(path, `${about}\n`);
  }
  const found = (await Deno.readTextFile(path)).trim();
  if (found === about) return;
  throw new UsageError(`Folder ${out} holds runs of other settings, ${found}: name another --out`);
}

/** Runs a training command in a folder, from its start or from where it stopped. */
export async function runOrResume(
  command: (args: readonly string[]) => Promise<number>,
  recipe: string,
  folder: string,
  options: readonly string[],
  fresh: readonly string[] = [],
): Promise<number> {
  const begun = await exists(`${folder}/${FILES.recipe}`);
  const where = ["--out", folder, ...options];
  return await command([recipe, ...(begun ? ["--resume"] : fresh), ...where]);
}
