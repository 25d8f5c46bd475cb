import assert from "node:assert/strict";
import { main } from "../../../pipelines/main.ts";
import { override } from "../../../pipelines/recipe.ts";
import { segment, upernetAde20k } from "../../../pipelines/recipes/segment.ts";
import { completeSegment, validateSegment } from "../../../pipelines/segment/recipe.ts";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { greyPng, patches, sharpPng, write } from "../../data/masks/pairs.ts";
import { encodePng } from "../../data/png.ts";
import { exists, metricsOf, runTask, scratch } from "../run_pretrain.ts";
import { MAE, MCMAE, writeAutoencoder } from "../tiny_models.ts";
import { writeVideoAutoencoder } from "../video/tiny_video_models.ts";
import { namesOf, TINY_SEGMENTER, writeColours } from "./tiny_segmenters.ts";

const DATA = `${scratch}/colours`;
const PRETRAINED = `${scratch}/pretrained.safetensors`;
const never = `${scratch}/never`; // no refused command may write here
await writeColours(DATA, namesOf("pair", 4));
await writeAutoencoder(PRETRAINED);

const on = (data: string) => [
  ...["segment", "--checkpoint", PRETRAINED, "--data", data, ...TINY_SEGMENTER],
];

/** Runs `deno task finetune` within this process; its complaints. */
async function finetune(args: readonly string[]): Promise<{ code: number; err: string[] }> {
  const err: string[] = [];
  const { log, error } = console;
  console.log = () => {};
  console.error = (text: string) => void err.push(...text.split("\n"));
  try {
    return { code: await main(["finetune", ...args]), err };
  } finally {
    Object.assign(console, { log, error });
  }
}

/** The command must end with a sentence, its last line, and write nothing. */
async function refused(args: string[], code: 1 | 2, sentence: string | RegExp): Promise<void> {
  const found = await finetune([...args, "--out", never]);
  const last = found.err.at(-1)!;
  if (typeof sentence === "string") assert.equal(last, sentence);
  else assert.match(last, sentence);
  assert.equal(found.code, code);
  if (code === 2) assert.deepEqual(found.err, [last]);
  assert.ok(!await exists(never));
}

/** Five good pairs of many kinds, and four bad ones. */
async function writeMixed(root: string): Promise<void> {
  await writeColours(root, ["a", "b", "colours", "deep", "larger", "other", "palette", "text"]);
  const labels = patches(48, 48, { classes: 3, patch: 16, seed: 5 });
  const image = await sharpPng(20, 30, 3);
  const high = labels.map((label, i) => i === 1000 ? 3 : label);
  const plte: [string, number[]][] = [["PLTE", [9, 9, 9, 200, 0, 0, 0, 0, 200]]];
  await write(root, {
    "images/small.png": image, // smaller than the crop
    "masks/small.png": greyPng(20, 30, Array.from({ length: 600 }, (_, i) => i % 3)),
    "masks/palette.png": encodePng({
      width: 48,
      height: 48,
      type: 3,
      samples: labels,
      extra: plte,
    }),
    "masks/deep.png": encodePng({
      ...{ width: 48, height: 48, type: 0, bits: 16 },
      samples: labels.flatMap((label) => [0, label]),
    }),
    "masks/colours.png": await sharpPng(48, 48, 3),
    "masks/larger.png": greyPng(48, 48, high),
    "masks/other.png": greyPng(48, 47, labels.slice(48)),
    "masks/text.png": "no mask",
  });
}

Deno.test("finetune segment skips and names bad pairs, and pads images smaller than the crop", async () => {
  const data = `${scratch}/mixed`;
  await writeMixed(data);
  const out = `${scratch}/mixed-run`;
  // Three steps of four: more than an epoch of nine pairs.
  const { code, err } = await runTask("finetune", [...on(data), "--out", out, "--steps", "3"]);
  assert.equal(code, 0, err);
  const title = "Skipped 4 bad files:\n";
  const named = err.slice(err.indexOf(title) + title.length).trimEnd().split("\n");
  assert.ok(err.includes(title), err);
  const mask = (name: string) => `  Cannot use mask ${data}/masks/${name}.png: it `;
  assert.deepEqual(named, [
    `${mask("colours")}holds colours, not class indices: save it as a grey or palette PNG`,
    `${mask("larger")}holds the label 3, which is none of 3 classes (0 … 2) nor ignored (255)`,
    `${mask("other")}has 48 × 47 pixels, its image ${data}/images/other.png has 48 × 48`,
    `${mask("text")}is no PNG of class indices: save it as a grey or palette PNG`,
  ]);
  const listed = await Deno.readTextFile(`${out}/bad_files.txt`);
  assert.deepEqual(
    listed.trimEnd().split("\n").map((line) => line.split("\t")[0]).sort(),
    ["colours", "larger", "other", "text"].map((name) => `${data}/images/${name}.png`),
  );
  const metrics = await metricsOf(out);
  assert.equal(metrics.length, 3);
  assert.ok(metrics.every(({ loss }) => Number.isFinite(loss) && loss > 0));
});

Deno.test("finetune segment fails where more pairs are bad than are borne, or all", async () => {
  const data = `${scratch}/bad`;
  await writeColours(data, ["a", "b"]);
  await write(data, { "masks/b.png": greyPng(48, 47, Array(48 * 47).fill(0)) });
  const other = `Cannot use mask ${data}/masks/b.png: it has 48 × 47 pixels, its image ` +
    `${data}/images/b.png has 48 × 48`;
  await refused(
    [...on(data), "data.maxBad=0", "--steps", "1"],
    1,
    `Cannot load masks: 1 of 2 pairs are bad (maxBad allows 0), first: ${other}`,
  );
  await write(data, { "masks/a.png": await sharpPng(48, 48, 3) });
  await refused(
    [...on(data), "--steps", "1"],
    1,
    `Cannot load masks: 2 of 2 pairs are bad, first: Cannot use mask ${data}/masks/a.png: ` +
      "it holds colours, not class indices: save it as a grey or palette PNG",
  );
});

Deno.test("finetune segment takes masks of 16 bits with more than 255 classes, and an ignoreIndex above them", async () => {
  const data = `${scratch}/many`;
  await writeColours(data, ["a"], { classes: [] });
  await write(data, {
    "masks/a.png": greyPng(48, 48, Array.from({ length: 48 * 48 }, (_, i) => i % 300)),
  });
  const message = "Recipe field data.ignoreIndex must be in 300 … 65535, got 255";
  await refused([...on(data), "data.classes=300"], 2, message);
  await write(data, { "classes.txt": Array.from({ length: 300 }, (_, i) => `c${i}\n`).join("") });
  await refused(on(data), 2, message);
  const out = `${scratch}/many-run`;
  const { code, err } = await runTask("finetune", [
    ...[...on(data), "--out", out, "--steps", "1", "data.ignoreIndex=65535"],
  ]);
  assert.equal(code, 0, err);
  const { tensors, metadata } = await loadSafetensors(`${out}/checkpoint.safetensors`);
  assert.equal(tensors.get("decode_head.conv_seg.weight")!.shape[0], 300);
  assert.equal(JSON.parse(metadata.masks).ignoreIndex, 65535);
});

Deno.test("finetune segment refuses data that make no sense, in one sentence", async () => {
  const at = (name: string) => `${scratch}/${name}`;
  await writeColours(at("unnamed"), ["a"], { classes: [] });
  await writeColours(at("unpaired"), ["a", "b"]);
  await Deno.remove(`${at("unpaired")}/masks/b.png`);
  await Deno.mkdir(at("empty"));
  await refused(
    ["segment", "--checkpoint", PRETRAINED, ...TINY_SEGMENTER],
    2,
    "Recipe field data.path is needed: add --data DIR",
  );
  await refused(on("nowhere"), 2, "Cannot read folder nowhere: no such file");
  await refused(on(at("empty")), 2, /^Cannot use folder .*\/empty: expected images\/ and masks\/ /);
  await refused(
    on(at("unpaired")),
    2,
    `Cannot use ${at("unpaired")}/images/b.png: it has no mask in ${at("unpaired")}/masks`,
  );
  await refused(
    on(at("unnamed")),
    2,
    `Cannot tell the classes of ${at("unnamed")}: give data.classes=N, or name them in its ` +
      "classes.txt, a line each",
  );
  await refused(
    [...on(DATA), "data.classes=2"],
    2,
    `Recipe field data.classes is 2, but ${DATA} names 3 classes`,
  );
  await refused(
    [...on(DATA), "data.valShare=0.01"],
    2,
    "Recipe field data.valShare: 0.01 of 4 pairs leaves none to validate on",
  );
  await refused(
    [...on(DATA), "data.valShare=0.5", `data.valPath=${DATA}`],
    2,
    "Recipe field data.valShare must be 0 where data.valPath is given",
  );
  const inside = await finetune([...on(DATA), "--out", `${DATA}/run`]);
  assert.deepEqual(inside, {
    code: 2,
    err: [`Cannot write to ${DATA}/run: its pictures would become images of ${DATA}`],
  });
});

Deno.test("finetune segment refuses a model without four scales, one of clips, and none", async () => {
  const at = (name: string) => `${scratch}/${name}.safetensors`;
  await writeAutoencoder(at("vit"), MAE);
  await writeVideoAutoencoder(at("clips"));
  await Deno.writeTextFile(at("damaged"), "damaged");
  const from = (checkpoint: string) => ["segment", "--checkpoint", checkpoint, "--data", DATA];
  await refused(
    from(at("vit")),
    2,
    `Cannot use ${at("vit")} with the recipe segment: a plain ViT has no maps of four scales; ` +
      "take an MCMAE",
  );
  await refused(
    from(at("clips")),
    2,
    `Cannot use ${at("clips")} with the recipe segment: it is a model of clips, not of images`,
  );
  await refused(from(at("damaged")), 1, /^Cannot read .*damaged\.safetensors: /);
  await refused(from("nowhere.pth"), 2, "Cannot read nowhere.pth: no such file");
  await refused(["segment", "--data", DATA], 2, "Name the pretrained model: add --checkpoint FILE");
});

Deno.test("completeSegment() takes sizes, mean and deviation from the file, and what it lacks as usual", async () => {
  const grey = `${scratch}/grey.safetensors`;
  await writeAutoencoder(grey, { ...MCMAE, channels: 1 }, {});
  for (
    const [path, channels, mean, std] of [
      [PRETRAINED, 3, [0.5, 0.4, 0.3], [0.25, 0.2, 0.3]],
      [grey, 1, [0.5], [0.25]],
    ] as const
  ) {
    const { model, data, pretrained, published } = await completeSegment(upernetAde20k, path);
    assert.deepEqual([model.channels, data.mean, data.std], [channels, mean, std]);
    assert.deepEqual([model.embedDims, model.imageSize], [MCMAE.embedDims, [512, 512]]);
    assert.deepEqual([pretrained, published], [path, null]); // the paper's figures are of the base
    validateSegment({ ...segment, pretrained, model, data: { ...data, path: DATA } });
  }
});

Deno.test("validateSegment() names the first field that does not fit", async () => {
  const recipe = await completeSegment(segment, PRETRAINED);
  const check = (...fields: string[]) =>
    validateSegment(override(recipe, [`data.path=${DATA}`, ...TINY_SEGMENTER, ...fields]));
  check();
  check("data.resize.long=64", "data.resize.short=48", "data.classes=3", "model.layerScale=0.1");
  const least = "Recipe field model.imageSize must be at least 24 along each side, got ";
  const pairs = "null where data.resize.short is, and only there";
  const cases: [fields: string[], message: string][] = [
    [
      ["model.imageSize=48,52"],
      "Recipe field model.imageSize has 52, which the stride 8 (patch sizes 4 × 2 × 1) does not " +
      "divide: the nearest sizes that work are 48 and 56",
    ],
    [["model.imageSize=16,48"], `${least}16,48`],
    [["model.imageSize=48,16"], `${least}48,16`],
    [["model.headChannels=0"], "Recipe field model.headChannels must be a positive integer, got 0"],
    [
      ["model.auxiliaryChannels=1.5"],
      "Recipe field model.auxiliaryChannels must be a positive integer, got 1.5",
    ],
    [["model.dropout=1"], "Recipe field model.dropout must be in 0–1, without 1, got 1"],
    [["model.dropPath=-0.1"], "Recipe field model.dropPath must be in 0–1, without 1, got -0.1"],
    [["model.layerScale=0"], "Recipe field model.layerScale must be positive or null, got 0"],
    [
      ["model.relativePositions=all"],
      "Recipe field model.relativePositions expects one of none, shared, blocks, got all",
    ],
    [
      ["optimizer.layerDecay=1.1"],
      "Recipe field optimizer.layerDecay must be above 0, at most 1, got 1.1",
    ],
    [["optimizer.power=0"], "Recipe field optimizer.power must be positive, got 0"],
    [["data.classes=0"], "Recipe field data.classes must be a positive integer, got 0"],
    [
      ["data.classes=3", "data.ignoreIndex=2"],
      "Recipe field data.ignoreIndex must be in 3 … 65535, got 2",
    ],
    [["data.ignoreIndex=65536"], "Recipe field data.ignoreIndex must be in 0 … 65535, got 65536"],
    [["data.resize.long=64"], `Recipe field data.resize.long must be ${pairs}, got 64`],
    [["data.resize.short=64"], `Recipe field data.resize.long must be ${pairs}, got null`],
    [
      ["data.resize.long=64", "data.resize.short=0"],
      "Recipe field data.resize.short must be a positive integer, got 0",
    ],
    [["data.resize.ratio=0,2"], "Recipe field data.resize.ratio must be a positive range, got 0,2"],
    [["data.resize.ratio=2,1"], "Recipe field data.resize.ratio must be a positive range, got 2,1"],
    [
      ["data.categoryShare=0"],
      "Recipe field data.categoryShare must be above 0, at most 1, got 0",
    ],
    [["data.cache=DIR"], "Recipe field data.cache must be null: masks are not cached, got DIR"],
    [
      ["batch.effective=6"],
      "Recipe field batch.effective must be a multiple of batch.micro = 4, got 6",
    ],
    [
      ["data.mean=0.5"],
      "Recipe field data.mean must be one number for each of the 3 channels, got 0.5",
    ],
  ];
  for (const [fields, message] of cases) {
    assert.throws(() => check(...fields), { name: "UsageError", message }, fields.join(" "));
  }
});

Deno.test("finetune segment --resume refuses another recipe, another model and other labels", async () => {
  const out = `${scratch}/short`;
  const { code, err } = await runTask("finetune", [...on(DATA), "--out", out, "--steps", "1"]);
  assert.equal(code, 0, err);
  const resumed = async (args: string[], sentence: string) => {
    const found = await finetune([...args, "--resume", "--out", out]);
    assert.deepEqual(found, { code: 2, err: [sentence] });
  };
  await resumed(
    ["upernet_mcmae_base_ade20k"],
    "Cannot resume as upernet_mcmae_base_ade20k: the run is one of segment",
  );
  await resumed(
    ["model.headChannels=16"],
    "Cannot resume with model.headChannels = 16: the run has 8; start another",
  );
  await resumed(
    ["data.ignoreIndex=254"],
    "Cannot resume with data.ignoreIndex = 254: the run has 255; start another",
  );
  await resumed(
    ["--checkpoint", PRETRAINED],
    "Option --checkpoint does not go with --resume: a run keeps its own",
  );
  await resumed(
    ["--decoder", "ffmpeg", "segment"],
    "Option --decoder is for recipes of videos: segment is of images",
  );
});
