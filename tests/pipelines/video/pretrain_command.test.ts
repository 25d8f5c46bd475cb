import assert from "node:assert/strict";
import sharp from "sharp";
import { loadSafetensors } from "../../../src/safetensors.ts";
import { checkPage } from "../browser.ts";
import {
  complaints,
  exists,
  fails,
  lossesOf,
  metricsOf,
  type Outcome,
  pretrain,
  scratch,
  succeeds,
} from "../run_pretrain.ts";
import { clipsOf, TINY_VIDEO, tinyRecipe, writeClips } from "./tiny_clips.ts";

const COUNT = 6;
const reference = `${scratch}/reference`;
let made: Promise<Outcome> | undefined;

/** Four steps, which most tests look at. */
async function makeReference(): Promise<Outcome> {
  return await (made ??= runTo("reference", ["--steps", "4", "report.every=2"]));
}

async function runTo(name: string, args: string[]): Promise<Outcome> {
  const data = `data.path=${await clipsOf(COUNT)}`;
  return await succeeds(["video_quickstart", ...TINY_VIDEO, data, "--out", name, ...args]);
}

function bytesOf(folder: string): Promise<Uint8Array> {
  return Deno.readFile(`${scratch}/${folder}/checkpoint.safetensors`);
}

Deno.test("pretrain takes a recipe of clips, and prints how they are taken", async () => {
  const { out, err } = await makeReference();
  const value = (name: string) => out.split("\n").find((line) => line.startsWith(name))?.slice(12);
  assert.match(value("recipe")!, /^video_quickstart — /);
  assert.match(value("clips")!, /^6 of \/.* at 4 frames × 32 × 32, stride 2$/);
  assert.equal(value("images"), undefined);
  assert.equal(value("batch"), "4 effective = 4 × 1 micro-batch");
  assert.match(out, /^ {2}reconstruction\.webp +original, masked, reconstructed, in motion$/m);
  assert.match(out, /^Next: deno task pretrain --resume --out reference /m);
  assert.deepEqual(complaints({ code: 0, out, err }), []);
  const recipe = JSON.parse(await Deno.readTextFile(`${reference}/recipe.json`));
  const fields = [`data.path=${await clipsOf(COUNT)}`, "schedule.steps=4", "report.every=2"];
  assert.deepEqual(recipe, tinyRecipe(...fields));
});

Deno.test("checkpoint.safetensors of clips tells its model", async () => {
  await makeReference();
  const { tensors, metadata } = await loadSafetensors(`${reference}/checkpoint.safetensors`);
  const { model: settings, data: { mean, std } } = tinyRecipe();
  assert.deepEqual(JSON.parse(metadata.model), { ...settings, mean, std });
  assert.equal(metadata.mean, JSON.stringify(mean));
  const clips = { sampling: "dense", stride: 2, shortSide: 36 };
  assert.deepEqual(JSON.parse(metadata.clips), clips);
  assert.deepEqual(tensors.get("patch_embed1.proj.weight")!.shape, [8, 3, 2, 4, 4]);
  assert.deepEqual(tensors.get("blocks1.0.attn.weight")!.shape, [8, 1, 3, 5, 5]);
});

Deno.test("a run on clips draws its panels still and in motion", async () => {
  await makeReference();
  const panels = await Array.fromAsync(Deno.readDir(`${reference}/panels`), ({ name }) => name);
  assert.deepEqual(panels.sort(), [
    ...["masked.png", "original.png"],
    ...[2, 4].map((step) => `step-00000${step}.png`),
  ]);
  const [side, gap, rows] = [7 * 32, 7 * 2, 3];
  const sizeOf = async (name: string) => {
    const { width, height, pageHeight, pages } = await sharp(`${reference}/${name}`, {
      animated: true,
    }).metadata();
    return [width, pageHeight ?? height, pages ?? 1];
  };
  const height = rows * (side + gap) + gap;
  for (const name of panels) {
    assert.deepEqual(await sizeOf(`panels/${name}`), [4 * (side + gap) + gap, height, 1]);
  }
  assert.deepEqual(await sizeOf("reconstruction.png"), [12 * (side + gap) + gap, height, 1]);
  assert.deepEqual(await sizeOf("reconstruction.webp"), [3 * (side + gap) + gap, height, 4]);
  const events = await Array.fromAsync(Deno.readDir(reference), ({ name }) => name);
  const log = events.find((name) => name.startsWith("events.out"))!;
  assert.ok((await Deno.stat(`${reference}/${log}`)).size > 2 * 1000, "with pictures");
});

Deno.test("the report of a run on clips shows them in motion on every screen", async () => {
  await makeReference();
  const charts = ["Loss", "Learning rate", "Gradient norm", "Throughput", "Waiting for data"];
  await checkPage(`${reference}/report.html`, charts, 5); // motion, original, masked, two steps
  const page = await Deno.readTextFile(`${reference}/report.html`);
  assert.match(page, /<source media="\(prefers-reduced-motion: reduce\)" srcset="data:image\/webp/);
  assert.match(page, /alt="Clips in motion: original, masked, reconstructed"/);
  assert.match(page, /The same clips over time/);
  assert.match(page, /clips\/s/);
  assert.doesNotMatch(page, /images\/s/);
});

Deno.test("two steps and --resume, without the recipe's name, equal four steps", async () => {
  await makeReference();
  await runTo("halves", ["--steps", "2", "report.every=2"]);
  const { out } = await succeeds(["--resume", "--out", "halves", "--steps", "4"]);
  assert.match(out, /^steps +2 done of 4 /m);
  assert.deepEqual(await bytesOf("halves"), await bytesOf("reference"));
  const panels = (folder: string) => Deno.readFile(`${scratch}/${folder}/panels/step-000004.png`);
  assert.deepEqual(await panels("halves"), await panels("reference"));
});

Deno.test("pretrain passes over bad videos and tells them; clips held out have a loss", async () => {
  const data = `${scratch}/mixed`;
  await writeClips(data, ["0.mp4", "1.mp4", "2_bad.mp4", "3.mp4", "4.mp4"]);
  const held = `${scratch}/held`;
  await writeClips(held, ["0.mp4", "1_bad.mp4", "2.mp4"]);
  const args = ["video_quickstart", ...TINY_VIDEO, "--data", data, `data.valPath=${held}`];
  const more = ["--dense", "--decoder", "node-av", "checkpoint.every=2", "--steps", "2"];
  const outcome = await succeeds([...args, ...more, "model.frames=8", "--out", "mixed-run"]);
  assert.match(outcome.out, /^clips +5 of .* at 8 frames × 32 × 32, stride 2, 3 held out$/m);
  const [warning, count, ...bad] = complaints(outcome);
  assert.equal(warning, "Some videos have fewer than 15 frames: their last ones are repeated");
  assert.equal(count, "Skipped 2 bad files:");
  assert.deepEqual(bad.map((line) => /(\d)_bad\.mp4/.exec(line)?.[1]), ["1", "2"]);
  const listed = await Deno.readTextFile(`${scratch}/mixed-run/bad_files.txt`);
  assert.match(listed, /^.*held\/1_bad\.mp4\t.*\n.*mixed\/2_bad\.mp4\t.*\n$/);
  const [, { val_loss }] = await metricsOf(`${scratch}/mixed-run`);
  assert.ok(val_loss! > 0.5 && val_loss! < 4, `${val_loss}`);
  assert.ok((await lossesOf(`${scratch}/mixed-run`)).every(Number.isFinite));
  assert.ok(await exists(`${scratch}/mixed-run/best.safetensors`));
});

Deno.test("pretrain tells recipes of images from those of clips", async () => {
  const { out } = await pretrain(["--help"]);
  assert.match(out, /^ {2}videomcmae_base_k400 +arXiv/m);
  await fails(
    ["videomcmae_base_k40"],
    2,
    "Unknown recipe videomcmae_base_k40: did you mean videomcmae_base_k400?",
  );
  await fails(
    ["mae_base", "--decoder", "ffmpeg"],
    2,
    "Option --decoder is for recipes of videos: mae_base is of images",
  );
  await fails(
    ["videomae_base_k400", "--dense"],
    2,
    "Option --dense is for MCMAE recipes: videomae_base_k400 has no stages 1 and 2",
  );
  await fails(
    ["video_quickstart", "--decoder", "vlc"],
    2,
    "Recipe field data.decoder expects one of node-av, ffmpeg, got vlc",
  );
  await fails(
    ["videomcmae_base_k400"],
    2,
    "Recipe field data.path is needed: add --data DIR",
  );
  const missing = `${scratch}/missing`;
  await fails(["video_quickstart", "--data", missing], 2, /^Cannot read .*\/missing: /);
});

const VTEST = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"; // Debian's opencv-doc

Deno.test({
  name: "pretrain takes ten steps on a surveillance video",
  ignore: !await exists(VTEST),
  async fn() {
    await Deno.writeTextFile(`${scratch}/vtest.txt`, `${VTEST}\n`);
    const data = "data.path=vtest.txt";
    await succeeds(["video_quickstart", ...TINY_VIDEO, data, "--steps", "10", "--out", "vtest"]);
    const losses = await lossesOf(`${scratch}/vtest`);
    assert.equal(losses.length, 10);
    assert.ok(losses.every(Number.isFinite));
  },
});
