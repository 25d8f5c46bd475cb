import assert from "node:assert/strict";
import { UsageError } from "../../../pipelines/usage.ts";
import { motionsCommand } from "../../../pipelines/video/motions_command.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";

const refused = (args: string[], part: string) =>
  assert.rejects(
    motionsCommand(args),
    (error: Error) => error instanceof UsageError && error.message.includes(part),
  );

Deno.test("motions names an option that makes no sense, and keeps nothing of it", async () => {
  await using folder = await temporaryFolder();
  const out = ["--out", folder.path];
  await refused([...out, "--seed", "x"], "--seed");
  await refused([...out, "--pretrain-epochs", "-1"], "--pretrain-epochs");
  await refused([...out, "--finetune-epochs", "many"], "--finetune-epochs");
  await refused([...out, "more"], "more");
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});

Deno.test("motions does not mix runs of different settings", async () => {
  await using folder = await temporaryFolder();
  const settings = { seed: 0, pretrainEpochs: 1, finetuneEpochs: 1 };
  await Deno.writeTextFile(`${folder.path}/settings.json`, JSON.stringify(settings));
  await refused(["--out", folder.path], "other settings");
});
