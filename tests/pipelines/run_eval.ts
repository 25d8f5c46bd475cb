/** `deno task eval` within this process, and folders of drawings to run it on. */
import assert from "node:assert/strict";
import { dirname } from "node:path";
import { main } from "../../pipelines/main.ts";
import { drawing } from "./run_pretrain.ts";

/** What a command printed, by lines. */
export interface Printed {
  readonly code: number;
  readonly out: readonly string[];
  readonly err: readonly string[];
}

/** Runs a command; its output is kept. */
export async function evaluate(...args: string[]): Promise<Printed> {
  const [out, err]: [string[], string[]] = [[], []];
  const { log, error } = console;
  console.log = (text: string) => void out.push(...text.split("\n"));
  console.error = (text: string) => void err.push(...text.split("\n"));
  try {
    return { code: await main(["eval", ...args]), out, err };
  } finally {
    Object.assign(console, { log, error });
  }
}

/** The last line of a command that must succeed. */
export async function resultOf(...args: string[]): Promise<Record<string, unknown> & Printed> {
  const printed = await evaluate(...args);
  assert.equal(printed.code, 0, printed.err.join("\n"));
  const lines = printed.out.filter((line) => line.startsWith("{"));
  assert.deepEqual(lines, [printed.out.at(-1)], "one line of JSON, the last");
  return { ...JSON.parse(lines[0]), ...printed };
}

/** The command must fail with one sentence, its last line. */
export async function fails(
  args: readonly string[],
  code: number,
  sentence: string | RegExp,
): Promise<void> {
  const printed = await evaluate(...args);
  const last = printed.err.at(-1) ?? "";
  if (typeof sentence === "string") assert.equal(last, sentence);
  else assert.match(last, sentence);
  assert.equal(printed.code, code);
  assert.deepEqual(printed.out, []);
}

/** Writes drawings under these names; those that contain `bad` are no images. */
export async function writeDrawings(root: string, names: readonly string[]): Promise<void> {
  for (const [i, name] of names.entries()) {
    await Deno.mkdir(dirname(`${root}/${name}`), { recursive: true });
    if (name.includes("bad")) await Deno.writeTextFile(`${root}/${name}`, "no image");
    else await drawing(i).png().toFile(`${root}/${name}`);
  }
}
