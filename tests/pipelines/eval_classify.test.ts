import assert from "node:assert/strict";
import { ConfusionCount } from "../../pipelines/eval/classify.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { fails, resultOf, writeDrawings } from "./run_eval.ts";
import { writeAutoencoder, writeClassifier } from "./tiny_models.ts";

Deno.test("ConfusionCount counts classes and their mistakes, the most frequent first", () => {
  const count = new ConfusionCount(3);
  count.add(new Float32Array([3, 1, 2, 0, 5, 1]), [0, 2]);
  count.add(new Float32Array([0, 1, 0, 9, 2, 3, 9, 3, 2]), [2, 1, 0]);
  assert.deepEqual(count.byClass(), [
    { label: 0, n: 2, right: 2 },
    { label: 1, n: 1, right: 0 },
    { label: 2, n: 2, right: 0 },
  ]);
  assert.deepEqual(count.mistakes(5), [
    { label: 2, predicted: 1, n: 2 },
    { label: 1, predicted: 0, n: 1 },
  ]);
  assert.equal(count.mistakes(1).length, 1);
  assert.equal(count.accuracy.result().top1, 2 / 5);
  assert.throws(() => count.add(new Float32Array([0, NaN, 1]), [1]), /a score is NaN/);
});

Deno.test("eval classify maps class folders by name to the outputs of the head", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeDrawings(at("images"), [
    ...["train/ape/1.png", "train/bee/1.png", "train/cat/1.png"],
    ...["val/bee/1.png", "val/bee/2.png", "val/cat/3.png", "val/cat/bad.png"],
  ]);
  // Always says the head's third output, which is called bee there.
  const names = ["yak", "cat", "bee", "ape", "dog", "eel", "fox"];
  const bias = [0, 1, 9, 8, 7, 6, 5];
  await writeClassifier(at("named.safetensors"), 7, { names, bias });
  const common = ["classify", "--checkpoint", at("named.safetensors"), "--data", at("images")];
  const { out, ...result } = await resultOf(...common);
  assert.deepEqual([result.task, result.n, result.skipped], ["classify", 3, 1]);
  // cat is the sixth of its scores.
  assert.deepEqual([result.top1, result.top5], [0.6667, 0.6667]);
  const text = out.join("\n");
  assert.match(text, /^bee +100\.00 % +2$/m);
  assert.match(text, /^cat +0\.00 % +1$/m);
  assert.match(text, /^cat +bee +1$/m);
  assert.doesNotMatch(text, /^ape/m); // it has no image to classify

  await writeDrawings(at("images"), ["train/gnu/1.png"]);
  await fails(
    common,
    2,
    `Cannot classify ${at("images")}: the model in ${
      at("named.safetensors")
    } does not know its class gnu`,
  );
});

Deno.test("eval classify takes all images where there are no splits, and --val before", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeDrawings(at("images"), ["a/1.png", "a/2.png", "b/3.png"]);
  await writeDrawings(at("other"), ["b/1.png", "b/2.png"]);
  await writeClassifier(at("head.safetensors"), 2, { bias: [1, 0] });
  const common = ["classify", "--checkpoint", at("head.safetensors"), "--data", at("images")];
  const all = await resultOf(...common, "data.cropPct=1", "batch.micro=2");
  assert.deepEqual([all.n, all.top1, all.top5], [3, 0.6667, 1]);
  const other = await resultOf(...common, "--val", at("other"));
  assert.deepEqual([other.n, other.top1], [2, 0]);
});

Deno.test("eval classify refuses another number of classes, and files without a head", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  await writeDrawings(at("images"), ["a/1.png", "b/2.png"]);
  await writeClassifier(at("head.safetensors"), 10);
  await writeAutoencoder(at("model.safetensors"));
  await fails(
    ["classify", "--checkpoint", at("head.safetensors"), "--data", at("images")],
    2,
    `Cannot classify ${at("images")}: it has 2 classes, the head of ${
      at("head.safetensors")
    } has 10`,
  );
  await fails(
    ["classify", "--checkpoint", at("model.safetensors"), "--data", at("images")],
    2,
    `Cannot classify with ${
      at("model.safetensors")
    }: it is no classifier, it has no head.weight; ` +
      "make one with deno task finetune",
  );
});
