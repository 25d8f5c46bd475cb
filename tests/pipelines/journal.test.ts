import assert from "node:assert/strict";
import { openJournal } from "../../pipelines/journal.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { fullDisk } from "./full_disk.ts";

type Line = { readonly step: number; readonly text?: string };

async function linesOf(path: string): Promise<Line[]> {
  const text = await Deno.readTextFile(path);
  assert.ok(text.endsWith("\n"));
  return text.slice(0, -1).split("\n").map((line) => JSON.parse(line));
}

Deno.test("openJournal() drops a torn line and lines of later steps", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.jsonl`;
  await Deno.writeTextFile(path, `{"step":1}\n{"step":2}\n{"step":3}\n{"st`);
  const journal = await openJournal<Line>(path, 2);
  assert.deepEqual(await linesOf(path), [{ step: 1 }, { step: 2 }]);
  await journal.append([{ step: 3, text: "µ" }]);
  await journal.append([{ step: 4 }]);
  assert.deepEqual(await linesOf(path), [{ step: 1 }, { step: 2 }, { step: 3, text: "µ" }, {
    step: 4,
  }]);
  await journal.cut(3);
  await journal.append([{ step: 4, text: "again" }]);
  assert.deepEqual(await linesOf(path), journal.lines);
  assert.deepEqual(journal.lines.at(-1), { step: 4, text: "again" });
});

Deno.test("append() loses no line to a full disk", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.jsonl`;
  const journal = await openJournal<Line>(path, 0);
  await journal.append([{ step: 1 }]);
  {
    using _full = fullDisk((name) => name === path);
    for (const step of [2, 3]) {
      await assert.rejects(journal.append([{ step, text: "long enough to be torn" }]), {
        message: `Cannot write ${path}: No space left on device (os error 28)`,
      });
    }
  }
  await journal.append([{ step: 4 }]);
  assert.deepEqual((await linesOf(path)).map(({ step }) => step), [1, 2, 3, 4]);
});

Deno.test("cut() on a full disk keeps what stays, once", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.jsonl`;
  const journal = await openJournal<Line>(path, 0);
  await journal.append([{ step: 1 }, { step: 2 }]);
  {
    using _full = fullDisk((name) => name === path);
    await assert.rejects(journal.append([{ step: 3, text: "torn" }, { step: 4 }]));
    await journal.cut(3).catch(() => {});
  }
  await journal.append([{ step: 4, text: "again" }]);
  assert.deepEqual(await linesOf(path), [{ step: 1 }, { step: 2 }, { step: 3, text: "torn" }, {
    step: 4,
    text: "again",
  }]);
});

Deno.test("openJournal() makes no file before there is a line", async () => {
  await using folder = await temporaryFolder();
  const journal = await openJournal<Line>(`${folder.path}/a.jsonl`, 5);
  await journal.sync();
  assert.deepEqual(await Array.fromAsync(Deno.readDir(folder.path)), []);
});
