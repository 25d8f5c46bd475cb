/**
 * `deno task eval`: what a pretrained or fine-tuned model is worth.
 *
 * @module
 */
import { nearest, UsageError } from "./usage.ts";

const HELP = `Evaluate a pretrained or fine-tuned model.

  deno task eval TASK --checkpoint FILE --data DIR [options] [field=value …]
  deno task eval coco --gt FILE --dt FILE

Tasks:
  knn            Classify each validation image by its nearest training images: nothing is trained
  linprobe       Train one linear layer on frozen features: deno task eval linprobe --help
  classify       Accuracy of a fine-tuned model, and what it confuses
  video          The same of a model of clips, over several views of each video
  segment        Intersection over union of a segmenter, by class, and pictures of its masks
  detect         COCO's figures of a detector, and pictures of its boxes and masks
  coco           Average precision and recall of detections in COCO's format, of boxes and masks
  reconstruct    Picture of masked images and what a pretrained model makes of them
  features       Write features of all images: .safetensors for PyTorch, .npz for NumPy
  featuremaps    Picture of what each stage sees in an image (Figure 5 of the paper)

--checkpoint takes checkpoints of this project, PyTorch's (.pth) of MCMAE and MAE, safetensors and
.npz; --data what pretrain takes: a folder (of classes, of train/ and val/), a list file, tar shards
or IDX files, or bundled:photos. The last line on stdout is one JSON object.

Options of knn:
  --val DIR           Images to classify, where --data has no splits (also of classify)
  --k N               Neighbours that vote (default 20)
  --temperature T     A neighbour of similarity s has exp(s / T) votes (default 0.07)
Options of video (--data: class folders, a list, annotations of Kinetics or Something-Something):
  --clips N           Clips of each video (default 5; 2 where frames are of equal parts)
  --crops N           Crops of each clip, along its longer side (default 3)
  --stride N          Frames from one to the next, where the file does not tell (default 4)
  --sampling KIND     dense, or segments: one frame of each equal part
  --short-side N      Short side to resize frames to before they are cropped (default the crop's)
  --frame-control     Show nothing but the middle frame of each clip
  --root DIR          Where the paths of an annotation begin
  --decoder NAME      node-av (default) or ffmpeg
Options of segment (--data: images/ and masks/, ADE20K's or Pascal VOC's folder, bundled:scenes):
  --slide CROP,STRIDE Windows (default the training crop, which overlap by a third: 512,341)
  --whole             No windows: each image at once
  --flip              Average with the mirrored image
  --scales A,B        Average over image sizes, such as 0.75,1,1.25
  --val DIR           Images with masks to evaluate on, where --data has no splits
  --out FILE.html     A page with images, true masks and predictions; --images N of them (default 8)
Options of detect (--data: COCO's folder, or instances.json beside images/, bundled:scenes):
  --val DIR           Images to evaluate on, where --data has no splits
  --results FILE.json What was found, in COCO's format of results
  --out FILE.html     A page with figures and pictures; --images N of them (default 8)
Options of coco:
  --gt FILE.json      Annotations: images, categories, annotations
  --dt FILE.json      Results: a list of image_id, category_id, score, bbox and/or segmentation
Options of features:
  --out FILE          FILE.safetensors or FILE.npz
  --layers A,B        global (default), e1, e2, e3, latent, cls or a layer such as blocks3.2
  --maps              Maps and tokens, not their mean
  --split NAME        train, val or all (default)
Options of reconstruct and featuremaps:
  --out FILE.png
  --images N          Images to show, spread over the data (default 8 and 6)
                      (reconstruct, of a model of clips: FILE.webp and FILE.gif move, FILE.png has
                      four frames of each; takes --stride, --root and --decoder as video does)
  --split NAME        Which ones (default val, if there is one)
  --mode MODE         pca: principal components as colours (default); mean: of the channels
                      (featuremaps)

Fields, where the checkpoint does not tell them or others are wanted:
  data.mean=0.5,0.5,0.5 data.std=…   Of the pixels of each channel
  data.cropPct=1                     No margin around the crop, as small images need
  data.valShare=0.2                  Hold images out, as the run did (knn, classify)
  data.workers=4                     Threads that decode
  model.imageSize=320,320            Positions are interpolated
  model.heads=12                     Heads, where the file does not tell them
  batch.micro=64                     Images that the device gets at once
  maskRatio=0.75 seed=1              For reconstruct

Examples:
  deno task eval knn --checkpoint runs/quickstart/checkpoint.safetensors --data ~/flowers
  deno task eval features --checkpoint mcmae_base.pth --data ~/images --out features.npz
  deno task eval featuremaps --checkpoint mcmae_base.pth --data bundled:photos --out stages.png
  deno task eval segment --checkpoint runs/segment/best.safetensors --data DIR --out masks.html
  deno task eval detect --checkpoint runs/detect/best.safetensors --data DIR --out things.html
  deno task eval coco --gt instances_val2017.json --dt results.json`;

/** Each task is loaded when it is asked for. */
const TASKS: Record<string, (args: readonly string[]) => Promise<number>> = {
  knn: async (args) => await (await import("./eval/knn_task.ts")).knnTask(args),
  classify: async (args) => await (await import("./eval/classify_task.ts")).classifyTask(args),
  segment: async (args) => await (await import("./eval/segment_task.ts")).segmentTask(args),
  detect: async (args) => await (await import("./eval/detect_task.ts")).detectTask(args),
  coco: async (args) => await (await import("./eval/coco_task.ts")).cocoTask(args),
  video: async (args) => await (await import("./eval/video_task.ts")).videoTask(args),
  reconstruct: async (args) =>
    await (await import("./eval/reconstruct_task.ts")).reconstructTask(args),
  features: async (args) => await (await import("./eval/features_task.ts")).featuresTask(args),
  featuremaps: async (args) =>
    await (await import("./eval/feature_maps_task.ts")).featureMapsTask(args),
};

/** Tasks that train, with recipes and a help of their own. */
const TRAINED: typeof TASKS = {
  linprobe: async (args) => await (await import("./linprobe_command.ts")).linprobe(args),
};

/**
 * Runs an evaluation.
 *
 * @returns The exit code.
 * @throws {UsageError} If the arguments make no sense.
 */
export async function evalCommand([name, ...args]: readonly string[]): Promise<number> {
  const isHelp = (word: string) => word === "--help" || word === "-h";
  const names = [...Object.keys(TASKS), ...Object.keys(TRAINED)];
  if (name !== undefined && Object.hasOwn(TRAINED, name)) return await TRAINED[name](args);
  if (name !== undefined && (isHelp(name) || args.some(isHelp))) {
    console.log(HELP);
    return 0;
  }
  if (name === undefined || !Object.hasOwn(TASKS, name)) {
    const meant = name === undefined ? undefined : nearest(name, names);
    const found = name === undefined ? "Choose a task" : `Unknown task ${name}`;
    throw new UsageError(
      meant ? `${found}: did you mean ${meant}?` : `${found}: ${names.join(", ")}`,
    );
  }
  return await TASKS[name](args);
}
