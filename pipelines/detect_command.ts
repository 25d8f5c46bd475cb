/**
 * `deno task detect`: things in one's own pictures.
 *
 * @module
 */
import { basename } from "node:path";
import { IMAGENET_MEAN, IMAGENET_STD } from "../data/augment.ts";
import { loadThingsInOrder } from "../data/things/evaluation_loader.ts";
import { openDevice } from "../src/device.ts";
import { loadDetector } from "../src/pretrained_detector.ts";
import { drawThings } from "./detect/drawing.ts";
import { coloursIn } from "./detect/panels.ts";
import { prepareDetector } from "./detect/predict.ts";
import { evaluationRuleOf } from "./detect/recipe.ts";
import { scaleOfFacts } from "./eval/detect_task.ts";
import { parseWords, UsageError } from "./usage.ts";

const HELP = `Find things in pictures, and draw them.

  deno task detect --checkpoint F IMAGE… [--out DIR] [--score S]

Options:
  --checkpoint F  Detector of deno task finetune detect, or a published one
  --out DIR       Where NAME.detected.png go (default: the current folder)
  --score S       Least score of what is drawn, from 0 to 1 (default 0.5)
  --help

Prints a line for each thing: picture, category, score, and left, top, right and bottom edge in pixels;
the last line is one JSON object.`;

/**
 * Runs the command.
 *
 * @returns The exit code: 1 if a picture could not be read.
 */
export async function detectCommand(args: readonly string[]): Promise<number> {
  const { values, positionals: images } = parseWords(args, {
    checkpoint: { type: "string" },
    out: { type: "string", default: "." },
    score: { type: "string", default: "0.5" },
  }, "see deno task detect --help");
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const { checkpoint, out } = values;
  if (!checkpoint) throw new UsageError("Name the detector: add --checkpoint FILE");
  if (images.length === 0) throw new UsageError("Name one picture or more");
  const score = Number(values.score);
  if (!(score >= 0 && score <= 1)) {
    throw new UsageError(`Option --score expects a number from 0 to 1, got ${values.score}`);
  }
  for (const path of [checkpoint, ...images]) {
    const { isFile } = await Deno.stat(path).catch(() => ({ isFile: false }));
    if (!isFile) throw new UsageError(`Cannot read ${path}: no such file`);
  }
  const model = await loadDetector(checkpoint);
  const { settings, params, facts, classNames = [] } = model;
  const [mean, std] = [model.mean ?? IMAGENET_MEAN, model.std ?? IMAGENET_STD];
  const scale = scaleOfFacts(facts);
  const device = await openDevice();
  await Deno.mkdir(out, { recursive: true });
  const detector = await prepareDetector(
    ...[device, settings, params, facts.imageSize, evaluationRuleOf(facts)] as const,
  );
  const source = {
    ...{ length: images.length, images, sizes: [], things: [], categories: [] },
  };
  const { channels } = settings.backbone.encoder;
  const things: Record<string, unknown>[] = [];
  let bad = new Map() as ReadonlyMap<string, string>;
  try {
    const options = { source, channels, mean, std, workers: 1, scale };
    for await (const picture of loadThingsInOrder(options)) {
      bad = picture.skipped;
      const path = images[picture.index];
      const found = (await detector.detect(picture)).filter((thing) => thing.score >= score);
      for (const { box, category, score } of found) {
        const name = classNames[category] ?? String(category);
        const edges = box.map((edge) => Number(edge.toFixed(1)));
        console.log([path, name, `${(100 * score).toFixed(1)} %`, ...edges].join("\t"));
        things.push({ image: path, category: name, score: Number(score.toFixed(4)), box: edges });
      }
      const colours = coloursIn(picture, { mean, std, canvas: scale.canvas });
      const drawn = `${out}/${basename(path).replace(/\.\w+$/, "")}.detected.png`;
      await Deno.writeFile(drawn, await drawThings(colours, picture.original, found, classNames));
      console.error(`Wrote ${drawn}`);
    }
  } finally {
    detector.destroy();
  }
  for (const [, reason] of bad) console.error(reason);
  console.log(JSON.stringify({ task: "detect", images: images.length, things, checkpoint }));
  return bad.size > 0 ? 1 : 0;
}
