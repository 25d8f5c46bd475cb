import assert from "node:assert/strict";
import { annotations, results, writeJson } from "../data/coco/coco_files.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { evaluate, fails, resultOf } from "./run_eval.ts";

const PERFECT = {
  ...{ AP: 1, AP50: 1, AP75: 1, APs: 1, APm: -1, APl: -1 },
  ...{ AR1: 1, AR10: 1, AR100: 1, ARs: 1, ARm: -1, ARl: -1 },
};

/** Writes both files; the arguments that name them. */
async function write(folder: string, truth: unknown, found: unknown): Promise<string[]> {
  const [gt, dt] = [`${folder}/gt.json`, `${folder}/dt.json`];
  await writeJson(gt, truth);
  await writeJson(dt, found);
  return ["coco", "--gt", gt, "--dt", dt];
}

Deno.test("eval coco prints figures, categories by name, and one line of JSON", async () => {
  await using folder = await temporaryFolder();
  const args = await write(folder.path, annotations(), results());
  const { out, err: _, code: __, ...result } = await resultOf(...args);
  assert.deepEqual(result, {
    ...{ task: "coco", bbox: PERFECT, segm: PERFECT, images: 2, annotations: 4, detections: 3 },
  });
  const text = out.join("\n");
  assert.match(text, /^ +boxes +masks$/m);
  assert.match(text, /^AP50 +at IoU 0\.50 +100\.00 % +100\.00 %$/m);
  assert.match(text, /^APl +large: .* – +–$/m);
  assert.match(text, /^masks +annotations +AP +AP50 +AP75 +APs +APm +APl$/m);
  const categories = out.filter((line) => /^(fox|owl|yak)/.test(line));
  const expected = [
    /^owl +2( +100\.00 %){4} +– +–$/,
    /^fox +2( +100\.00 %){4} +– +–$/,
    /^yak +0( +–){6}$/,
  ];
  [...expected, ...expected].forEach((line, i) => assert.match(categories[i], line));
});

Deno.test("eval coco evaluates boxes alone where results or annotations have no masks", async () => {
  await using folder = await temporaryFolder();
  const boxes = results().map(({ segmentation: _, ...result }) => result);
  const without = annotations();
  without.annotations.forEach((annotation) => delete annotation.segmentation);
  for (const [truth, found] of [[annotations(), boxes], [without, results()]]) {
    const { bbox, segm, out } = await resultOf(...await write(folder.path, truth, found));
    assert.deepEqual([bbox, segm], [PERFECT, undefined]);
    assert.doesNotMatch(out.join("\n"), /masks/);
  }
});

Deno.test("eval coco takes a file without results", async () => {
  await using folder = await temporaryFolder();
  const { bbox, detections } = await resultOf(...await write(folder.path, annotations(), []));
  assert.deepEqual([(bbox as typeof PERFECT).AP, detections], [0, 0]);
});

Deno.test("eval coco refuses arguments that make no sense with exit code 2", async () => {
  await using folder = await temporaryFolder();
  const [task, gt, truth, dt, found] = await write(folder.path, annotations(), results());
  const advice = "see deno task eval --help";
  const cases: [string[], string][] = [
    [[task], `Option --gt is needed: ${advice}`],
    [[task, gt, truth], `Option --dt is needed: ${advice}`],
    [[task, dt, found], `Option --gt is needed: ${advice}`],
    [[task, gt, truth, dt, found, "--iou"], `Unknown option '--iou': ${advice}`],
    [[task, gt, truth, dt, found, "more"], `Unknown argument more: ${advice}`],
    [[task, gt, truth, dt, `${found}.no`], `Cannot read ${found}.no: no such file`],
    [[task, gt, folder.path, dt, found], `Cannot read ${folder.path}: it is a folder, not a file`],
  ];
  for (const [args, sentence] of cases) await fails(args, 2, sentence);
});

Deno.test("eval coco fails with one sentence on files that are wrong, exit code 1", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const text = JSON.stringify(results());
  const cases: [unknown, unknown, string][] = [
    [
      { ...annotations(), annotations: [] },
      results(),
      `Cannot use ${at("gt.json")}: its list annotations is empty`,
    ],
    ["{", results(), `Cannot read ${at("gt.json")}: broken JSON where a key should be`],
    [annotations(), text.slice(0, -9), `Cannot read ${at("dt.json")}: it ends within [2]`],
    [
      annotations(),
      text.replace('"image_id":7', '"image_id":8'),
      `Cannot use ${at("dt.json")}: [0].image_id must be an id of the annotations' images, got 8`,
    ],
    [
      annotations(),
      text.replace("0.8", "NaN"),
      `Cannot use ${at("dt.json")}: [1].score must be a finite number, got NaN`,
    ],
  ];
  for (const [truth, found, sentence] of cases) {
    await fails(await write(folder.path, truth, found), 1, sentence);
  }
});

Deno.test("eval --help tells how to evaluate COCO's files", async () => {
  const { out } = await evaluate("coco", "--help");
  assert.match(out.join("\n"), /^ {2}coco {2,}\S.*\n(.*\n)*^ {2}--gt FILE\.json/m);
});
