/** Which golden cases are implemented, and by what. */
import { checkImagePreprocess } from "./images.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { checkAdamWLayerDecay } from "./adamw.ts";
import { checkBlockUnits } from "./blocks.ts";
import type { TensorCheck } from "./check.ts";
import { checkCheckpoint } from "./checkpoint.ts";
import { checkFinetuneConvVit } from "./classifier.ts";
import { checkCocoEval } from "./coco.ts";
import { checkDetectionOps } from "./detection.ts";
import { checkVitdetBackbone, checkWindowedBackbone } from "./detection_backbone.ts";
import type { Fixture } from "./fixture.ts";
import { checkMaeVit } from "./mae.ts";
import { checkPretrainMcmae } from "./mcmae.ts";
import { checkMixupCutmix } from "./mixup.ts";
import { checkLars, checkLinprobe } from "./probe.ts";
import { checkRandAugment } from "./rand_augment.ts";
import { checkResample } from "./resample.ts";
import {
  checkSegBackbone,
  checkSegMetrics,
  checkSegSlide,
  checkSegUpernet,
} from "./segmentation.ts";
import { checkPretrainSteps } from "./steps.ts";
import { checkLrSchedule, checkPosEmbed } from "./tables.ts";
import { checkVideoMae, checkVideoMaeFinetune } from "./videomae.ts";
import { checkVideoMcmae, checkVideoMcmaeFinetune } from "./videomcmae.ts";

/** An implemented kind of golden file. */
export interface Case {
  readonly check: (fixture: Fixture) => Iterable<TensorCheck> | AsyncIterable<TensorCheck>;
}

/** Cases by the beginning of their names: `pretrain_mcmae` stands for `pretrain_mcmae_a` too. */
const CASES: Readonly<Record<string, Case>> = {
  adamw_layer_decay: { check: checkAdamWLayerDecay },
  block_units: { check: checkBlockUnits },
  checkpoint: { check: checkCheckpoint },
  coco_eval: { check: checkCocoEval },
  detection_ops: { check: checkDetectionOps },
  det_backbone_vitdet: { check: checkVitdetBackbone },
  det_backbone_windowed: { check: checkWindowedBackbone },
  finetune_convvit: { check: checkFinetuneConvVit },
  image_preprocess: { check: ({ dir }) => checkImagePreprocess(dir) },
  lars: { check: checkLars },
  linprobe: { check: checkLinprobe },
  lr_schedule: { check: ({ file }) => checkLrSchedule(file) },
  mae_vit: { check: checkMaeVit },
  mixup_cutmix: { check: checkMixupCutmix },
  pos_embed: {
    check: async function* (fixture) {
      yield* checkPosEmbed(fixture.file);
      yield* checkResample(fixture);
    },
  },
  pretrain_mcmae: { check: checkPretrainMcmae },
  pretrain_steps: { check: checkPretrainSteps },
  rand_augment: { check: ({ file }) => checkRandAugment(file) },
  seg_backbone: { check: checkSegBackbone },
  seg_metrics: { check: ({ file }) => checkSegMetrics(file) },
  seg_slide: { check: checkSegSlide },
  seg_upernet: { check: checkSegUpernet },
  // Longer names first: a name begins with its kind.
  videomae_finetune: { check: checkVideoMaeFinetune },
  videomae: { check: checkVideoMae },
  videomcmae_finetune: { check: checkVideoMcmaeFinetune },
  videomcmae: { check: checkVideoMcmae },
};

/** The implementation of a case, by its name or by what the file calls itself. */
export function caseOf(name: string, { metadata }: Safetensors): Case | undefined {
  const kind = [name, metadata.case].map((text) =>
    Object.keys(CASES).find((kind) => text === kind || text?.startsWith(`${kind}_`))
  ).find((kind) => kind !== undefined);
  return kind === undefined ? undefined : CASES[kind];
}

/** Names of the values that a file expects: `out.…`, `….out…`, `grad.…`, `….grad.…`, `….grad_in`. */
export function expectedTensors({ tensors }: Safetensors): string[] {
  return [...tensors.keys()].filter((name) => /(^|\.)(out\d*|grad|grad_in)([._]|$)/.test(name));
}
