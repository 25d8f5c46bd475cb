import assert from "node:assert/strict";
import sharp from "sharp";
import type { MaskFacts } from "../../../src/pretrained_segmenter.ts";
import { type Looking, preparePredictor } from "../../../pipelines/segment/predict.ts";
import { resizeImage } from "../../../data/masks/resize.ts";
import { sharedDevice } from "../../check_op.ts";
import { greyPng, write } from "../../data/masks/pairs.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import { evaluate, fails, resultOf } from "../run_eval.ts";
import { scratch } from "../run_pretrain.ts";
import { writeAutoencoder, writeClassifier } from "../tiny_models.ts";
import {
  drawSegmenter,
  namesOf,
  SEGMENTER,
  writeColours,
  writeSegmenter,
} from "./tiny_segmenters.ts";

const [WIDTH, HEIGHT] = [60, 44];
const MEAN = [0.5, 0.4, 0.3];
const STD = [0.25, 0.2, 0.3];
/** Windows of the training crop that overlap by a third, one look. */
const USUAL: Looking = {
  ...{ windows: { crop: [48, 48], stride: [32, 32] }, flip: false, scales: [1], batch: 4 },
};

const DATA = `${scratch}/colours`;
const MODEL = `${scratch}/model.safetensors`;
const COMMON = ["segment", "--checkpoint", MODEL, "--data", DATA, "data.workers=1"];
await writeColours(DATA, [...namesOf("train", 2), ...namesOf("val", 3)], {
  ...{ width: WIDTH, height: HEIGHT },
});
await writeSegmenter(MODEL, drawSegmenter(SEGMENTER), SEGMENTER);

/** Labels of a mask, and the pixels of its image, normalised, after a resize if one is asked for. */
async function pairOf(name: string, to?: { width: number; height: number }) {
  const pixels = await sharp(`${DATA}/images/${name}.png`).raw().toBuffer();
  const whole = { width: WIDTH, height: HEIGHT, channels: 3, pixels: new Uint8Array(pixels) };
  const image = to ? resizeImage(whole, to) : whole;
  return {
    ...{ width: image.width, height: image.height },
    image: Float32Array.from(image.pixels, (value, i) => (value / 255 - MEAN[i % 3]) / STD[i % 3]),
    labels: await sharp(`${DATA}/masks/${name}.png`).toColourspace("b-w").raw().toBuffer(),
  };
}

/** IoU of each class over pairs, counted pixel by pixel; labels of K or more do not count. */
async function counted(
  names: readonly string[],
  looking: Partial<Looking>,
  { classOf = (label: number) => label, to }: {
    readonly classOf?: (label: number) => number;
    readonly to?: { width: number; height: number };
  } = {},
) {
  const predictor = preparePredictor(
    ...[await sharedDevice(), SEGMENTER, drawSegmenter(SEGMENTER), {
      ...USUAL,
      ...looking,
    }] as const,
  );
  const both = [0, 0, 0];
  const either = [0, 0, 0];
  let [right, all] = [0, 0];
  for (const name of names) {
    const { labels, ...pixels } = await pairOf(name, to);
    const predicted = await predictor.predict(pixels, [HEIGHT, WIDTH]);
    labels.forEach((value, i) => {
      const label = classOf(value);
      if (label >= 3) return;
      all++;
      for (let k = 0; k < 3; k++) {
        if (label === k && predicted[i] === k) both[k]++;
        if (label === k || predicted[i] === k) either[k]++;
      }
      if (label === predicted[i]) right++;
    });
  }
  predictor.destroy();
  const round = (value: number) => Number(value.toFixed(4));
  const iou = both.map((pixels, k) => pixels / either[k]);
  const known = iou.filter((value) => !Number.isNaN(value));
  return {
    IoU: iou.map((value) => Number.isNaN(value) ? null : round(value)),
    mIoU: round(known.reduce((sum, value) => sum + value, 0) / known.length),
    aAcc: round(right / all),
  };
}

const figuresOf = ({ IoU, mIoU, aAcc }: Record<string, unknown>) => ({ IoU, mIoU, aAcc });

Deno.test("eval segment prints a table and one line of JSON, as counted by hand", async () => {
  const { out, err, ...result } = await resultOf(...COMMON);
  const expected = await counted(namesOf("val", 3), {});
  assert.deepEqual(figuresOf(result), expected);
  assert.ok(
    expected.IoU.every((value) => value! > 0 && value! < 1),
    "a figure that could be wrong",
  );
  const { task, n, classes, split, checkpoint, Acc } = result;
  assert.deepEqual([task, n, classes, split, checkpoint], ["segment", 3, 3, "val", MODEL]);
  assert.equal((Acc as number[]).length, 3);
  const text = out.join("\n");
  const percent = (share: number | null) => `${(100 * share!).toFixed(2).slice(0, -1)}\\d %`;
  assert.match(text, /^ +IoU +accuracy +of all pixels$/m);
  assert.match(text, new RegExp(`^mean over classes +${percent(expected.mIoU)} `, "m"));
  ["red", "green", "blue"].forEach((name, k) =>
    assert.match(text, new RegExp(`^${name} +${percent(expected.IoU[k])} `, "m"))
  );
  assert.match(err.join("\n"), /^\d+ of \d+ parameters are loaded$/m);
});

Deno.test("eval segment looks whole, mirrored, at other scales and by other windows", async () => {
  const ways: [options: string[], looking: Partial<Looking>][] = [
    [["--whole"], { windows: null }],
    [["--flip"], { flip: true }],
    [["--scales", "0.75,1"], { scales: [0.75, 1] }],
    [["--slide", "24,16", "batch.micro=2"], { windows: { crop: [24, 24], stride: [16, 16] } }],
  ];
  const seen = new Set<string>();
  for (const [options, looking] of ways) {
    const expected = await counted(namesOf("val", 3), looking);
    const result = await resultOf(...COMMON, ...options);
    assert.deepEqual(figuresOf(result), expected, options.join(" "));
    seen.add(JSON.stringify(expected));
  }
  assert.equal(seen.size, ways.length, "each way of looking gives other figures");
});

Deno.test("eval segment takes the rule and the scale of the file, and all pairs without a split", async () => {
  await using own = await temporaryFolder();
  const labelled = [...namesOf("train", 2)];
  // 0 is ignored, as 255 is; class 2 is not there.
  const written = (value: number, i: number) => i % 7 === 0 ? 255 : value === 2 ? 0 : value + 1;
  for (const name of labelled) {
    const { labels } = await pairOf(name);
    await write(own.path, {
      [`images/${name.slice(6)}.png`]: await Deno.readFile(`${DATA}/images/${name}.png`),
      [`masks/${name.slice(6)}.png`]: greyPng(WIDTH, HEIGHT, Array.from(labels, written)),
    });
  }
  const masks: MaskFacts = { ignoreIndex: 255, reduceZeroLabel: true, long: 30, short: 30 };
  const model = `${own.path}/model.safetensors`;
  await writeSegmenter(model, drawSegmenter(SEGMENTER), SEGMENTER, {
    masks: JSON.stringify(masks),
  });
  const result = await resultOf(
    ...["segment", "--checkpoint", model, "--data", own.path, "data.workers=1"],
  );
  let pixel = 0;
  const expected = await counted(labelled, {}, {
    classOf: (label) => pixel++ % (WIDTH * HEIGHT) % 7 === 0 || label === 2 ? 255 : label,
    to: { width: 30, height: 22 },
  });
  assert.deepEqual(figuresOf(result), expected);
  assert.deepEqual([result.n, result.split], [2, "all"]);
  assert.match(result.out.join("\n"), /^2 .* 0\.00 %$/m); // no name, none of its pixels
});

Deno.test("eval segment --out writes a page of images, masks and predictions", async () => {
  await using own = await temporaryFolder();
  const page = `${own.path}/page.html`;
  const { err, mIoU } = await resultOf(...COMMON, "--out", page, "--images", "2");
  assert.ok(err.includes(`Wrote ${page}`));
  const html = await Deno.readTextFile(page);
  assert.equal(html.match(/<img src="data:image\/webp;base64,/g)!.length, 2 * 3);
  for (const text of ["image", "true mask", "prediction"]) {
    assert.ok(html.includes(`alt="images/val/0.png, ${text}"`), text);
  }
  assert.ok(html.includes("images/val/2.png") && !html.includes("images/val/1.png"), "spread");
  assert.match(html, new RegExp(`<dd>${(100 * (mIoU as number)).toFixed(2).slice(0, -1)}\\d %`));
  for (const name of ["red", "green", "blue"]) assert.match(html, new RegExp(`</svg>\\s*${name}`));
  assert.ok(!/(src|href)="(?!data:|#)/.test(html), "it needs no other file");
  // Beside the images it would be in nobody's way.
  await resultOf(...COMMON, "--out", `${DATA}/page.html`, "--images", "1");
  await Deno.remove(`${DATA}/page.html`);
});

Deno.test("eval segment skips and names bad pairs, and fails where all are bad", async () => {
  await using own = await temporaryFolder();
  await writeColours(own.path, ["a", "b", "c"], { classes: [] });
  await write(own.path, { "masks/b.png": greyPng(4, 4, Array(16).fill(0)) });
  const args = ["segment", "--checkpoint", MODEL, "--data", own.path, "data.workers=1"];
  const { n, skipped, err } = await resultOf(...args);
  assert.deepEqual([n, skipped], [2, 1]);
  assert.deepEqual(err.slice(-2), [
    "Skipped 1 bad file:",
    `  Cannot use mask ${own.path}/masks/b.png: it has 4 × 4 pixels, ` +
    `its image ${own.path}/images/b.png has 48 × 48`,
  ]);
  for (const name of ["a", "c"]) await write(own.path, { [`masks/${name}.png`]: "no mask" });
  await fails(
    args,
    1,
    `Cannot load masks: 3 of 3 pairs are bad, first: Cannot use mask ${own.path}/masks/a.png: ` +
      "it is no PNG of class indices: save it as a grey or palette PNG",
  );
});

Deno.test("eval segment refuses options, files and data that do not fit, in one sentence", async () => {
  await using own = await temporaryFolder();
  const at = (name: string) => `${own.path}/${name}`;
  const refused = (args: string[], sentence: string) => fails([...COMMON, ...args], 2, sentence);
  await refused(["--whole", "--slide", "48,32"], "Options --whole and --slide do not go together");
  for (const slide of ["48", "20,8", "16,8", "48,49", "48,0", "48,32,1", "a,b"]) {
    await refused(
      ["--slide", slide],
      "Option --slide expects CROP,STRIDE: a multiple of 8 from 24 up and a stride of at most that, " +
        `got ${slide}`,
    );
  }
  for (const scales of ["0,1", "9", "1,x", ""]) {
    await refused(
      ["--scales", scales],
      `Option --scales expects factors such as 0.75,1,1.25, got ${scales}`,
    );
  }
  await refused(["--images", "0"], "Option --images expects a positive integer, got 0");
  await refused(["--out", at("page.png")], `Cannot write ${at("page.png")}: name it FILE.html`);
  await refused(
    ["data.mean=0.5"],
    "Recipe field data.mean must be one number for each of the 3 channels, got 0.5",
  );
  await refused(["--val", "nowhere"], "Cannot read folder nowhere: no such file");
  const on = (checkpoint: string, data = DATA) => [
    ...["segment", "--checkpoint", checkpoint, "--data", data],
  ];
  await fails(["segment", "--checkpoint", MODEL], 2, /^Option --data is needed: /);
  await fails(on("nowhere.pth"), 2, "Cannot read nowhere.pth: no such file");
  await fails(on(MODEL, "nowhere"), 2, "Cannot read folder nowhere: no such file");
  await writeClassifier(at("classifier.safetensors"), 3);
  await writeAutoencoder(at("pretrained.safetensors"));
  for (const name of ["classifier", "pretrained"]) {
    const file = at(`${name}.safetensors`);
    await fails(
      on(file),
      1,
      `Cannot use ${file}: it is no segmenter: it has no decode_head.conv_seg.weight; ` +
        "make one with deno task finetune segment",
    );
  }
  await writeColours(at("two"), ["a"], { classes: ["thing", "stuff"] });
  await fails(
    on(MODEL, at("two")),
    2,
    `Cannot evaluate on ${at("two")}: it has 2 classes, the head of ${MODEL} has 3`,
  );
  const { code, out } = await evaluate("segment", "--help");
  assert.equal(code, 0);
  assert.ok(out.some((line) => line.includes("--slide CROP,STRIDE")));
});
