/**
 * `deno task finetune`, of a recipe of detection.
 *
 * @module
 */
import type { ThingPicture } from "../../data/things/evaluation_loader.ts";
import { withThings } from "../../data/things/source.ts";
import { type Device, openDevice } from "../../src/device.ts";
import { describeMatch } from "../../src/match_weights.ts";
import { isRunning } from "../../src/models/batch_norm.ts";
import type { MaskRcnnParams, MaskRcnnSettings } from "../../src/models/mask_rcnn.ts";
import type { Params } from "../../src/optim.ts";
import { loadDetectionEncoder } from "../../src/pretrained.ts";
import type { DetectorFacts } from "../../src/pretrained_detector.ts";
import { sizeOf, type Tensor } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";
import { describeModel, hasCheckpoint, type ModelMetadata } from "../checkpoints.ts";
import { SCENES } from "../recipe.ts";
import { FILES } from "../run_folder.ts";
import { openNotes, type RunRequest, runTraining } from "../training_command.ts";
import { measureDetection, truthOf } from "./accuracy.ts";
import { figuresOf } from "./coco_figures.ts";
import { imagesOf, openThings, type ThingSplits } from "./data.ts";
import { detectTask, initialDetector } from "./finetune.ts";
import { detectPanels } from "./panels.ts";
import { prepareDetector } from "./predict.ts";
import {
  detectorOf,
  type DetectRecipe,
  evaluationRuleOf,
  scaleOf,
  validateDetect,
} from "./recipe.ts";

/**
 * Fine-tunes on images with annotated things.
 *
 * @param request Checked.
 * @returns The exit code.
 */
export async function finetuneDetector(request: RunRequest<DetectRecipe>): Promise<number> {
  const { recipe, out } = request;
  const { data, model: { imageSize, channels } } = recipe;
  validateDetect(recipe);
  const things = await openThings(data);
  const { train, val, classNames } = things;
  const settings = detectorOf(recipe, classNames.length);
  const params = await loadInitial(request, settings);
  const device = await openDevice();
  const notes = await openNotes(request);
  const reader = {
    ...{ channels, mean: data.mean, std: data.std, workers: data.workers, maxBad: data.maxBad },
    scale: scaleOf(data, imageSize),
  };
  return await runTraining({
    ...{ command: "finetune", request, images: imagesOf(things), device, notes, imageSize },
    task: detectTask(recipe, params, {
      ...{ source: train, classes: classNames.length, onBatch: notes.onBatch },
    }),
    model: describeDetector(recipe, settings, classNames),
    facts: {
      pretrained: recipe.pretrained,
      classes: String(classNames.length),
      model: parametersText(params, recipe),
    },
    watch: (trainer) =>
      watch(device, things, {
        ...{ recipe, settings, reader, out, params: trainer.params as unknown as MaskRcnnParams },
        onPicture: notes.onBatch,
      }),
    files: [[FILES.overlays, "images, what is annotated, and what the model finds"]],
    next: () => {
      const where = data.valPath ?? data.path;
      const best = `${out}/${val ? FILES.best : FILES.checkpoint}`;
      return `deno task eval detect --checkpoint ${best} --data ${where ?? SCENES}`;
    },
  });
}

type Reader = Omit<Parameters<typeof measureDetection>[2], "source">;

interface Watched {
  readonly recipe: DetectRecipe;
  readonly settings: MaskRcnnSettings;
  readonly params: MaskRcnnParams;
  readonly reader: Reader;
  readonly out: string;
  readonly onPicture: (picture: ThingPicture) => void;
}

async function watch(
  device: Device,
  { train, val, classNames }: ThingSplits,
  { recipe, settings, params, reader, out, onPicture }: Watched,
) {
  const { model: { imageSize }, sampling, report } = recipe;
  const rule = evaluationRuleOf(sampling);
  const detector = await prepareDetector(device, settings, params, imageSize, rule);
  const shown = withThings(val ?? train);
  const panels = await detectPanels(detector, shown, reader, report.images, classNames, out);
  const known = val && truthOf(val);
  return {
    draw: panels.draw,
    ...val && {
      async validate() {
        const { bbox, segm } = await measureDetection(detector, val, reader, known, onPicture);
        const [box, mask] = [bbox, segm].map((evaluation) => figuresOf(evaluation));
        const share = (value: number) => Math.max(0, value);
        return {
          ...{ val_box_ap: share(box.AP), val_mask_ap: share(mask.AP) },
          ...{ val_box_ap50: share(box.AP50), val_mask_ap50: share(mask.AP50) },
        };
      },
    },
    destroy: () => detector.destroy(),
  };
}

/** What files of the model say of it. */
function describeDetector(
  { data: { mean, std, jitter, shorter, longer }, sampling }: DetectRecipe,
  { backbone }: MaskRcnnSettings,
  classNames: readonly string[],
): ModelMetadata {
  const facts: DetectorFacts = {
    ...{ imageSize: backbone.imageSize, globalBlocks: backbone.globalBlocks },
    shift: backbone.kind === "windowed" && backbone.shift,
    shorter: jitter ? null : shorter.at(-1)!,
    ...{ longer, before: sampling.before, after: sampling.after },
  };
  return {
    ...describeModel(backbone.encoder, { mean, std }, classNames),
    detector: JSON.stringify(facts),
  };
}

/** Parameters to begin with: the encoder's of the pretrained file; of a run that goes on, any. */
async function loadInitial(
  { recipe, out, resume }: RunRequest<DetectRecipe>,
  settings: MaskRcnnSettings,
): Promise<MaskRcnnParams> {
  const initial = initialDetector(recipe, settings);
  if (resume && await hasCheckpoint(out)) return initial;
  const { backbone } = initial;
  const [name, encoder] = "bottom_up" in backbone
    ? ["bottom_up", backbone.bottom_up] as const
    : ["net", backbone.net] as const;
  const match = await loadDetectionEncoder(
    recipe.pretrained,
    settings.backbone.encoder,
    encoder as Params,
  );
  console.error(`${recipe.pretrained}: ${describeMatch(match)}\n`);
  return { ...initial, backbone: { ...backbone, [name]: match.params } as typeof backbone };
}

/** Parameters of the whole model and of its parts, in millions, beside the paper's. */
export function parametersText(
  { backbone, proposal_generator, roi_heads }: MaskRcnnParams,
  { published }: Pick<DetectRecipe, "published">,
): string {
  const millions = (tree: unknown) =>
    entries<Tensor>(tree as Params).filter(([path]) => !isRunning(path))
      .reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0) / 1e6;
  const text = (value: number) => value.toFixed(value < 10 ? 2 : 1);
  const parts = { backbone, "region proposals": proposal_generator, heads: roi_heads };
  const list = Object.entries(parts).map(([name, tree]) => `${text(millions(tree))} ${name}`);
  return `${text(millions(parts))} M parameters: ${list.join(", ")}` +
    (published ? `; the paper says ${published.parameters} M` : "");
}
