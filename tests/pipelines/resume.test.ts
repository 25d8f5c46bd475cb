import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { loadSafetensors } from "../../src/safetensors.ts";
import {
  complaints,
  drawings,
  exists,
  fails,
  metricsOf,
  scratch,
  startPretrain,
  succeeds,
  TINY,
} from "./run_pretrain.ts";

const STEPS = 120;
const SETTINGS = [
  ...TINY, // on the bundled photos
  ...["checkpoint.every=4", "report.every=40"],
];

const delay = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function modelOf(folder: string): Promise<string> {
  const bytes = await Deno.readFile(`${folder}/checkpoint.safetensors`);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** Metrics but for what a clock decides. */
async function timelessOf(folder: string) {
  return (await metricsOf(folder)).map((line) => ({ ...line, images_per_s: 0, data_wait: 0 }));
}

/** The last step of a log that is being written. */
async function lastStep(out: string): Promise<number> {
  const text = await Deno.readTextFile(`${out}/metrics.jsonl`).catch(() => "");
  return Math.max(0, ...[...text.matchAll(/^\{"step":(\d+),.*\}$/gm)].map(([, step]) => +step));
}

/** Starts or continues a run, and ends its process once it has come to a step and some time more. */
async function killAt(
  step: number,
  milliseconds: number,
  args: string[],
  out: string,
  signal: Deno.Signal = "SIGKILL",
): Promise<Deno.CommandOutput> {
  const process = startPretrain(args);
  const output = process.output();
  let isOver = false;
  output.then(() => isOver = true);
  while (!isOver && await lastStep(out) < step) {
    await delay(5);
  }
  await delay(milliseconds);
  try {
    process.kill(signal);
  } catch {
    // it ended by itself in these milliseconds
  }
  return await output;
}

/** Kills a run at random steps, resumes it each time, and compares it with one that never stopped. */
async function survives(name: string, kills: number, fieldsOf: (nth: number) => string[]) {
  const whole = `${scratch}/${name}-whole`;
  const out = `${scratch}/${name}`;
  const settings = [...SETTINGS, "--steps", `${STEPS}`, ...fieldsOf(0)];
  await succeeds([...settings, "--out", whole]);
  const steps = Array.from({ length: kills }, () => 1 + Math.floor(Math.random() * (STEPS - 10)))
    .sort((a, b) => a - b);
  const moments = steps.map((step) => [step, Math.random() * 150]);
  for (const [nth, [step, milliseconds]] of moments.entries()) {
    const args = nth === 0 ? settings : ["--resume", ...fieldsOf(nth)];
    await killAt(step, milliseconds, [...args, "--out", out], out);
  }
  await succeeds(["--resume", ...fieldsOf(kills), "--out", out]);
  const killed = `killed at ${JSON.stringify(moments)}`;
  assert.equal(await modelOf(out), await modelOf(whole), killed);
  assert.deepEqual(await timelessOf(out), await timelessOf(whole), killed);
  const names = await Array.fromAsync(Deno.readDir(out), ({ name }) => name);
  assert.ok(!names.some((name) => name.endsWith(".tmp")), `${names}`);
  await Promise.all([whole, out].map((folder) => Deno.remove(folder, { recursive: true })));
}

Deno.test("a run killed at five random moments ends as if it had never stopped, bit for bit", () =>
  survives("killed", 5, () => []));

Deno.test("so does one that accumulates, averages and changes its number of workers", () =>
  survives("accumulating", 3, (nth) => [
    ...(nth === 0 ? ["batch.micro=2", "batch.effective=4", "optimizer.emaDecay=0.9"] : []),
    `data.workers=${1 + nth % 2}`,
  ]));

Deno.test("pretrain saves at SIGINT and SIGTERM, says how to go on, and can", async () => {
  const whole = `${scratch}/uninterrupted`;
  const out = `${scratch}/interrupted`;
  const settings = [...SETTINGS, "checkpoint.every=1000", "--steps", "200"];
  await succeeds([...settings, "--out", whole]);
  const decoder = new TextDecoder();
  for (const [signal, code, step] of [["SIGINT", 130, 20], ["SIGTERM", 143, 80]] as const) {
    const args = signal === "SIGINT" ? settings : ["--resume"];
    const outcome = await killAt(step, 0, [...args, "--out", out], out, signal);
    const [stdout, stderr] = [outcome.stdout, outcome.stderr].map((bytes) => decoder.decode(bytes));
    assert.equal(outcome.code, code, stderr);
    assert.deepEqual(complaints({ code, out: stdout, err: stderr }), [
      `${signal}: finishing the step, then saving`,
    ]);
    const stopped = stdout.match(
      /^Stopped at step (\d+) of 200, saved; continue with deno task pretrain --resume --out (.+)$/m,
    );
    assert.equal(stopped?.[2], out, stdout);
    assert.equal((await metricsOf(out)).at(-1)!.step, Number(stopped![1]));
    assert.ok(await exists(`${out}/report.html`));
  }
  await succeeds(["--resume", "--out", out]);
  assert.equal(await modelOf(out), await modelOf(whole));
});

Deno.test("pretrain has its folder for itself, and ends at once at a second Ctrl-C", async () => {
  const out = `${scratch}/busy`;
  const slow = ["batch.micro=2", "batch.effective=8192", "--steps", "9", "--out", out];
  const process = startPretrain([...TINY, ...slow]); // a step takes a minute
  const output = process.output();
  while (!await exists(`${out}/run.json`)) await delay(50);
  await fails(
    ["--resume", "--out", out],
    2,
    `Cannot write to ${out}: another process trains there`,
  );
  await delay(2000);
  process.kill("SIGINT");
  await delay(1500);
  const since = performance.now();
  process.kill("SIGINT");
  const { signal, code, stderr } = await output;
  assert.ok(performance.now() - since < 3000);
  assert.deepEqual({ signal, code }, { signal: "SIGINT", code: 130 });
  assert.match(new TextDecoder().decode(stderr), /^SIGINT: finishing the step, then saving$/m);
});

Deno.test("pretrain says when a run goes on with other images, and draws them anew", async () => {
  const out = `${scratch}/moved`;
  const args = [...TINY, "report.every=2", "--out", out];
  await succeeds([...args, "--data", await drawings(8), "--steps", "4"]);
  const same = `${scratch}/elsewhere`;
  await cp(await drawings(8), same, { recursive: true });
  const moved = await succeeds(["--resume", "--out", out, "--data", same, "--steps", "6"]);
  assert.deepEqual(complaints(moved), []);
  const panels = async () =>
    (await Array.fromAsync(Deno.readDir(`${out}/panels`), ({ name }) => name)).sort();
  assert.deepEqual(await panels(), [
    ...["masked.png", "original.png"],
    ...[2, 4, 6].map((step) => `step-00000${step}.png`),
  ]);
  const others = await drawings(12);
  const other = await succeeds(["--resume", "--out", out, "--data", others, "--steps", "8"]);
  assert.deepEqual(complaints(other), [
    "These are not the images that the run began with: it goes on with others",
  ]);
  assert.deepEqual(await panels(), ["masked.png", "original.png", "step-000008.png"]);
  assert.deepEqual((await metricsOf(out)).map(({ step }) => step), [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("pretrain goes back to the checkpoint before where the last one is damaged", async () => {
  const out = `${scratch}/damaged`;
  await succeeds([...SETTINGS, "--steps", "8", "--out", out]);
  const whole = await modelOf(out);
  await Deno.truncate(`${out}/checkpoints/step-000008.safetensors`, 1000);
  const outcome = await succeeds(["--resume", "--out", out]);
  assert.match(
    complaints(outcome)[0],
    /^Cannot read .*step-000008\.safetensors: .*; going back to the checkpoint before$/,
  );
  assert.match(outcome.out, /^steps +4 done of 8 /m);
  assert.equal(await modelOf(out), whole);
  const { metadata } = await loadSafetensors(`${out}/checkpoints/step-000008.safetensors`);
  assert.deepEqual(
    { step: metadata.step, position: metadata.position, seed: metadata.seed },
    { step: "8", position: "32", seed: "0" },
  );
  assert.equal(JSON.parse(metadata.recipe).name, "quickstart");
});
