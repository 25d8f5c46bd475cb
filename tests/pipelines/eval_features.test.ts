import assert from "node:assert/strict";
import { unzipSync } from "fflate";
import { evaluationCrop, normalise } from "../../data/augment.ts";
import { decodeImage } from "../../data/decode.ts";
import { findImages } from "../../data/find.ts";
import { prepareEmbedding } from "../../pipelines/embed.ts";
import { extractFeatures } from "../../pipelines/eval/features.ts";
import { openDevice } from "../../src/device.ts";
import { featuresOf } from "../../src/models/encoder.ts";
import { parseNpyHeader } from "../../src/npy.ts";
import { read } from "../../src/plan/read.ts";
import { loadPretrained } from "../../src/pretrained.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import { tensor } from "../../src/tensor.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { evaluate, fails, resultOf, writeDrawings } from "./run_eval.ts";
import { MCMAE, writeAutoencoder, writeClassifier } from "./tiny_models.ts";

const device = await openDevice();
const [MEAN, STD] = [[0.5, 0.4, 0.3], [0.25, 0.2, 0.3]]; // of the files that tiny_models writes

/** Three good images of two classes, and a bad one. */
const NAMES = ["a/1.png", "a/2_bad.png", "b/3.png", "b/ü 4.png"];
const GOOD = NAMES.filter((name) => !name.includes("bad"));

/** Features of one image, computed alone. */
async function alone(checkpoint: string, file: string, layer: string, pooled = true) {
  const { params, settings } = await loadPretrained(checkpoint);
  const pixels = normalise(evaluationCrop(await decodeImage(file), 32, 32), MEAN, STD);
  const images = tensor(pixels, [1, 32, 32, 3]);
  const { [layer]: features } = featuresOf(params, settings, images, [layer], pooled);
  return { values: await read(device, features) as Float32Array, shape: features.shape.slice(1) };
}

function near(found: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(found.length, expected.length, what);
  found.forEach((x, i) => assert.ok(Math.abs(x - expected[i]) < 1e-5, `${what}: ${x}`));
}

Deno.test("extractFeatures() equals the model on each image alone, and leaves bad ones out", async () => {
  await using folder = await temporaryFolder();
  const [checkpoint, images] = [`${folder.path}/model.safetensors`, `${folder.path}/images`];
  await writeAutoencoder(checkpoint);
  await writeDrawings(images, NAMES);
  const { train } = await findImages(images);
  const pretrained = await loadPretrained(checkpoint);
  for (const batch of [2, undefined]) { // a short last batch, and one for all
    const layers = ["global", "e1", "latent", "blocks3.0"];
    for (const pooled of [true, false]) {
      const found = await extractFeatures(device, pretrained, train, { layers, pooled, batch });
      assert.deepEqual([...found.indices], [0, 2, 3]);
      assert.deepEqual([...found.labels!], [0, 1, 1]);
      assert.deepEqual(found.names, GOOD);
      assert.deepEqual([...found.skipped.keys()], [`${images}/a/2_bad.png`]);
      for (const layer of layers) {
        for (const [i, name] of GOOD.entries()) {
          const { values, shape } = await alone(checkpoint, `${images}/${name}`, layer, pooled);
          assert.deepEqual(found.shapes[layer], [3, ...shape]);
          const { length } = values;
          const row = found.features[layer].subarray(i * length, (i + 1) * length);
          near(row, values, `${layer} of ${name}`);
        }
      }
    }
  }
});

Deno.test("eval features writes layers, labels and names as safetensors and npz, in order", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeDrawings(at("images"), NAMES);
  const common = ["--checkpoint", at("model.safetensors"), "--data", at("images")];
  const { values } = await alone(at("model.safetensors"), at("images/b/3.png"), "e2");
  for (const out of [at("f.safetensors"), at("f.npz")]) {
    const printed = await resultOf("features", ...common, "--out", out, "--layers", "e2,global");
    const { task, n, skipped, shapes } = printed;
    assert.deepEqual([task, n, skipped, shapes], ["features", 3, 1, {
      e2: [3, 12],
      global: [3, 16],
    }]);
    assert.match(printed.err.join("\n"), /Skipped 1 bad file:\n {2}.*2_bad\.png/);
    assert.match(printed.err[0], /^\d+ of \d+ parameters are loaded$/);
  }
  const { tensors, metadata } = await loadSafetensors(at("f.safetensors"));
  assert.deepEqual([...tensors.keys()].sort(), ["e2", "global", "labels"]);
  assert.deepEqual(JSON.parse(metadata.names), GOOD);
  const labels = tensors.get("labels")!;
  assert.deepEqual([labels.dtype, [...labels.data].map(Number)], ["I64", [0, 1, 1]]);
  const stored = tensors.get("e2")!.data as Float32Array;
  near(stored.subarray(12, 24), values as Float32Array, "e2");

  const arrays = unzipSync(await Deno.readFile(at("f.npz")));
  assert.deepEqual(Object.keys(arrays).sort(), ["e2.npy", "global.npy", "labels.npy", "names.npy"]);
  const array = (name: string) => {
    const bytes = arrays[name] as Uint8Array<ArrayBuffer>;
    const { descr, shape, start } = parseNpyHeader(bytes);
    return { descr, shape, body: bytes.slice(start).buffer };
  };
  const { body, ...about } = array("e2.npy");
  assert.deepEqual(about, { descr: "<f4", shape: [3, 12] });
  assert.deepEqual(new Float32Array(body), new Float32Array(stored));
  assert.deepEqual([...new BigInt64Array(array("labels.npy").body)], [0n, 1n, 1n]);
  const names = array("names.npy");
  assert.deepEqual([names.descr, names.shape], ["<U9", [3]]); // b/ü 4.png
  const points = new Uint32Array(names.body);
  const texts = GOOD.map((_, i) =>
    String.fromCodePoint(...points.subarray(9 * i, 9 * i + 9)).replaceAll("\0", "")
  );
  assert.deepEqual(texts, GOOD);
});

Deno.test("eval features joins splits under their names, or takes one", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeDrawings(at("images"), ["train/a/1.png", "train/b/1.png", "val/b/1.png"]);
  const common = ["--checkpoint", at("model.safetensors"), "--data", at("images")];
  const stored = async (...args: string[]) => {
    await resultOf("features", ...common, "--out", at("f.safetensors"), ...args);
    return await loadSafetensors(at("f.safetensors"));
  };
  const all = await stored("--maps", "--layers", "e1,e3");
  assert.deepEqual(JSON.parse(all.metadata.names), [
    "train/a/1.png",
    "train/b/1.png",
    "val/b/1.png",
  ]);
  assert.deepEqual(all.tensors.get("e3")!.shape, [3, 16, 16]);
  assert.deepEqual(all.tensors.get("e1")!.shape, [3, 8, 8, 8]);
  assert.deepEqual([...all.tensors.get("labels")!.data].map(Number), [0, 1, 1]);
  const val = await stored("--split", "val");
  assert.deepEqual(JSON.parse(val.metadata.names), ["b/1.png"]);
  const flat = ["--checkpoint", at("model.safetensors"), "--data", at("images/train")];
  await fails(
    ["features", ...flat, "--out", at("g.npz"), "--split", "val"],
    2,
    `Cannot use --split val: ${at("images/train")} has no splits train and val`,
  );
});

Deno.test("eval features names the layers that exist, and files that cannot be written", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeClassifier(at("head.safetensors"), 2);
  await writeDrawings(at("images"), ["a.png"]);
  const common = ["features", "--checkpoint", at("model.safetensors"), "--data", at("images")];
  const blocks = "patch_embed1, blocks1.0, patch_embed2, blocks2.0, patch_embed3, patch_embed4, " +
    "blocks3.0";
  await fails(
    [...common, "--out", at("f.npz"), "--layers", "global,blocks4.0"],
    2,
    `The model has no feature blocks4.0: choose from global, e1, e2, e3, latent, ${blocks}`,
  );
  const other = ["features", "--checkpoint", at("head.safetensors"), "--data", at("images")];
  await fails(
    [...other, "--out", at("f.npz"), "--layers", "latent"],
    2,
    `The model has no feature latent: choose from global, e1, e2, e3, ${blocks}`,
  );
  await fails(common, 2, "Option --out is needed: --out FILE.safetensors or FILE.npz");
  await fails(
    [...common, "--out", at("f.txt")],
    2,
    `Cannot write ${at("f.txt")}: name it FILE.safetensors or FILE.npz`,
  );
  await fails(
    [...common, "--out", at("no/f.npz")],
    2,
    `Cannot write ${at("no/f.npz")}: there is no folder ${at("no")}`,
  );
  assert.deepEqual([...Deno.readDirSync(folder.path)].length, 3); // nothing is left
});

Deno.test("eval features takes mean and deviation of the fields before the file's", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const grey = { ...MCMAE, channels: 1 };
  await writeAutoencoder(at("plain.safetensors"), grey, {});
  await writeDrawings(at("images"), ["1.png"]);
  const run = async (...fields: string[]) => {
    const { err } = await resultOf(
      ...["features", "--checkpoint", at("plain.safetensors"), "--data", at("images")],
      ...["--out", at("f.safetensors"), ...fields],
    );
    const { tensors } = await loadSafetensors(at("f.safetensors"));
    return { err, features: [...tensors.get("global")!.data] };
  };
  const note = "The file does not tell the mean and deviation of its pixels: " +
    "taking data.mean=0.5 data.std=0.25";
  const guessed = await run();
  assert.equal(guessed.err.at(-1), note);
  const given = await run("data.mean=0.5", "data.std=0.25");
  assert.deepEqual(given.features, guessed.features);
  assert.ok(!given.err.includes(note));
  assert.notDeepEqual((await run("data.mean=0.1", "data.std=0.25")).features, guessed.features);
  const { code, err } = await evaluate(
    ...["features", "--checkpoint", at("plain.safetensors"), "--data", at("images")],
    ...["--out", at("f.npz"), "data.mean=1,2,3"],
  );
  assert.equal(code, 2);
  assert.match(
    err.at(-1)!,
    /^Recipe field data\.mean must be one number for each of the 1 channels/,
  );
});

Deno.test("prepareEmbedding() embeds a folder and a decoded image alike", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeDrawings(at("images"), NAMES);
  const encoder = await prepareEmbedding(device, at("model.safetensors"), { layer: "e2" });
  const { features, names, labels, skipped } = await encoder.embedFolder(at("images"));
  assert.deepEqual([names, [...labels!], skipped.size], [GOOD, [0, 1, 1], 1]);
  assert.deepEqual([encoder.width, features.length], [12, 36]);
  const one = await encoder.embedImage(await decodeImage(at("images/b/3.png")));
  near(one, features.slice(12, 24), "e2");
  encoder.destroy();
});
