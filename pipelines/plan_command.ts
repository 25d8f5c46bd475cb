/**
 * `deno task plan`: what a recipe's training step takes, before anything is opened.
 *
 * @module
 */
import type { Adapter } from "../src/device.ts";
import type { Cost } from "../src/plan/cost.ts";
import { type Binding, LimitError } from "../src/plan/limits.ts";
import { type AnyRecipe, blankTask } from "./blank_task.ts";
import { completeDetect, isOfThings, validateDetect } from "./detect/recipe.ts";
import { validateFinetune } from "./finetune_recipe.ts";
import { complete } from "./from_checkpoint.ts";
import { override, type RunSettings, validate } from "./recipe.ts";
import { findModelRecipe } from "./recipes/mod.ts";
import { completeSegment, isOfMasks, validateSegment } from "./segment/recipe.ts";
import { NEEDED } from "./setup.ts";
import { planStep, type StepPlan } from "./step_plan.ts";
import { table } from "./table.ts";
import { wordsOf } from "./training_command.ts";
import { parseWords, UsageError } from "./usage.ts";
import { completeClips, isOfClips, validateVideoFinetune } from "./video/finetune_recipe.ts";
import { isVideo, validateVideo } from "./video/recipe.ts";

const HELP =
  `Tell what a training step takes, without a device: parameters, dispatches, memory, arithmetic.

  deno task plan [recipe] [options] [field.path=value …]

The step is planned as in training, from shapes alone, with memory.recompute=none and =blocks: the
latter keeps the inputs of blocks alone and computes each block again for its gradient.

GFLOP are 10^9 sums, products and functions (a matmul's are 2 M N K); a depthwise convolution over
visible blocks alone has all taps of its visible cells. GiB moved are those of every launch's
operands, each once. Both are of a whole step: all micro-batches, forward, backward, and the update.

Recipes: those of pretrain (default quickstart), and those of finetune with a checkpoint.

Options:
  --limit BYTES  Largest tensor that the adapter binds (default ${NEEDED.maxStorageBufferBindingSize}: 128 MiB, what WebGPU
                 guarantees; deno task doctor tells an adapter's own). A micro-batch that exceeds it
                 is trained in parts
  --checkpoint F The pretrained model of a recipe of finetune
  --classes N    Classes to tell apart (default 1000; of pixels 150, of things 80)
  --json         Everything, for programs: one object as the last line
  --help

Examples:
  deno task plan mcmae_base batch.micro=64
  deno task plan videomcmae_base_k400 batch.micro=4 --limit 2147483647`;

/** A step in both ways, as `--json` gives it. */
interface Plans {
  readonly recipe: string;
  readonly batch: RunSettings["batch"];
  readonly limit: number;
  /** What the recipe does. */
  readonly recompute: "none" | "blocks";
  readonly none: StepPlan | { readonly refused: string };
  readonly blocks: StepPlan | { readonly refused: string };
}

/**
 * Plans and prints.
 *
 * @returns The exit code: 1 where the adapter cannot take the recipe either way.
 * @throws {UsageError} If the arguments make no sense.
 */
export async function planCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseWords(args, {
    limit: { type: "string" },
    checkpoint: { type: "string" },
    classes: { type: "string" },
    json: { type: "boolean" },
  }, "see deno task plan --help");
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const number = (name: "limit" | "classes", standard: number) => {
    const value = values[name] === undefined ? standard : Number(values[name]);
    if (Number.isSafeInteger(value) && value > 0) return value;
    throw new UsageError(`Option --${name} expects a positive integer, got ${values[name]}`);
  };
  const limit = number("limit", NEEDED.maxStorageBufferBindingSize);
  const recipe = await recipeOf(positionals, values.checkpoint);
  const classes = number("classes", usualClasses(recipe));
  const adapter: Adapter = {
    name: "the adapter",
    target: { cpu: false, broadcast: false },
    limits: {
      bindingBytes: limit,
      bindings: NEEDED.maxStorageBuffersPerShaderStage,
      workgroups: 65535, // what WebGPU guarantees
    },
  };
  const plan = async (recompute: boolean) => {
    try {
      return await planStep(adapter, { ...blankTask(recipe, classes), recompute });
    } catch (error) {
      if (error instanceof LimitError) return { refused: error.message };
      throw error;
    }
  };
  const { name, batch, memory: { recompute } } = recipe;
  const plans: Plans = {
    ...{ recipe: name, batch, limit, recompute },
    none: await plan(false),
    blocks: await plan(true),
  };
  console.log(textOf(plans));
  if (values.json) console.log(JSON.stringify(plans));
  return "refused" in plans[recompute] ? 1 : 0;
}

/** As many as ADE20K, COCO and ImageNet have. */
function usualClasses(recipe: AnyRecipe): number {
  if (isOfMasks(recipe)) return 150;
  return isOfThings(recipe) ? 80 : 1000;
}

/** @throws {UsageError} If there is no such recipe or field, or a value does not fit. */
async function recipeOf(
  positionals: readonly string[],
  checkpoint: string | undefined,
): Promise<AnyRecipe> {
  const { name, fields } = wordsOf(positionals, "quickstart");
  const found = findModelRecipe(name);
  if ("maskRatio" in found) {
    if (checkpoint !== undefined) {
      throw new UsageError(`Option --checkpoint is for recipes of finetune: ${name} is none`);
    }
    return isVideo(found)
      ? checked(override(found, fields), validateVideo)
      : checked(override(found, fields), validate);
  }
  if (checkpoint === undefined) {
    throw new UsageError("Name the pretrained model: add --checkpoint FILE");
  }
  if (isOfMasks(found)) {
    const recipe = override(await completeSegment(found, checkpoint, fields), fields);
    return checked(recipe, validateSegment);
  }
  if (isOfThings(found)) {
    const recipe = override(await completeDetect(found, checkpoint, fields), fields);
    return checked(recipe, validateDetect);
  }
  return isOfClips(found)
    ? checked(
      override(await completeClips(found, checkpoint, fields), fields),
      validateVideoFinetune,
    )
    : checked(override(await complete(found, checkpoint, fields), fields), validateFinetune);
}

/** Checks a recipe as its command does, but for where its data lie, which no plan needs. */
function checked<R extends AnyRecipe>(recipe: R, check: (recipe: R) => void): R {
  check({ ...recipe, data: { ...recipe.data, path: recipe.data.path ?? "any" } });
  return recipe;
}

const count = new Intl.NumberFormat("en");
const decimal = new Intl.NumberFormat("en", {
  minimumFractionDigits: 1,
  maximumFractionDigits: 1,
});
const gigaflop = ({ flops }: Cost) => decimal.format(flops / 1e9);
const gibibytes = ({ bytes }: Cost) => decimal.format(bytes / 2 ** 30);
const mebibytes = (bytes: number) => `${count.format(Math.ceil(bytes / 2 ** 20))} MiB`;

/** A plan in words: a column for each way that the adapter can take. */
function textOf({ recipe, batch: { micro, effective }, recompute, ...both }: Plans): string {
  const plans: [way: string, plan: StepPlan][] = [];
  const refusals = new Set<string>();
  for (const way of ["none", "blocks"] as const) {
    const plan = both[way];
    if ("refused" in plan) refusals.add(plan.refused);
    else plans.push([way, plan]);
  }
  const steps = effective / micro;
  const lines = [
    `${recipe}, memory.recompute=${recompute}`,
    `batch: ${effective} effective = ${micro} × ${steps} micro-batch${steps === 1 ? "" : "es"}`,
    ...refusals,
  ];
  if (plans.length === 0) return lines.join("\n");
  const [[, { parameters: { trained, frozen } }]] = plans;
  lines.push(`parameters: ${count.format(trained)} trained, ${count.format(frozen)} frozen`);
  lines.push(...new Set(plans.flatMap(([, { notice }]) => notice ?? [])));
  const row = (name: string, figure: (plan: StepPlan) => string) => [
    name,
    ...plans.map(([, plan]) => figure(plan)),
  ];
  const figures = [
    ["memory.recompute", ...plans.map(([way]) => way)],
    row("dispatches a step", ({ dispatches }) => count.format(dispatches)),
    row("parameters", ({ bytes }) => mebibytes(bytes.parameters)),
    row("gradients", ({ bytes }) => mebibytes(bytes.gradients)),
    row("optimizer state", ({ bytes }) => mebibytes(bytes.state)),
    ...plans[0][1].bytes.average > 0
      ? [row("moving average", ({ bytes }) => mebibytes(bytes.average))]
      : [],
    row("batch and constants", ({ bytes }) => mebibytes(bytes.other)),
    row("values between, in slots", ({ bytes }) => mebibytes(bytes.slots)),
    row("  alive at once, at most", ({ liveBytes }) => mebibytes(liveBytes)),
    row("peak", ({ peakBytes }) => mebibytes(peakBytes)),
    row("  over the least there can be", ({ ratio }) => ratio.toFixed(3)),
    row("largest tensor", ({ largest }) => mebibytes(largest.bytes)),
    row("GFLOP a step", ({ cost }) => gigaflop(cost)),
    row("  a sample", ({ cost }) => decimal.format(cost.flops / 1e9 / effective)),
    row("GiB moved a step", ({ cost }) => gibibytes(cost)),
  ];
  const stages = new Set(plans.flatMap(([, plan]) => plan.stages.map(({ stage }) => stage)));
  const families = new Set(plans.flatMap(([, plan]) => plan.families.map(({ family }) => family)));
  const tables = [
    figures,
    stageRows(plans, stages),
    costRows(
      "stage",
      plans,
      stages,
      ({ stages }, name) => stages.find(({ stage }) => stage === name)?.cost,
    ),
    costRows(
      "family",
      plans,
      families,
      ({ families }, name) => families.find(({ family }) => family === name),
    ),
  ];
  return [...lines, ...tables.flatMap((rows) => ["", ...table(rows)])].join("\n");
}

type Ways = readonly (readonly [way: string, plan: StepPlan])[];

/** Arithmetic and bytes moved, by parts that have both names and costs. */
function costRows(
  part: string,
  plans: Ways,
  names: ReadonlySet<string>,
  costOf: (plan: StepPlan, name: string) => Cost | undefined,
): string[][] {
  const rows = [...names].flatMap((name) => {
    const costs = plans.map(([, plan]) => costOf(plan, name) ?? { flops: 0, bytes: 0 });
    if (costs.every(({ bytes }) => bytes === 0)) return [];
    return [[name, ...costs.map(gigaflop), ...costs.map(gibibytes)]];
  });
  const heads = ["GFLOP", "GiB"].flatMap((unit) => plans.map(([way]) => `${unit}, ${way}`));
  return [[part, ...heads], ...rows];
}

/** What each stage takes. */
function stageRows(plans: Ways, names: ReadonlySet<string>): string[][] {
  const tensor = (binding?: Binding) =>
    binding ? `${binding.name} [${binding.shape}] ${mebibytes(binding.bytes)}` : "";
  const rows = [...names].map((name) => {
    const own = plans.map(([, { stages }]) => stages.find(({ stage }) => stage === name));
    return [
      name || "arguments",
      ...own.map((stage) => stage ? mebibytes(stage.liveBytes) : ""),
      tensor(own.at(-1)?.largest),
    ];
  });
  return [["stage", ...plans.map(([way]) => `alive, ${way}`), "largest tensor"], ...rows];
}
