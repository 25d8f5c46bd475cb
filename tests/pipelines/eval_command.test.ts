import assert from "node:assert/strict";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { evaluate, fails, resultOf, writeDrawings } from "./run_eval.ts";
import { writeAutoencoder } from "./tiny_models.ts";

Deno.test("eval knn finds images among themselves, and ends with one line of JSON", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const names = ["a/1.png", "a/2.png", "b/3.png", "b/bad.png", "c/5.png"];
  await writeAutoencoder(at("model.safetensors"));
  await writeDrawings(at("images"), names);
  const common = ["knn", "--checkpoint", at("model.safetensors"), "--data", at("images")];
  const { out, err, code: _, ...result } = await resultOf(
    ...[...common, "--val", at("images"), "--k", "1"],
  );
  assert.deepEqual(result, {
    ...{ task: "knn", top1: 1, top5: 1, n: 4, nTrain: 4, classes: 3, k: 1, temperature: 0.07 },
    ...{ skipped: 1, checkpoint: at("model.safetensors") },
  });
  assert.match(out.join("\n"), /^top-1 +100\.00 %$/m);
  assert.match(err.join("\n"), /Skipped 1 bad file:\n {2}.*bad\.png/);
  await fails(
    common,
    2,
    `Cannot classify ${
      at("images")
    }: it has no splits train and val; add --val DIR or data.valShare=0.2`,
  );
});

Deno.test("eval refuses arguments that make no sense with exit code 2", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [model, images] = [at("model.safetensors"), at("images")];
  await writeAutoencoder(model);
  await writeDrawings(images, ["a/1.png", "b/2.png"]);
  await Deno.mkdir(at("empty"));
  const knn = ["knn", "--checkpoint", model, "--data", images, "--val", images];
  const maps = ["featuremaps", "--checkpoint", model, "--data", images, "--out", at("m.png")];
  const advice = "see deno task eval --help";
  const cases: [string[], string | RegExp][] = [
    [
      [],
      "Choose a task: knn, classify, segment, detect, coco, video, reconstruct, features, featuremaps, " +
      "linprobe",
    ],
    [["kn"], "Unknown task kn: did you mean knn?"],
    [["knn", "--data", images], `Option --checkpoint is needed: ${advice}`],
    [["knn", "--checkpoint", model], `Option --data is needed: ${advice}`],
    [[...knn, "--maps"], `Unknown option '--maps': ${advice}`],
    [[...knn, "--k", "0"], "Option --k expects a positive integer, got 0"],
    [[...knn, "--temperature", "x"], "Option --temperature expects a positive number, got x"],
    [[...knn, "more"], "Expected field.path=value, got more"],
    [[...knn, "data.cropPc=1"], "Unknown recipe field data.cropPc: did you mean data.cropPct?"],
    [[...knn, "data.cropPct=2"], /^Recipe field data\.cropPct must be in 0–1/],
    [[...knn, "batch.micro=0"], /^Recipe field batch\.micro must be a positive integer/],
    [
      [...knn, "model.imageSize=36,32"],
      /model\.imageSize has 36, which the stride 8 .* 32 and 40$/,
    ],
    [
      ["knn", "--checkpoint", at("no.pth"), ...knn.slice(3)],
      `Cannot read ${at("no.pth")}: no such file`,
    ],
    [
      ["knn", "--checkpoint", images, ...knn.slice(3)],
      `Cannot read ${images}: it is a folder, not a file of weights`,
    ],
    [
      ["knn", "--checkpoint", model, "--data", at("none")],
      `Cannot read folder ${at("none")}: no such folder`,
    ],
    [
      ["knn", "--checkpoint", model, "--data", at("empty")],
      /^Cannot use folder .*empty: it holds no/,
    ],
    [[...maps, "--mode", "max"], "Option --mode expects pca or mean, got max"],
    [[...maps, "--images", "-"], "Option --images expects a positive integer, got -"],
    [[...maps, "--split", "test"], "Option --split expects train, val or all, got test"],
  ];
  for (const [args, sentence] of cases) await fails(args, 2, sentence);
});

Deno.test("eval fails with one sentence on damaged and foreign files, exit code 1", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeAutoencoder(at("model.safetensors"));
  await writeDrawings(at("images"), ["a/1.png", "b/2.png"]);
  await Deno.writeFile(
    at("cut.safetensors"),
    (await Deno.readFile(at("model.safetensors"))).subarray(0, 9000),
  );
  await writeDrawings(at("bad"), ["bad_1.png", "bad_2.png"]);
  const run = (
    checkpoint: string,
    data: string,
  ) => ["features", "--checkpoint", at(checkpoint), "--data", at(data), "--out", at("f.npz")];
  await fails(run("cut.safetensors", "images"), 1, /^Cannot read .*cut\.safetensors: /);
  await fails(run("model.safetensors", "bad"), 1, /^Cannot load images: 2 of 2 are bad, first: /);
  await fails(run("images/a/1.png", "images"), 1, /^Cannot read .*1\.png: it is no checkpoint of/);
});

Deno.test("eval --help names every task and shows examples", async () => {
  for (const args of [["--help"], ["knn", "-h"]]) {
    const { code, out } = await evaluate(...args);
    assert.equal(code, 0);
    for (const task of ["knn", "linprobe", "classify", "reconstruct", "features", "featuremaps"]) {
      assert.match(out.join("\n"), new RegExp(`^ {2}${task} `, "m"));
    }
    assert.match(out.join("\n"), /^ {2}deno task eval features --checkpoint/m);
  }
});
