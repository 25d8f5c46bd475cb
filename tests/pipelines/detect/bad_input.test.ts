import assert from "node:assert/strict";
import { main } from "../../../pipelines/main.ts";
import { exists, scratch } from "../run_pretrain.ts";
import { writeAutoencoder } from "../tiny_models.ts";
import { annotationsOf, squaresOf } from "../../data/things/squares.ts";
import { write } from "../../data/masks/pairs.ts";
import { TINY_DETECTOR, writeTraining } from "./tiny_detectors.ts";

const DATA = `${scratch}/squares`;
const PRETRAINED = `${scratch}/pretrained.safetensors`;
const never = `${scratch}/never`; // no refused command may write here
await writeTraining(DATA, PRETRAINED);

/** The command must end with a sentence on stderr, print nothing else, and write nothing. */
async function refused(args: string[], code: 1 | 2, sentence: string | RegExp): Promise<void> {
  const [out, err]: [string[], string[]] = [[], []];
  const { log, error } = console;
  console.log = (text: string) => void out.push(text);
  console.error = (text: string) => void err.push(...text.split("\n"));
  let found: number;
  try {
    found = await main(args);
  } finally {
    Object.assign(console, { log, error });
  }
  const last = err.at(-1) ?? "";
  if (typeof sentence === "string") assert.equal(last, sentence);
  else assert.match(last, sentence);
  assert.equal(found, code);
  assert.deepEqual(out, []);
  assert.ok(!await exists(never));
}

const finetune = (data: string, ...fields: string[]) => [
  ...["finetune", "detect", "--checkpoint", PRETRAINED, "--data", data, "--out", never],
  ...[...TINY_DETECTOR, ...fields],
];

/** A folder whose annotations are changed. */
async function changed(
  name: string,
  change: (all: ReturnType<typeof annotationsOf>) => void,
): Promise<string> {
  const folder = `${scratch}/${name}`;
  const all = annotationsOf({ "0.png": squaresOf(0) });
  change(all);
  await write(folder, { "images/0.png": "", "instances.json": JSON.stringify(all) });
  return folder;
}

Deno.test("finetune detect refuses annotations that are empty, twice there or lead nowhere", async () => {
  const empty = await changed("empty", (all) => all.annotations.length = 0);
  await refused(
    finetune(empty),
    2,
    `Cannot use ${empty}/instances.json: its list annotations is empty`,
  );
  const unknown = await changed("unknown", ({ annotations }) => annotations[1].category_id = 7);
  await refused(
    finetune(unknown),
    2,
    `Cannot use ${unknown}/instances.json: annotations[1].category_id must be an id of its ` +
      "categories, got 7",
  );
  const twice = await changed("twice", ({ annotations }) => annotations[1].id = 1);
  await refused(
    finetune(twice),
    2,
    `Cannot use ${twice}/instances.json: annotations[0] and [1] have the same id 1`,
  );
  const crowd = await changed(
    "crowd",
    ({ annotations }) => annotations.forEach((one) => one.iscrowd = 1),
  );
  await refused(
    finetune(crowd),
    2,
    `Cannot train on ${crowd}: no image of it shows an annotated thing`,
  );
});

Deno.test("finetune detect refuses masks that are none, and images that are missing", async () => {
  const broken = await changed("broken", ({ annotations }) => {
    annotations[0].segmentation = { size: [64, 64], counts: "~~" };
  });
  await refused(
    finetune(broken),
    2,
    /instances\.json: annotations\[0\]\.segmentation has a broken/,
  );
  const missing = await changed("missing", ({ images }) => images[0].file_name = "1.png");
  await refused(
    finetune(missing),
    2,
    `Cannot use ${missing}/instances.json: images[0].file_name 1.png is not in ${missing}/images`,
  );
  await refused(
    finetune(`${scratch}/nowhere`),
    2,
    /^Cannot use folder \S+nowhere: it does not hold /,
  );
});

Deno.test("finetune detect refuses fields and encoders that do not fit", async () => {
  const cases: [string[], string][] = [
    [["model.imageSize=48,64"], "model.imageSize must be multiples of 32, got 48,64"],
    [["model.globalBlocks=0,1"], "model.globalBlocks must be blocks below 1, got 0,1"],
    [["data.jitter=2,1"], "data.jitter must be a positive range, or null, got 2,1"],
    [["data.jitter=null"], "data.longer must be at most model.imageSize, 64, got 1024"],
    [["sampling.regions=0"], "sampling.regions must be a positive integer, got 0"],
    [["model.norm=GN"], "model.norm expects one of none, BN, LN, got GN"],
  ];
  for (const [fields, sentence] of cases) {
    await refused(finetune(DATA, ...fields), 2, `Recipe field ${sentence}`);
  }
  const other = `${scratch}/other.safetensors`;
  await writeAutoencoder(other); // of patches 4, 2 and 1
  await refused(
    finetune(DATA).with(3, other),
    2,
    "Recipe field model.patchSizes must be 4,2,2: maps at strides 4, 8 and 16, got 4,2,1",
  );
});

Deno.test("eval detect and detect refuse what is no detector, and what is not there", async () => {
  const none = /^Cannot use \S+pretrained\.safetensors: it is no detector: it has no roi_heads\./;
  await refused(["eval", "detect", "--checkpoint", PRETRAINED, "--data", DATA], 1, none);
  const image = `${DATA}/val/images/0.png`;
  await refused(["detect", "--checkpoint", PRETRAINED, image, "--out", never], 1, none);
  await refused(["detect", image], 2, "Name the detector: add --checkpoint FILE");
  await refused(["detect", "--checkpoint", PRETRAINED], 2, "Name one picture or more");
  const gone = `${scratch}/gone.png`;
  await refused(
    ["detect", "--checkpoint", PRETRAINED, gone],
    2,
    `Cannot read ${gone}: no such file`,
  );
  await refused(
    ["detect", "--checkpoint", PRETRAINED, image, "--score", "2"],
    2,
    "Option --score expects a number from 0 to 1, got 2",
  );
});
