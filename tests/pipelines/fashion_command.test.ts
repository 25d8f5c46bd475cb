import assert from "node:assert/strict";
import { fashionCommand } from "../../pipelines/fashion_command.ts";
import { UsageError } from "../../pipelines/usage.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { writeSplits } from "./fashion_splits.ts";

const refused = (args: string[], part: string) =>
  assert.rejects(
    fashionCommand(args),
    (error: Error) => error instanceof UsageError && error.message.includes(part),
  );

Deno.test("fashion names an option that makes no sense, and keeps nothing of it", async () => {
  await using data = await temporaryFolder();
  await using out = await temporaryFolder();
  const options = ["--data", data.path, "--out", out.path];
  await refused([...options, "--seeds", "0"], "--seeds");
  await refused([...options, "--images", "many"], "--images");
  await refused([...options, "--pretrain-epochs", "0"], "--pretrain-epochs");
  await refused([...options, "--finetune-epochs=-1"], "--finetune-epochs");
  await refused([...options, "--jobs", "0"], "--jobs");
  await refused([...options, "more"], "more");
  await refused(["--out", out.path, "--data", `${data.path}/none`], "no such folder");
  assert.deepEqual([...Deno.readDirSync(out.path)], []);
});

Deno.test("fashion does not mix results of different settings", async () => {
  await using data = await temporaryFolder();
  await using out = await temporaryFolder();
  await writeSplits(data.path);
  const kept = JSON.stringify({ about: {}, results: [] });
  await Deno.writeTextFile(`${out.path}/results.json`, kept);
  await refused(["--data", data.path, "--out", out.path], "other settings");
  assert.equal(await Deno.readTextFile(`${out.path}/results.json`), kept);
});
