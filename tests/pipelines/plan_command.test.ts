import assert from "node:assert/strict";
import { main } from "../../pipelines/main.ts";
import { writeAutoencoder } from "./tiny_models.ts";

const scratch = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));

// A plan that asked for an adapter would fail.
Object.defineProperty(navigator, "gpu", { get: () => assert.fail("a device was asked for") });

/** Runs the command here. */
async function plan(...args: string[]) {
  const [out, err]: string[][] = [[], []];
  const { log, error } = console;
  console.log = (text: string) => void out.push(...text.split("\n"));
  console.error = (text: string) => void err.push(...text.split("\n"));
  try {
    return { code: await main(["plan", ...args]), out, err };
  } finally {
    Object.assign(console, { log, error });
  }
}

/** What `--json` gives. */
async function figures(...args: string[]) {
  const { code, out, err } = await plan(...args, "--json");
  assert.deepEqual([code, err], [0, []]);
  return JSON.parse(out.at(-1)!);
}

Deno.test("plan: mcmae_base at 64 takes at most a tenth more than the least, with and without blocks again", async () => {
  const [least, whole] = [
    await figures("mcmae_base", "batch.micro=64"),
    await figures("mcmae_base", "batch.micro=64", "--limit", String(2 ** 31)),
  ];
  for (const { none, blocks, recipe, recompute } of [least, whole]) {
    assert.deepEqual([recipe, recompute], ["mcmae_base", "none"]);
    for (const { ratio, peakBytes, liveBytes, bytes } of [none, blocks]) {
      const { parameters, gradients, state, average, slots, other } = bytes;
      const kept = parameters + gradients + state + average;
      assert.equal(peakBytes, kept + slots + other);
      assert.equal(ratio, peakBytes / (liveBytes + kept));
      assert.ok(ratio >= 1 && ratio < 1.1, `${ratio}`);
      assert.equal(parameters, 4 * (114_790_528 + 250_880));
      assert.equal(state, 2 * 4 * 114_790_528);
    }
    assert.ok(blocks.liveBytes < 0.25 * none.liveBytes);
    assert.ok(blocks.peakBytes < 0.6 * none.peakBytes);
    assert.ok(blocks.dispatches > none.dispatches);
    // A third of a step is forward, and nearly all of that in blocks.
    const again = blocks.cost.flops / none.cost.flops;
    assert.ok(again > 1.15 && again < 4 / 3, `${again}`);
  }
  assert.equal(whole.none.parts, 1);
  assert.equal(whole.none.notice, undefined);
  assert.equal(least.none.parts, 2);
  assert.match(
    least.none.notice,
    /^batch\.micro=64 goes in 2 parts of 32, since .+ in stage encode takes 196 MiB, and the adapter binds at most 128 MiB$/,
  );
  const { largest, stages } = least.none;
  assert.ok(largest.bytes <= 2 ** 27 && largest.stage === "encode", JSON.stringify(largest));
  assert.deepEqual(
    new Set(["encode", "decode", "loss", "decode backward", "encode backward", "optimizer"])
      .difference(new Set(stages.map(({ stage }: { stage: string }) => stage))),
    new Set(),
  );
});

Deno.test("plan: recipes of clips and of fine-tuning, in words", async () => {
  const clips = await plan("video_quickstart", "batch.micro=4");
  assert.equal(clips.code, 0);
  for (
    const line of [
      ...[/^parameters: 188,224 trained/, /^peak +\d+ MiB +\d+ MiB$/, /^encode backward /],
      ...[/^GFLOP a step +\d+\.\d +\d+\.\d$/, /^GiB moved a step +/, /^depthwise +\d/],
    ]
  ) {
    assert.ok(clips.out.some((text) => line.test(text)), `${line} in ${clips.out.join("\n")}`);
  }
  await writeAutoencoder(`${scratch}/model.safetensors`);
  const checkpoint = ["--checkpoint", `${scratch}/model.safetensors`];
  const [few, many] = [
    await figures("finetune", ...checkpoint, "--classes", "3"),
    await figures("finetune", ...checkpoint, "memory.recompute=blocks"),
  ];
  // 16 weights and a bias a class; of 1000 classes, unless told otherwise.
  assert.equal(many.none.parameters.trained - few.none.parameters.trained, 997 * 17);
  assert.equal(many.recompute, "blocks");
});

Deno.test("plan: recipes of segmentation, in words and figures", async () => {
  await writeAutoencoder(`${scratch}/encoder.safetensors`);
  const segment = [
    ...["segment", "--checkpoint", `${scratch}/encoder.safetensors`, "model.imageSize=48,48"],
    ...["model.headChannels=8", "model.auxiliaryChannels=4"],
  ];
  const { code, out, err } = await plan(...segment, "data.classes=3");
  assert.deepEqual([code, err], [0, []]);
  for (
    const line of [
      ...[/^segment, memory\.recompute=none$/, /^batch: 16 effective = 4 × 4 micro-batches$/],
      ...[/^parameters: 16,582 trained, 0 frozen$/, /^decode backward /, /^convolution +\d/],
    ]
  ) {
    assert.ok(out.some((text) => line.test(text)), `${line} in ${out.join("\n")}`);
  }
  // Running moments are neither trained nor without memory.
  const [few, many] = [
    await figures(...segment, "data.classes=3"),
    await figures(...segment, "--classes", "5"),
  ];
  assert.equal(few.none.bytes.parameters, 4 * (16_582 + 2 * (16 + 12 * 8 + 4)));
  assert.equal(few.none.bytes.state, 2 * 4 * 16_582);
  // 8 and 4 weights and a bias a class.
  assert.equal(many.none.parameters.trained - few.none.parameters.trained, 2 * (9 + 5));
});

Deno.test("plan says what no part of a batch fits, with exit code 1", async () => {
  const { code, out, err } = await plan("mcmae_base", "--limit", "1000000");
  assert.deepEqual([code, err], [1, []]);
  assert.match(
    out[2],
    /^Use a smaller batch, image or model: .+ and the adapter binds at most 1 MiB$/,
  );
  assert.equal(out.length, 3);
});

Deno.test("plan refuses what makes no sense in one sentence, with exit code 2", async () => {
  const refused = async (args: string[], sentence: string | RegExp) => {
    const { code, out, err } = await plan(...args);
    assert.deepEqual([code, out, err.length], [2, [], 1], err.join("\n"));
    if (typeof sentence === "string") assert.equal(err[0], sentence);
    else assert.match(err[0], sentence);
  };
  await refused(["mcmea_base"], "Unknown recipe mcmea_base: did you mean mcmae_base?");
  await refused(["quickstart", "mae_base"], "Expected one recipe, got quickstart and mae_base");
  await refused(["batch.mirco=2"], "Unknown recipe field batch.mirco: did you mean batch.micro?");
  await refused(["batch.micro=0"], "Recipe field batch.micro must be a positive integer, got 0");
  await refused(
    ["memory.recompute=all"],
    "Recipe field memory.recompute expects one of none, blocks, got all",
  );
  await refused(["--limit", "128MiB"], "Option --limit expects a positive integer, got 128MiB");
  await refused(["--classes", "0"], "Option --classes expects a positive integer, got 0");
  await refused(["--fast"], "Unknown option '--fast': see deno task plan --help");
  await refused(["finetune"], "Name the pretrained model: add --checkpoint FILE");
  await refused(["finetune", "--checkpoint", "none"], "Cannot read none: no such file");
  await refused(
    ["quickstart", "--checkpoint", "none"],
    "Option --checkpoint is for recipes of finetune: quickstart is none",
  );
});

Deno.test("plan --help explains itself", async () => {
  const { code, out } = await plan("--help");
  assert.equal(code, 0);
  assert.ok(out.some((line) => line.includes("--limit BYTES")));
});
