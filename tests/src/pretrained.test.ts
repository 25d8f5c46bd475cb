import assert from "node:assert/strict";
import { initializer } from "../../src/init.ts";
import { initClassifier } from "../../src/models/classifier.ts";
import { loadClassifier, loadPretrained } from "../../src/pretrained.ts";
import { CheckpointError, toSafetensors } from "../../src/checkpoint.ts";
import { key } from "../../src/random.ts";
import { writeSafetensors } from "../../src/safetensors.ts";
import { loadSafetensors } from "../../src/safetensors.ts";
import { type Tensor, zeros } from "../../src/tensor.ts";
import { entries } from "../../src/tree.ts";

const scratch = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));

const FINETUNED = "tests/golden/checkpoint_finetune_zip.pth";

Deno.test("loadPretrained() reads a published classifier, value by value", async () => {
  const { params, settings, classes, pooling, match } = await loadPretrained(FINETUNED, {
    heads: 4,
  });
  const expected = await loadSafetensors(FINETUNED.replace(".pth", ".safetensors"));
  assert.deepEqual([settings.kind, classes, pooling], ["mcmae", 10, "mean"]);
  const leaves = entries<Tensor>(params);
  assert.equal(
    leaves.length,
    [...expected.tensors.keys()].filter((n) => n.startsWith("model.")).length,
  );
  for (const [path, { source }] of leaves) {
    const { data } = source as { data: Float32Array };
    assert.deepEqual(data, expected.tensors.get(`model.${path}`)!.data, path);
  }
  assert.deepEqual([match.missing, match.unexpected], [[], []]);
});

Deno.test("loadPretrained() interpolates positions for another image size", async () => {
  const { settings } = await loadPretrained(FINETUNED, { heads: 4 });
  const [side] = settings.imageSize;
  const imageSize = [side * 2, side * 3] as const;
  const { params, match } = await loadPretrained(FINETUNED, { heads: 4, imageSize });
  const { pos_embed } = params as { pos_embed: Tensor };
  const grown = match.reshaped[0].from[1] * 6;
  assert.deepEqual(pos_embed.shape.slice(0, 2), [1, grown]);
  assert.ok(match.reshaped[0].isInterpolated);
});

Deno.test("loadPretrained() names the file and what is wrong with it", async () => {
  const other = `${scratch}/other.safetensors`;
  await writeSafetensors(other, toSafetensors({ weight: zeros([2]) }));
  await assert.rejects(loadPretrained(other), {
    name: "CheckpointError",
    message: `Cannot use ${other}: it is no MCMAE and no MAE: it has no patch_embed.proj.weight`,
  });
  const half = `${scratch}/half.safetensors`;
  const { params } = await loadPretrained(FINETUNED, { heads: 4 });
  const tensors = toSafetensors(params).filter(([name]) => name !== "blocks3.0.attn.qkv.weight");
  await writeSafetensors(half, tensors);
  await assert.rejects(loadPretrained(half, { heads: 4 }), (error: Error) => {
    assert.match(
      error.message,
      /half.safetensors: it is no whole model: .*blocks3.0.attn.qkv.weight/,
    );
    assert.ok(!error.message.includes("\n"));
    return error instanceof CheckpointError;
  });
  await assert.rejects(loadPretrained(`${scratch}/none`), /Cannot read .*none: no such file/);
});

Deno.test("loadClassifier() leaves a head of other classes as it was, and tells", async () => {
  const { settings } = await loadPretrained(FINETUNED, { heads: 4 });
  const classifier = { encoder: settings, classes: 3, pooling: "mean" as const, dropPath: 0 };
  const initial = initClassifier(classifier, initializer(key(0)));
  const { params, mismatched } = await loadClassifier(FINETUNED, classifier, initial);
  assert.deepEqual(mismatched.map(({ name }) => name), ["head.weight", "head.bias"]);
  assert.equal(params.head.weight, initial.head.weight);
  assert.notEqual(params.fc_norm!.weight, initial.fc_norm!.weight);
});
