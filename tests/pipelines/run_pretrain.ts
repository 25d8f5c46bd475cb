/** Runs of `deno task pretrain` as users make them: processes of their own, of a very small model. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import sharp, { type Sharp } from "sharp";
import config from "../../deno.json" with { type: "json" };

/** Shapes that every test shares where it can, because a new one costs compilation. */
export const TINY = [
  "model.imageSize=32,32",
  "model.patchSizes=4,2,1",
  "model.embedDims=16,16,16",
  "model.depths=1,1,1",
  "model.mlpRatios=1,1,1",
  "model.heads=2",
  "model.decoderDim=16",
  "model.decoderDepth=1",
  "model.decoderHeads=2",
  "batch.micro=4",
  "data.workers=1",
  "optimizer.blr=2.4e-2",
  "schedule.epochs=30",
  "schedule.warmupEpochs=3",
];

/** A folder for the files of one test module, outside of the repository. */
export const scratch = Deno.makeTempDirSync();
globalThis.addEventListener("unload", () => Deno.removeSync(scratch, { recursive: true }));

/** What a process left. */
export interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const repository = fileURLToPath(new URL("../..", import.meta.url));

/** A task that trains or evaluates. */
type TaskName = "pretrain" | "finetune" | "eval";

/** Starts `deno task pretrain` without its set-up; the current folder is `scratch`. */
export function startPretrain(
  args: readonly string[],
  env: Record<string, string> = {},
): Deno.ChildProcess {
  return startTask("pretrain", args, env);
}

function startTask(
  task: TaskName,
  args: readonly string[],
  env: Record<string, string> = {},
): Deno.ChildProcess {
  // The task's own command, so with its permissions.
  const command = config.tasks[task].command.replace("pipelines/", `${repository}pipelines/`);
  const [run, ...rest] = command.split(" ").slice(2); // without XDG_RUNTIME_DIR=/tmp deno
  return new Deno.Command(Deno.execPath(), {
    // Quiet, since Deno tells on stderr what it downloads when its cache is empty.
    args: [run, "--quiet", ...rest, ...args],
    cwd: scratch,
    env: { XDG_RUNTIME_DIR: "/tmp", NO_COLOR: "1", ...env },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

let running = 0;
const waiting: (() => void)[] = [];

/** Runs `deno task pretrain` to its end; at most two runs at a time. */
export function pretrain(
  args: readonly string[],
  env?: Record<string, string>,
): Promise<Outcome> {
  return runTask("pretrain", args, env);
}

/** Runs a task to its end; at most two at a time. */
export async function runTask(
  task: TaskName,
  args: readonly string[],
  env?: Record<string, string>,
): Promise<Outcome> {
  if (running === 2) await new Promise<void>((resolve) => waiting.push(resolve));
  else running++;
  try {
    const { code, stdout, stderr } = await startTask(task, args, env).output();
    const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    return { code, out, err };
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}

/** As `pretrain`, for a run that must succeed. */
export async function succeeds(args: readonly string[]): Promise<Outcome> {
  const outcome = await pretrain(args);
  assert.equal(outcome.code, 0, outcome.err);
  return outcome;
}

/** Lines on stderr but for the progress bar's. */
export function complaints({ err }: Outcome): string[] {
  return err.split("\n").filter((line) => line !== "" && !/^[█░]/.test(line));
}

/** As `pretrain`, for a run that must end with one sentence. */
export async function fails(
  args: readonly string[],
  code: 1 | 2,
  sentence: string | RegExp,
  env?: Record<string, string>,
): Promise<Outcome> {
  const outcome = await pretrain(args, env);
  const lines = complaints(outcome);
  assert.equal(lines.length, 1, outcome.err || "no complaint");
  if (typeof sentence === "string") assert.equal(lines[0], sentence);
  else assert.match(lines[0], sentence);
  assert.equal(outcome.code, code, outcome.err);
  if (code === 2) assert.equal(outcome.out, "");
  return outcome;
}

/** One line of `metrics.jsonl`. */
export interface Metrics {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly lr: number;
  readonly grad_norm: number;
  readonly images_per_s: number;
  readonly data_wait: number;
  readonly val_loss?: number;
}

export async function metricsOf(folder: string): Promise<Metrics[]> {
  const text = await Deno.readTextFile(`${folder}/metrics.jsonl`);
  assert.ok(text.endsWith("\n"));
  return text.slice(0, -1).split("\n").map((line) => JSON.parse(line));
}

export async function lossesOf(folder: string): Promise<number[]> {
  return (await metricsOf(folder)).map(({ loss }) => loss);
}

/** Bytes of every file below a folder, by name, as text that `assert` can compare. */
export async function filesOf(folder: string): Promise<Record<string, string>> {
  const files: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    if (isDirectory) Object.assign(files, await filesOf(`${folder}/${name}`));
    else files[`${folder}/${name}`] = (await Deno.readFile(`${folder}/${name}`)).toHex();
  }
  return files;
}

export function exists(path: string): Promise<boolean> {
  return Deno.stat(path).then(() => true, () => false);
}

/** A picture with a gradient and an edge, each number another. */
export function drawing(number: number, width = 48, height = 40): Sharp {
  const pixels = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const bright = x + (number % 3) * y > 10 * (number % 5) + 20;
    pixels.set([bright ? 220 : 30, 255 * x / width, (40 * number + 255 * y / height) % 256], 3 * i);
  }
  return sharp(pixels, { raw: { width, height, channels: 3 } });
}

/** Makes a folder of drawings in JPEG, once. */
export async function drawings(count: number): Promise<string> {
  const folder = `${scratch}/drawings-${count}`;
  if (await exists(folder)) return folder;
  await Deno.mkdir(folder);
  for (let i = 0; i < count; i++) await drawing(i).jpeg().toFile(`${folder}/${i}.jpg`);
  return folder;
}
