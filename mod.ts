/**
 * mcmae: masked autoencoders that train on any GPU, without Python or CUDA.
 *
 * Tensors and ops with gradients, compiled to WebGPU plans; MCMAE (arXiv:2205.03892) and MAE;
 * optimizers; data loading in workers; and the training loop behind `deno task pretrain`.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { compile, grad, openDevice, read, square, sum, tensor } from "@mcmae/mcmae";
 *
 * const device = await openDevice();
 * const plan = await compile(device, ({ x }) => grad(sum(square(x)), { x }), { x: tensor([1, 2]) });
 * const { x } = plan.run({ x: tensor([3, 4]) });
 * assert.deepEqual([...await read(device, x)], [6, 8]);
 * ```
 *
 * @module
 */

// Tensors, trees, random numbers
export * from "./src/tensor.ts";
export * as tree from "./src/tree.ts";
export type { Tree } from "./src/tree.ts";
export * as random from "./src/random.ts";

// Ops and gradients
export * from "./src/ops/attention.ts";
export * from "./src/ops/batch_norm.ts";
export { binaryCrossEntropy } from "./src/ops/binary_cross_entropy.ts";
export { convolution, type ConvolutionOptions } from "./src/ops/convolution.ts";
export { crossEntropy, labelCrossEntropy } from "./src/ops/cross_entropy.ts";
export * from "./src/ops/depthwise.ts";
export * from "./src/ops/drop_path.ts";
export * from "./src/ops/gather.ts";
export * from "./src/ops/layer_norm.ts";
export * from "./src/ops/map.ts";
export { onHost } from "./src/ops/host.ts";
export { linear, matmul } from "./src/ops/matmul.ts";
export { maxPool } from "./src/ops/max_pool.ts";
export { pick } from "./src/ops/pick.ts";
export * from "./src/ops/reduce.ts";
export { axisBias, relativeBias } from "./src/ops/relative_bias.ts";
export type { ScoreBias } from "./src/ops/score_bias.ts";
export { adaptiveAveragePool, resizeBicubic, resizeBilinear } from "./src/ops/resample.ts";
export { roiAlign, type RoiAlignOptions } from "./src/ops/roi_align.ts";
export * from "./src/ops/shape.ts";
export { transposedConvolution } from "./src/ops/transposed_convolution.ts";
export { grad } from "./src/grad.ts";
export { recompute } from "./src/recompute.ts";
export { inStage, type Op } from "./src/op.ts";

// Devices and plans
export { type Device, DeviceError, type DeviceOptions, openDevice } from "./src/device.ts";
export { compile, type CompileOptions, type Plan } from "./src/plan/plan.ts";
export type { Location, Timing } from "./src/plan/launch.ts";
export * from "./src/plan/read.ts";

// Models and their parameters
export { type Autoencoder, autoencoder } from "./src/models/autoencoder.ts";
export { backboneMaps, type BackboneParams, type BackboneSettings } from "./src/models/backbone.ts";
export * from "./src/models/classifier.ts";
export * from "./src/models/clips.ts";
export * from "./src/models/decoder.ts";
export * from "./src/models/encoder.ts";
export * from "./src/models/infer.ts";
export * from "./src/models/infer_video.ts";
export * from "./src/models/linear_probe.ts";
export * from "./src/models/mae.ts";
export * from "./src/models/mcmae.ts";
export * from "./src/models/mcmae_stages.ts";
export * from "./src/models/patches.ts";
export {
  drawsOf,
  initSegmenter,
  segment,
  segmenterLosses,
  segmenterMaps,
  type SegmenterParams,
  segmenterScores,
  type SegmenterSettings,
} from "./src/models/segmenter.ts";
export {
  detectThings,
  initMaskRcnn,
  maskRcnnLosses,
  maskRcnnMaps,
  type MaskRcnnParams,
  type MaskRcnnSettings,
} from "./src/models/mask_rcnn.ts";
export * from "./src/models/transformer.ts";
export * from "./src/models/videomae.ts";
export * from "./src/models/videomcmae.ts";
export * from "./src/init.ts";

// Optimizers, schedules, files
export * from "./src/optim.ts";
export * from "./src/lars.ts";
export { factorOf, type Rule, type Rules } from "./src/rules.ts";
export * from "./src/schedule.ts";
export * from "./src/checkpoint.ts";
export * from "./src/match_weights.ts";
export { type Grid, interpolatePositions } from "./src/pos_embed.ts";
export {
  inspectPretrained,
  loadClassifier,
  loadPretrained,
  loadPretrainedVideo,
  type Pretrained,
  type PretrainedOptions,
} from "./src/pretrained.ts";
export {
  loadSegmenter,
  type MaskFacts,
  type PretrainedSegmenter,
} from "./src/pretrained_segmenter.ts";
export {
  type DetectorFacts,
  loadDetector,
  type PretrainedDetector,
} from "./src/pretrained_detector.ts";
export { openWeights, type Weight, type WeightFile } from "./src/weights.ts";
export { openTorch, RefusedError, type TorchFile, TorchTensor } from "./src/torch_file.ts";
export { loadSafetensors, type Safetensors, writeSafetensors } from "./src/safetensors.ts";

// Data
export { DataError, type Dataset, type ImageFolder, imageFolder } from "./data/dataset.ts";
export type { Augment } from "./data/appearance.ts";
export { colorJitter } from "./data/color_jitter.ts";
export { decodeImage } from "./data/decode.ts";
export {
  type EvaluationCrop,
  type EvaluationOptions,
  loadInOrder,
} from "./data/evaluation_loader.ts";
export { findImages, type Found } from "./data/find.ts";
export { idxImages, idxLabels } from "./data/idx.ts";
export { type ImageBatch, type ImageSource, loadBatches, type LoadOptions } from "./data/loader.ts";
export {
  type ClipTokens,
  type Mask,
  maskFromNoise,
  randomMask,
  spaceTimeMask,
  tubeMask,
  tubeMaskFromNoise,
} from "./data/mask.ts";
export {
  type BatchShape,
  drawMixes,
  type Mix,
  mixImages,
  mixTargets,
  type Mixup,
  softTargets,
} from "./data/mixup.ts";
export { sampleName } from "./data/place.ts";
export {
  fillOf,
  parseRandAugment,
  randAugment,
  type RandAugmentPolicy,
  type RandAugmentSettings,
} from "./data/rand_augment.ts";
export { type Erasing, randomErasing } from "./data/random_erasing.ts";
export { type Image, resize } from "./data/resize.ts";
export { openSource } from "./data/source.ts";
export { holdOut } from "./data/split.ts";
export { type ViewBatch, type ViewOptions } from "./data/views.ts";
export {
  evaluationCrop,
  IMAGENET_MEAN,
  IMAGENET_STD,
  normalise,
  randomResizedCropBox,
} from "./data/augment.ts";

// Clips
export type { Clip } from "./data/clips/clip.ts";
export { type ClipSource, findClips, type FindOptions } from "./data/clips/find.ts";
export { type ClipBatch, type ClipLoadOptions, loadClips } from "./data/clips/loader.ts";
export {
  type ClipEvaluationOptions,
  type ClipViewBatch,
  loadClipViews,
} from "./data/clips/evaluation_loader.ts";
export {
  type ClipIndices,
  type Sampling,
  testIndices,
  trainingIndices,
} from "./data/clips/sampling.ts";
export {
  DecoderError,
  type DecoderName,
  openVideo,
  readClip,
  type Video,
} from "./data/clips/video.ts";
export { type VideoModel, type VideoRecipe } from "./pipelines/video/recipe.ts";
export { videoTask } from "./pipelines/video/pretrain.ts";
export { type ClipSplits, openClips } from "./pipelines/video/clips.ts";
export { videoRecipes } from "./pipelines/recipes/video.ts";

// Images with masks
export { findMasks } from "./data/masks/find.ts";
export { decodeMask, type Mask as LabelMask } from "./data/masks/mask.ts";
export { loadMaskBatches, type MaskBatch, type MaskLoadOptions } from "./data/masks/loader.ts";
export {
  loadMasksInOrder,
  type MaskEvaluationOptions,
  type MaskPicture,
} from "./data/masks/evaluation_loader.ts";
export { type MaskSplits, openMasks } from "./pipelines/segment/data.ts";
export { segmentStages, segmentTask } from "./pipelines/segment/finetune.ts";
export { SegmentationCount, type SegmentationFigures } from "./pipelines/segment/metrics.ts";
export { type Looking, type Predictor, preparePredictor } from "./pipelines/segment/predict.ts";
export { segmenterOf, type SegmentPreset, type SegmentRecipe } from "./pipelines/segment/recipe.ts";
export { segmentRecipes } from "./pipelines/recipes/segment.ts";

// Images with things
export { findThings, type FoundThings } from "./data/things/find.ts";
export { type Thing, type ThingSource } from "./data/things/source.ts";
export { loadThingBatches, type ThingBatch, type ThingLoadOptions } from "./data/things/loader.ts";
export {
  loadThingsInOrder,
  type ThingEvaluationOptions,
  type ThingPicture,
} from "./data/things/evaluation_loader.ts";
export { openThings, type ThingSplits } from "./pipelines/detect/data.ts";
export { detectStages, detectTask } from "./pipelines/detect/finetune.ts";
export { type Detector, type FoundThing, prepareDetector } from "./pipelines/detect/predict.ts";
export { detectorOf, type DetectPreset, type DetectRecipe } from "./pipelines/detect/recipe.ts";
export { evaluateCoco } from "./pipelines/detect/coco_evaluate.ts";
export { type CocoFigures, figuresOf } from "./pipelines/detect/coco_figures.ts";
export { detectRecipes } from "./pipelines/recipes/detect.ts";

// Pipelines
export { pipe, type Stage, stage } from "./pipelines/stage.ts";
export { prepare, type StepMetrics, type Task, type Trainer } from "./pipelines/train.ts";
export {
  type Embedded,
  type Embedding,
  type EmbeddingOptions,
  prepareEmbedding,
} from "./pipelines/embed.ts";
export {
  type Encoder,
  extractFeatures,
  type FeatureOptions,
  type Features,
  featuresIn,
} from "./pipelines/eval/features.ts";
export { type StoredFeatures, writeFeatures } from "./pipelines/eval/feature_file.ts";
export { knnAccuracy, type KnnOptions, type LabelledFeatures } from "./pipelines/eval/knn.ts";
export { type FinetuneStages, finetuneStages, finetuneTask } from "./pipelines/finetune.ts";
export {
  classifierOf,
  type FinetunePreset,
  type FinetuneRecipe,
  validateFinetune,
} from "./pipelines/finetune_recipe.ts";
export { type Inference, inferInOrder, prepareInference } from "./pipelines/inference.ts";
export { type LabelledImages, labelledImages } from "./pipelines/labelled.ts";
export { linprobeTask, probeFeatures } from "./pipelines/linprobe.ts";
export { fit, type FitOptions, type Fitted } from "./pipelines/fit.ts";
export { NonFiniteError } from "./pipelines/finite.ts";
export { initialParams, pretrainStages, pretrainTask } from "./pipelines/pretrain.ts";
export { type ImageSplits, openImages, photosFolder } from "./pipelines/images.ts";
export { reconstruct, writePicture } from "./pipelines/reconstruction.ts";
export { override, type Recipe, UsageError, validate } from "./pipelines/recipe.ts";
export {
  findFinetuneRecipe,
  findProbeRecipe,
  findRecipe,
  finetuneRecipes,
  probeRecipes,
  recipes,
} from "./pipelines/recipes/mod.ts";
