import { readAnnotations } from "../../data/coco/annotations.ts";
import { readResults } from "../../data/coco/results.ts";
import { groundTruthOf, heightsById } from "../../data/coco/things.ts";
import { evaluateCoco } from "../detect/coco_evaluate.ts";
import { FIGURES, figuresOf } from "../detect/coco_figures.ts";
import type { CocoEvaluation } from "../detect/coco_curves.ts";
import { table } from "../table.ts";
import { parseWords, UsageError } from "../usage.ts";
import { percent } from "./result.ts";

const ADVICE = "see deno task eval --help";

/** What the figures are means of. */
const MEANINGS: Readonly<Record<typeof FIGURES[number]["name"], string>> = {
  AP: "average precision",
  AP50: "at IoU 0.50",
  AP75: "at IoU 0.75",
  APs: "small: 32² or less",
  APm: "medium",
  APl: "large: 96² or more",
  AR1: "average recall, 1 an image",
  AR10: "10 an image",
  AR100: "100 an image",
  ARs: "small",
  ARm: "medium",
  ARl: "large",
};

/**
 * `deno task eval coco`: figures of a file of results, as COCO's API computes them. Masks count where
 * results and annotations have them.
 */
export async function cocoTask(args: readonly string[]): Promise<number> {
  const options = { gt: { type: "string" }, dt: { type: "string" } } as const;
  const { values: { gt, dt }, positionals: [word] } = parseWords(args, options, ADVICE);
  if (word !== undefined) throw new UsageError(`Unknown argument ${word}: ${ADVICE}`);
  const [truthPath, foundPath] = [await needFile("gt", gt), await needFile("dt", dt)];
  const annotated = readAnnotations(truthPath);
  const found = readResults(foundPath, annotated);
  const truth = groundTruthOf(annotated, truthPath, found.masks !== undefined);
  const { images, categories } = annotated;
  const scope = { heights: heightsById(images), categories: categories.length };
  const evaluations = {
    bbox: evaluateCoco("bbox", truth, found, scope),
    ...truth.masks && { segm: evaluateCoco("segm", truth, found, scope) },
  };
  const counts = new Int32Array(categories.length);
  for (const category of truth.category) counts[category]++;
  const names = categories.toSorted((a, b) => a.id - b.id).map(({ name }) => name);
  for (const line of describeCoco(evaluations, names, counts)) console.log(line);
  console.log(JSON.stringify({
    ...{ task: "coco", ...cocoValues(evaluations) },
    ...{ images: images.length, annotations: truth.length, detections: found.length },
  }));
  return 0;
}

/** The figures of each kind, for programs. */
export function cocoValues(
  evaluations: Readonly<Record<string, CocoEvaluation>>,
): Record<string, Record<string, number>> {
  const precise = (figures: Readonly<Record<string, number>>) =>
    // Eight decimals: more than other programs agree in.
    Object.fromEntries(
      Object.entries(figures).map(([name, value]) => [name, Number(value.toFixed(8))]),
    );
  return Object.fromEntries(
    Object.entries(evaluations).map(([kind, evaluation]) => [kind, precise(figuresOf(evaluation))]),
  );
}

async function needFile(name: string, path: string | undefined): Promise<string> {
  if (!path) throw new UsageError(`Option --${name} is needed: ${ADVICE}`);
  const found = await Deno.stat(path).catch(() => undefined);
  if (!found) throw new UsageError(`Cannot read ${path}: no such file`);
  if (found.isDirectory) throw new UsageError(`Cannot read ${path}: it is a folder, not a file`);
  return path;
}

const TITLES: Readonly<Record<string, string>> = { bbox: "boxes", segm: "masks" };

/** Tables for people: the figures, and the first of them by category. */
export function describeCoco(
  evaluations: Readonly<Record<string, CocoEvaluation>>,
  names: readonly string[],
  counts: ArrayLike<number>,
): string[] {
  const kinds = Object.keys(evaluations);
  const share = (value: number) => value < 0 ? "–" : percent(value);
  const all = Object.values(evaluations).map((evaluation) => figuresOf(evaluation));
  const by = names.map((_, k) =>
    Object.values(evaluations).map((evaluation) => figuresOf(evaluation, k))
  );
  const shown = ["AP", "AP50", "AP75", "APs", "APm", "APl"] as const;
  return [
    ...table([
      ["", ...kinds.map((kind) => TITLES[kind])],
      ...FIGURES.map(({ name }) => [
        `${name.padEnd(5)}  ${MEANINGS[name]}`,
        ...all.map((figures) => share(figures[name])),
      ]),
    ]),
    ...kinds.flatMap((kind, i) => [
      "",
      ...table([
        [TITLES[kind], "annotations", ...shown],
        ...names.map((name, k) => [
          ...[name, String(counts[k])],
          ...shown.map((figure) => share(by[k][i][figure])),
        ]),
      ]),
    ]),
  ];
}
