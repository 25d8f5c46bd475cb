import assert from "node:assert/strict";
import sharp from "sharp";
import { coloursOf, enlarge, principalComponents } from "../../pipelines/eval/feature_maps.ts";
import { key, normal } from "../../src/random.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { fails, resultOf, writeDrawings } from "./run_eval.ts";
import { MAE, writeAutoencoder, writeClassifier } from "./tiny_models.ts";

Deno.test("principalComponents() finds known directions, by variance and with a fixed sign", () => {
  const [rows, channels] = [400, 6];
  const draws = normal(key(3), 3 * rows);
  // Orthonormal directions; the largest entry of the first is negative as given.
  const directions = [[-0.8, 0.6, 0, 0, 0, 0], [0, 0, 0.6, 0.8, 0, 0], [0, 0, 0, 0, 1, 0]];
  const values = new Float32Array(rows * channels);
  for (let i = 0; i < rows; i++) {
    directions.forEach((direction, k) =>
      direction.forEach((x, c) =>
        values[i * channels + c] += (5 - c) + [9, 3, 1][k] * x * draws[k * rows + i]
      )
    );
  }
  const components = principalComponents(values, channels, 3);
  components.forEach((component, k) => {
    const sign = k === 0 ? -1 : 1;
    const draw = draws.slice(k * rows, (k + 1) * rows);
    const mean = draw.reduce((sum, z) => sum + z, 0) / rows;
    const expected = [...draw].map((z) => sign * [9, 3, 1][k] * (z - mean));
    const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
      Array.from(a, (x, i) => x * b[i]).reduce((sum, x) => sum + x, 0);
    const cosine = dot(component, expected) /
      Math.sqrt(dot(component, component) * dot(expected, expected));
    assert.ok(cosine > 0.99, `component ${k}: ${cosine}`); // draws correlate a little
    const mixed = components.slice(0, k).map((other) => Math.abs(dot(component, other)));
    assert.ok(mixed.every((x) => x < 1e-3), `component ${k}: ${mixed}`);
  });
  assert.deepEqual(principalComponents(values, channels, 3), components);
  const two = principalComponents(new Float32Array([1, 2, 3, 5]), 2, 3);
  assert.deepEqual([...two[2]], [0, 0]); // two channels have no third component
});

Deno.test("coloursOf() stretches over all positions together, and is grey where all are equal", () => {
  const values = Float32Array.from({ length: 200 }, (_, i) => Math.floor(i / 2));
  const grey = coloursOf(values, 2, "mean");
  assert.equal(grey.length, 300);
  assert.deepEqual([...grey.subarray(0, 3), ...grey.subarray(297)], [0, 0, 0, 255, 255, 255]);
  assert.ok(grey.every((byte, i) => i < 3 || byte >= grey[i - 3]));
  assert.deepEqual([...coloursOf(new Float32Array(8).fill(2), 4, "pca")], Array(6).fill(127));
});

Deno.test("enlarge() repeats pixels, also by no whole number", () => {
  const pixels = Uint8Array.from([1, 2].flatMap((x) => [x, x, x]));
  const large = enlarge(pixels, [1, 2], [2, 5]);
  const red = Array.from({ length: 10 }, (_, i) => large[3 * i]);
  assert.deepEqual(red, [1, 1, 1, 2, 2, 1, 1, 1, 2, 2]);
});

Deno.test("eval featuremaps draws a row an image: input, E1, E2, E3; of MAE, E3 alone", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("mcmae.safetensors"));
  await writeAutoencoder(at("mae.safetensors"), MAE);
  await writeDrawings(at("images"), ["1.png", "2_bad.png", "3.png", "4.png"]);
  const [side, gap] = [32, 2];
  for (
    const [name, columns] of [["mcmae", ["input", "e1", "e2", "e3"]], ["mae", ["input", "e3"]]]
  ) {
    for (const mode of ["pca", "mean"]) {
      const result = await resultOf(
        ...["featuremaps", "--checkpoint", at(`${name}.safetensors`), "--data", at("images")],
        ...["--out", at("maps.png"), "--images", "3", "--mode", mode, "batch.micro=2"],
      );
      assert.deepEqual([result.n, result.columns, result.skipped], [3, columns, 1]);
      const picture = sharp(at("maps.png"));
      const { width, height } = await picture.metadata();
      const scale = Math.floor(224 / side);
      assert.equal(width, scale * (columns.length * (side + gap) + gap));
      assert.equal(height, scale * (3 * (side + gap) + gap));
      if (name !== "mcmae" || mode !== "mean") continue;
      // Grey, and in E1 constant over each of its cells of 4 × 4 pixels, 8 × 8 a map.
      const left = scale * (gap + side + gap);
      const cell = await picture.extract({
        ...{ left, top: scale * gap, width: scale * 4, height: scale * 4 },
      }).removeAlpha().raw().toBuffer();
      assert.equal(new Set(cell).size, 1);
    }
  }
});

Deno.test("eval reconstruct draws three columns and tells the loss, the same every time", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeClassifier(at("head.safetensors"), 2);
  await writeDrawings(at("images"), ["1.png", "2.png", "3.png"]);
  const common = ["reconstruct", "--data", at("images"), "--images", "2", "--out", at("r.png")];
  const args = [...common, "--checkpoint", at("model.safetensors")];
  const { loss, n } = await resultOf(...args);
  assert.equal(n, 2);
  // Normalised patches have a mean square of nearly one, which random predictions do not lower.
  assert.ok(loss as number > 0.8 && loss as number < 4, String(loss));
  const { width, height } = await sharp(at("r.png")).metadata();
  assert.deepEqual([width, height], [7 * (3 * 34 + 2), 7 * (2 * 34 + 2)]);
  assert.equal((await resultOf(...args)).loss, loss);
  assert.notEqual((await resultOf(...args, "seed=1")).loss, loss);
  await fails(
    [...common, "--checkpoint", at("head.safetensors")],
    2,
    `Cannot reconstruct with ${at("head.safetensors")}: it has no decoder; ` +
      "name a checkpoint of pretraining",
  );
  await fails(
    [...args.slice(0, -4), "--out", at("images/r.png"), ...args.slice(-2)],
    2,
    `Cannot write ${at("images/r.png")}: it would become an image of ${at("images")}`,
  );
});
