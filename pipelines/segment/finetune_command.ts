/**
 * `deno task finetune`, of a recipe of segmentation.
 *
 * @module
 */
import { openDevice } from "../../src/device.ts";
import { describeMatch } from "../../src/match_weights.ts";
import { isRunning } from "../../src/models/batch_norm.ts";
import type { SegmenterParams, SegmenterSettings } from "../../src/models/segmenter.ts";
import type { Params } from "../../src/optim.ts";
import { loadBackbone } from "../../src/pretrained.ts";
import { sizeOf, type Tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { describeModel, hasCheckpoint, type ModelMetadata } from "../checkpoints.ts";
import { SCENES } from "../recipe.ts";
import { FILES } from "../run_folder.ts";
import { ofParts, openNotes, type RunRequest, runTraining } from "../training_command.ts";
import { measureSegmentation } from "./accuracy.ts";
import { imagesOf, openMasks } from "./data.ts";
import { initialSegmenter, segmentTask } from "./finetune.ts";
import { legendOf } from "./overlay.ts";
import { segmentPanels, spreadPairs } from "./panels.ts";
import { preparePredictor } from "./predict.ts";
import { overlapping } from "./slide.ts";
import { ruleOf, scaleOf, segmenterOf, type SegmentRecipe, validateSegment } from "./recipe.ts";

/**
 * Fine-tunes on images with masks.
 *
 * @param request Checked.
 * @returns The exit code.
 */
export async function finetuneSegmenter(request: RunRequest<SegmentRecipe>): Promise<number> {
  const { recipe, out } = request;
  const { data, model: { imageSize, channels } } = recipe;
  const masks = await openMasks(data);
  const { train, val, classes, classNames } = masks;
  validateSegment({ ...recipe, data: { ...data, classes } }); // no class is what is ignored
  const settings = segmenterOf(recipe, classes);
  const params = await loadInitial(request, settings);
  const device = await openDevice();
  const notes = await openNotes(request);
  const reader = {
    ...{ channels, mean: data.mean, std: data.std, workers: data.workers, maxBad: data.maxBad },
    ...{ rule: ruleOf(data, classes), scale: scaleOf(data.resize) },
  };
  return await runTraining({
    ...{ command: "finetune", request, images: imagesOf(masks), device, notes, imageSize },
    task: segmentTask(recipe, params, { source: train, classes, onBatch: notes.onBatch }),
    model: describeSegmenter(recipe, settings, classNames),
    facts: {
      pretrained: recipe.pretrained,
      classes: String(classes),
      model: parametersText(params, recipe),
    },
    async watch(trainer) {
      const { micro } = ofParts(recipe, trainer).batch;
      const predictor = preparePredictor(device, settings, trainer.params as SegmenterParams, {
        ...{ windows: overlapping(imageSize), flip: false, scales: [1], batch: Math.min(micro, 8) },
      });
      const legend = legendOf(classes, classNames);
      const shown = await spreadPairs(val ?? train, recipe.report.images, reader);
      const panels = segmentPanels(predictor, shown, data, legend, imageSize, out);
      return {
        draw: panels.draw,
        ...val && {
          async validate() {
            const count = await measureSegmentation(
              predictor,
              { ...reader, source: val },
              (picture) => notes.onBatch(picture),
            );
            const { mIoU, mAcc, aAcc } = count.figures();
            return { val_miou: mIoU, val_macc: mAcc, val_aacc: aAcc };
          },
        },
        destroy: () => predictor.destroy(),
      };
    },
    files: [[FILES.overlays, "images, their masks, and what the model makes of them"]],
    next: () => {
      const where = data.valPath ?? data.path;
      const share = data.valPath === null && data.valShare > 0
        ? ` data.valShare=${data.valShare}`
        : "";
      const best = `${out}/${val ? FILES.best : FILES.checkpoint}`;
      return `deno task eval segment --checkpoint ${best} --data ${where ?? SCENES}${share}`;
    },
  });
}

/** What files of the model say of it. */
function describeSegmenter(
  { data }: SegmentRecipe,
  { encoder }: SegmenterSettings,
  classNames?: readonly string[],
): ModelMetadata {
  const { ignoreIndex, reduceZeroLabel, resize: { long, short } } = data;
  return {
    ...describeModel(encoder, data, classNames),
    masks: JSON.stringify({ ignoreIndex, reduceZeroLabel, long, short }),
  };
}

/** Parameters to begin with: the encoder's of the pretrained file; of a run that goes on, any. */
async function loadInitial(
  { recipe, out, resume }: RunRequest<SegmentRecipe>,
  settings: SegmenterSettings,
): Promise<SegmenterParams> {
  const initial = initialSegmenter(recipe, settings);
  if (resume && await hasCheckpoint(out)) return initial;
  const match = await loadBackbone(recipe.pretrained, settings, initial.backbone);
  console.error(`${recipe.pretrained}: ${describeMatch(match)}\n`);
  return { ...initial, backbone: match.params };
}

/** Parameters of the whole model and of its parts, in millions, beside the paper's. */
function parametersText(params: SegmenterParams, { published }: SegmentRecipe): string {
  const millions = (tree: unknown) =>
    entries<Tensor>(tree as Params).filter(([path]) => !isRunning(path))
      .reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0) / 1e6;
  const text = (value: number) => value.toFixed(value < 10 ? 2 : 1);
  const { backbone: { fpn, ...encoder }, decode_head, auxiliary_head } = params;
  const parts = {
    ...{ encoder, UPerNet: decode_head },
    ...{ "its stride 32": fpn, "auxiliary head": auxiliary_head },
  };
  const list = Object.entries(parts).map(([name, tree]) => `${text(millions(tree))} ${name}`);
  const first = text(millions([encoder, decode_head]));
  return `${text(millions(params))} M parameters: ${list.join(", ")}` +
    (published ? `; the paper's ${published.parameters} M are the first two, here ${first}` : "");
}
