import assert from "node:assert/strict";
import { readRecords } from "../../../data/coco/records.ts";
import { temporaryFolder } from "../temporary_folder.ts";

/** Reads a text's lists; their records, by name. */
async function read(text: string | Uint8Array<ArrayBuffer>, ...names: string[]) {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/file.json`;
  if (typeof text === "string") await Deno.writeTextFile(path, text);
  else await Deno.writeFile(path, text);
  const records: Record<string, unknown[]> = {};
  const lists = names.map((name) =>
    [name, (record: unknown, index: number) => {
      assert.equal((records[name] ??= []).push(record) - 1, index);
    }] as const
  );
  try {
    return { records, found: [...readRecords(path, Object.fromEntries(lists))] };
  } catch (error) {
    throw new Error((error as Error).message.replace(path, "FILE"));
  }
}

Deno.test("readRecords() reads what JSON.parse reads, whatever stands around it", async () => {
  const odd = [{ "a]}": '\\"]}\\\\' }, [], {}, "x,y", '"', null, -1.5e-3, [[{
    b: [1, "ü€😀\u2028"],
  }]], true];
  for (const indent of [undefined, 3, "\r\n\t"]) {
    const object = { info: odd, one: odd, more: { one: odd }, two: [], three: 1 };
    const text = JSON.stringify(object, null, indent);
    const { records, found } = await read(text, "one", "two", "four");
    assert.deepEqual(records, { one: odd });
    assert.deepEqual(found, ["one", "two"]);
    const list = await read(`\ufeff ${JSON.stringify(odd, null, indent)}\n`, "");
    assert.deepEqual(list, { records: { "": odd }, found: [""] });
  }
  assert.deepEqual(await read(" {} ", "one"), { records: {}, found: [] });
});

Deno.test("readRecords() reads files and records longer than what it reads at once", async () => {
  const long = Array.from(
    { length: 9 },
    (_, i) => ({ i, text: `${i}\\"`.repeat(40_000 * (i + 1)) }),
  );
  const many = Array.from({ length: 120_000 }, (_, i) => ({ i, text: '[{"\\' }));
  const { records } = await read(
    JSON.stringify({ many, long, last: many }),
    "many",
    "long",
    "last",
  );
  assert.deepEqual(records, { many, long, last: many });
});

Deno.test("readRecords() passes over an escape that is cut by the end of a read", async () => {
  for (let length = 2 ** 20 - 16; length < 2 ** 20; length++) {
    const text = JSON.stringify({ info: `${"-".repeat(length)}"`, list: [length] });
    assert.deepEqual((await read(text, "list")).records, { list: [length] });
  }
});

Deno.test("readRecords() hands on what Python writes for numbers that are not finite", async () => {
  const { records } = await read(
    '[{"a": NaN, "b": "NaN"}, {"a": [-Infinity, Infinity]}, 1e999]',
    "",
  );
  assert.deepEqual(records[""], [
    { a: "NaN", b: "NaN" },
    { a: ["-Infinity", "Infinity"] },
    Infinity,
  ]);
});

Deno.test("readRecords() says where a file is broken", async () => {
  const cases: [string | Uint8Array<ArrayBuffer>, string, string?][] = [
    ["", "it is empty"],
    [" \n", "it is empty"],
    ["{}", "it is no JSON list"],
    ["5", "it is no JSON list"],
    ["[]", "it is no JSON object", "a"],
    ['[{"a": 1}, {"a": 2', "it ends within [1]"],
    ['[{"a": "\\', "it ends within [0]"],
    ['[{"a": 1}', "it ends within its list"],
    ['{"a": [1', "it ends within a[0]", "a"],
    ['{"a": [1]', "broken JSON behind a", "a"],
    ['{"info": [1', "it ends within info", "a"],
    ['[{"a": 1}, {"a" 2}, 3]', "broken JSON in [1]"],
    ["[1, {]]", "broken JSON in [1]"],
    ["[1, 2,]", "broken JSON in [2]"],
    ["[1,, 2]", "broken JSON in [1]"],
    ["[1 2]", "broken JSON in [0]"],
    ["[{} {}]", "broken JSON behind [0]"],
    ["[] []", "broken JSON behind its end"],
    ["{a: [1]}", "broken JSON where a key should be", "a"],
    ['{"a" [1]}', 'broken JSON behind "a"', "a"],
    ['{"a": [1], "a": [2]}', "it has a twice", "a"],
    [Uint8Array.of(0x5b, 0x22, 0xff, 0x22, 0x5d), "broken JSON in [0]: it is not UTF-8"],
  ];
  for (const [text, reason, name = ""] of cases) {
    await assert.rejects(read(text, name), { message: `Cannot read FILE: ${reason}` }, `${text}`);
  }
});

Deno.test("readRecords() needs a file", () => {
  assert.throws(() => readRecords("/none.json", {}), {
    ...{ name: "DataError", message: "Cannot read /none.json: no such file" },
  });
});
