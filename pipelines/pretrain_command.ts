/**
 * `deno task pretrain`: from arguments to a finished run.
 *
 * @module
 */
import { openDevice } from "../src/device.ts";
import { describeModel } from "./checkpoints.ts";
import { openImages } from "./images.ts";
import { preparePanels } from "./panels.ts";
import { pretrainTask } from "./pretrain.ts";
import { BUNDLED, checkContinues, type Recipe, validate } from "./recipe.ts";
import { findRecipe, recipes } from "./recipes/mod.ts";
import { FILES } from "./run_folder.ts";
import {
  checkPlaces,
  openNotes,
  requestRun,
  RUN_OPTIONS,
  type RunRequest,
  runTraining,
  wordsOf,
} from "./training_command.ts";
import { parseWords, UsageError } from "./usage.ts";
import { prepareValidation } from "./validation.ts";

const HELP = `Pretrain a masked autoencoder on images.

  deno task pretrain [recipe] [options] [field.path=value …]

With nothing else, it trains a tiny MCMAE on the photos that come with the project.

Recipes:
${recipes.map(({ name, source }) => `  ${name.padEnd(18)}${source}`).join("\n")}

Options:
  --data DIR     Your images: a folder (of classes, of train/ and val/, or neither), a list file,
                 tar shards or IDX files
  --out DIR      Where to write (default runs/<recipe>, then runs/<recipe>-2, …)
  --steps N      Stop after N optimizer steps
  --seed N       Another draw of parameters, crops and masks
  --resume       Continue the run in --out (default: the recipe's latest)
  --profile N    Time N steps by stage and op, and print where the time goes
  --dense        Compute stages 1 and 2 on whole images; same numbers, more work
  --help

Fields of the recipe, for example:
  batch.micro=8 batch.effective=64   Images the device holds at once; images an update
                                     (batch.micro alone sets both: no accumulation)
  model.imageSize=160,224            Height and width, multiples of the stride: the product of patchSizes
  model.patchSizes=4,2,1             Smaller tokens for small images
  model.kernelSize=7                 Depthwise kernels of 5, 7 or 9 (Table 5)
  model.maskedConvolution=false      Ablations: also model.masking=token, model.multiScaleDecoder=false
  optimizer.blr=3e-4                 Rate at an effective batch of 256
  optimizer.rates=patch_embed*:0,blocks1.*:0.5
                                     Factors on the rate by parameter, the first match counts; 0 freezes
  optimizer.emaDecay=0.999           Keep a moving average of the parameters too
  checkpoint.every=50                Optimizer steps between two checkpoints (the last
                                     checkpoint.keep=2 and the best are kept)
  report.every=500                   Optimizer steps between two reports
  faults.policy=rewind               At a loss that is not finite: stop, skip or rewind
  data.valShare=0.05                 Hold images out to validate on (or data.valPath=DIR)
  data.cache=DIR data.cacheSide=256  Keep decoded, smaller images

Examples:
  deno task pretrain
  deno task pretrain mcmae_small --data ~/images batch.micro=16 batch.effective=256
  deno task pretrain --resume schedule.epochs=72`;

/**
 * Runs the command.
 *
 * @returns The exit code.
 */
export async function pretrainCommand(args: readonly string[]): Promise<number> {
  const request = await parse(args);
  if (!request) {
    console.log(HELP);
    return 0;
  }
  const { recipe, base, out, resume } = request;
  if (resume) checkContinues(base, recipe);
  const images = await openImages(recipe.data); // looks for mistakes before the device
  const { train, val = train } = images;
  const device = await openDevice();
  const notes = await openNotes(request);
  const { model, data } = recipe;
  return await runTraining({
    ...{ command: "pretrain", request, images, device, notes, imageSize: model.imageSize },
    task: pretrainTask(recipe, train, notes.onBatch),
    model: describeModel(model, data),
    async watch({ params }) {
      const panels = await preparePanels(device, recipe, params, val, out, notes.onBad);
      const validate = images.val &&
        await prepareValidation(device, recipe, params, val, notes.onBad);
      return { draw: panels.draw, validate, destroy: () => panels.destroy() };
    },
    files: [[FILES.picture, "original, masked, reconstructed"]],
    next: () => {
      if (data.path === BUNDLED) return "deno task pretrain --data DIR   (your own images)";
      const more = recipe.schedule.steps === null ? "schedule.epochs=N" : "--steps N";
      return `deno task pretrain --resume --out ${out} ${more}   (train on)`;
    },
  });
}

async function parse(args: readonly string[]): Promise<RunRequest<Recipe> | undefined> {
  const { values, positionals } = parseWords(
    args,
    { ...RUN_OPTIONS, dense: { type: "boolean" } },
    "see deno task pretrain --help",
  );
  if (values.help) return undefined;
  const words = wordsOf(positionals, "quickstart");
  const dense = values.dense ? ["model.evaluation=dense"] : [];
  if (values.dense && findRecipe(words.name).model.kind !== "mcmae") {
    throw new UsageError(
      `Option --dense is for MCMAE recipes: ${words.name} has no stages 1 and 2`,
    );
  }
  const fields = [...dense, ...words.fields];
  const request = await requestRun(findRecipe, { ...words, fields }, values);
  validate(request.recipe);
  checkPlaces(request);
  return request;
}
