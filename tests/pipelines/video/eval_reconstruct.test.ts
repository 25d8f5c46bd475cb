import assert from "node:assert/strict";
import sharp from "sharp";
import { initialOf } from "../../../pipelines/pretrain.ts";
import { videoAutoencoder } from "../../../pipelines/video/pretrain.ts";
import { modelOf } from "../../../pipelines/video/recipe.ts";
import { toSafetensors } from "../../../src/checkpoint.ts";
import { writeSafetensors } from "../../../src/safetensors.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";
import { evaluate, fails, resultOf } from "../run_eval.ts";
import { writeAutoencoder } from "../tiny_models.ts";
import { tinyRecipe, writeClips } from "./tiny_clips.ts";

/** A checkpoint of pretraining, as a run leaves it. */
async function writeVideoAutoencoder(path: string, more: Record<string, string> = {}) {
  const recipe = tinyRecipe();
  const params = initialOf(videoAutoencoder(recipe), 0);
  await writeSafetensors(path, toSafetensors(params), {
    ...{ format: "pt", model: JSON.stringify(modelOf(recipe)) },
    ...more,
  });
}

Deno.test("eval reconstruct of a model of clips draws them in motion and still, the same every time", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const clips = JSON.stringify({ sampling: "dense", stride: 2, shortSide: 32 });
  await writeVideoAutoencoder(at("told.safetensors"), { clips, maskRatio: "0.75" });
  await writeVideoAutoencoder(at("bare.safetensors"));
  await writeAutoencoder(at("image.safetensors"));
  await writeClips(at("videos"), ["0.mp4", "1_bad.mp4", "2.mp4", "3.mp4"]);
  const common = ["reconstruct", "--data", at("videos"), "--images", "3", "--out", at("r.webp")];
  const args = [...common, "--checkpoint", at("told.safetensors")];
  const { loss, n, maskRatio, animations, skipped, out, err } = await resultOf(...args);
  assert.deepEqual([n, maskRatio, skipped], [3, 0.75, 1]);
  assert.ok(err.some((line) => line.includes("1_bad.mp4")));
  // Normalised cubes have a mean square of nearly one, which random predictions do not lower.
  assert.ok(loss as number > 0.8 && loss as number < 4, String(loss));
  assert.equal(JSON.parse(out.at(-1)!).out, at("r.png"));
  assert.deepEqual(animations, [at("r.webp"), at("r.gif")]);
  const [side, gap] = [7 * 32, 7 * 2];
  for (const path of animations as string[]) {
    const { pages, width, pageHeight } = await sharp(path, { animated: true }).metadata();
    const [w, h] = [3, 3].map((count) => count * (side + gap) + gap);
    assert.deepEqual([pages, width, pageHeight], [4, w, h]);
  }
  assert.equal((await sharp(at("r.png")).metadata()).width, 12 * (side + gap) + gap);
  const again = await Deno.readFile(at("r.gif"));
  assert.equal((await resultOf(...args)).loss, loss);
  assert.deepEqual(await Deno.readFile(at("r.gif")), again);

  // What no file tells is VideoMAE's: every fourth frame, 90 %.
  const bare = [...common, "--checkpoint", at("bare.safetensors")];
  assert.equal((await resultOf(...bare)).maskRatio, 0.9);
  const same = await resultOf(...bare, "--stride", "2", "maskRatio=0.75");
  assert.equal(same.loss, loss);

  await fails(
    [...args, "--decoder", "vlc"],
    2,
    "Option --decoder expects one of node-av, ffmpeg, got vlc",
  );
  await fails(
    [...args, "maskRatio=0.01"],
    2,
    /^Recipe field maskRatio = 0\.01 removes 0 of 16 cells/,
  );
  const image = [...common, "--checkpoint", at("image.safetensors"), "--stride", "2"];
  assert.equal((await evaluate(...image)).err.at(-1), "Option --stride is for models of clips");
});
