import assert from "node:assert/strict";
import { encodeClip } from "../../../data/clips/encode.ts";
import { dataCommand } from "../../../pipelines/verify_command.ts";
import { UsageError } from "../../../pipelines/usage.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";

/** Runs the command; its exit code and what it printed. */
async function verify(...args: string[]) {
  const lines: string[] = [];
  const log = console.log;
  console.log = (line: string) => lines.push(line);
  try {
    return { code: await dataCommand(["verify", ...args]), text: lines.join("\n") };
  } finally {
    console.log = log;
  }
}

Deno.test("data verify --clips counts and lists missing, unreadable and short videos", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const clip = (frames: number) => ({
    ...{ frames, height: 32, width: 32, channels: 3 },
    pixels: new Uint8Array(frames * 32 * 32 * 3),
  });
  await encodeClip(clip(12), `${path}/long.mp4`, { fps: 12 });
  await encodeClip(clip(5), `${path}/short.mp4`, { fps: 12 });
  const bytes = await Deno.readFile(`${path}/long.mp4`);
  await Deno.writeFile(`${path}/cut.mp4`, bytes.subarray(0, bytes.length >> 1));
  await Deno.writeFile(`${path}/empty.mp4`, new Uint8Array());
  const list = `${path}/list.txt`;
  const names = ["long", "short", "cut", "empty", "gone"];
  await Deno.writeTextFile(list, names.map((name) => `${name}.mp4 0\n`).join(""));

  const { code, text } = await verify(list, "--clips", "4x2", "--json");
  assert.equal(code, 1);
  const found = JSON.parse(text);
  assert.equal(found.clips, 5);
  assert.deepEqual(found.missing, [{ file: `${path}/gone.mp4`, line: 5 }]);
  assert.deepEqual(found.unreadable.map(({ line }: { line: number }) => line), [3, 4]);
  assert.deepEqual(found.short, [{ file: `${path}/short.mp4`, line: 2, frames: 5 }]);

  const words = (await verify(list, "--clips", "4x2")).text;
  assert.match(words, /1 missing\n {2}line 5: .*gone\.mp4/);
  assert.match(words, /2 unreadable\n {2}line 3: Cannot decode .*cut\.mp4: it is truncated/);
  await Deno.remove(`${path}/cut.mp4`);
  await Deno.remove(`${path}/empty.mp4`);
  await Deno.remove(list);
  assert.equal((await verify(path, "--clips", "4x1")).code, 0);
});

Deno.test("data verify --clips names the option that makes no sense", async () => {
  await assert.rejects(
    verify("anywhere", "--clips", "4xx"),
    (error: Error) => error instanceof UsageError && error.message.includes("--clips"),
  );
  await assert.rejects(
    verify("anywhere", "--clips", "4", "--decoder", "vlc"),
    (error: Error) => error instanceof UsageError && error.message.includes("node-av, ffmpeg"),
  );
  await assert.rejects(verify("/no/such/place", "--clips", "4"), UsageError);
});
