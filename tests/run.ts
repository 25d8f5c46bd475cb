/**
 * Runs the tests, and judges them by what they did.
 *
 * Without paths every test is run, in parts, two at a time, where Mesa's software driver computes with
 * one thread each: drivers compile kernels on one core, and in a fresh checkout that is most of the
 * time; handing small kernels to other threads costs more than they do. What a part prints is shown
 * when it has ended. With paths, or a filter, `deno test` gets the arguments as they are.
 *
 * After the last test, while a process ends, the native libraries beneath (Mesa's software driver,
 * libvips) rarely abort it: "corrupted size vs. prev_size". Where `deno test` has said before that no
 * test failed, that is reported and does not count as a failure.
 *
 *     deno run --allow-read=tests --allow-run=deno tests/run.ts [arguments of deno test]
 */
const ABORTED = 134; // 128 + SIGABRT
const PARTS = 8;
/** A CPU adapter (Mesa's) computes with the thread that asks. */
const ALONE = { LP_NUM_THREADS: "0" };
/** Begins first, so that nothing waits for it. */
const LONGEST = "tests/parity.test.ts";
/** Where examples in text and comments are: they are tests, too. */
const SOURCES = ["README.md", "mod.ts", "src", "data", "pipelines", "examples"];

/** What a process of tests came to. */
interface Outcome {
  readonly code: number;
  readonly passed: number;
  readonly failed: number;
}

async function run(
  args: readonly string[],
  write: (text: string) => void,
  env: Record<string, string> = {},
): Promise<Outcome> {
  const child = new Deno.Command("deno", {
    args: ["test", ...args],
    env,
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let last = ""; // end of the output, without colours
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    write(text);
    // deno-lint-ignore no-control-regex -- colours are control characters
    last = (last + text.replaceAll(/\x1b\[[0-9;]*m/g, "")).slice(-4096);
  }
  const { code, signal } = await child.status;
  const [, verdict, passed, failed] =
    /^(ok|FAILED) \| (\d+) passed.* \| (\d+) failed/m.exec(last) ?? [];
  const counts = { passed: Number(passed ?? 0), failed: Number(failed ?? 0) };
  const isAborted = code === ABORTED || signal === "SIGABRT";
  if (isAborted && verdict === "ok" && counts.failed === 0) {
    console.error("All tests passed; a native library aborted the process while it ended");
    return { code: 0, ...counts };
  }
  return { code, ...counts };
}

/** Test files below a folder, in order. */
function testFiles(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    const path = `${folder}/${name}`;
    return isDirectory ? testFiles(path) : name.endsWith(".test.ts") ? [path] : [];
  }).sort();
}

function show(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
}

if (Deno.args.some((arg) => !arg.startsWith("-") || arg.startsWith("--filter"))) {
  Deno.exit((await run(Deno.args, show)).code);
}

const began = performance.now();
const files = [LONGEST, ...testFiles("tests").filter((path) => path !== LONGEST)];
// Families of tests lie side by side: dealt like cards, parts take about as long as one another.
const parts = Array.from({ length: PARTS }, (_, i) => files.filter((_, n) => n % PARTS === i));
parts[PARTS - 1].push(...SOURCES);
const outcomes: Outcome[] = [];
async function work(): Promise<void> {
  for (let part = parts.shift(); part; part = parts.shift()) {
    const printed: string[] = [];
    outcomes.push(await run([...Deno.args, ...part], (text) => printed.push(text), ALONE));
    printed.forEach(show);
  }
}
await Promise.all([work(), work()]);
const total = (of: "passed" | "failed") => outcomes.reduce((n, outcome) => n + outcome[of], 0);
const code = outcomes.find(({ code }) => code !== 0)?.code ?? 0;
console.log(
  `${code === 0 ? "ok" : "FAILED"} | ${total("passed")} passed | ${total("failed")} failed (${
    Math.round((performance.now() - began) / 1000)
  } s, two processes)`,
);
Deno.exit(code);
