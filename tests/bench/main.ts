/**
 * Measures kernels, whole training steps and the feeding of both, each as a share of what the same
 * adapter can do at best; and others at the same work.
 *
 *     deno task bench [--json] [--only matmul,step,…] [--peers]
 *
 * @module
 */
import { parseArgs } from "node:util";
import { type Device, openDevice } from "../../src/device.ts";
import { clips } from "./clips.ts";
import { coco } from "./coco.ts";
import { convolutions } from "./convolutions.ts";
import { adapter, measureCeilings } from "./device.ts";
import { feeding } from "./feeding.ts";
import { attentions, depthwises, streams } from "./kernels.ts";
import type { Ceilings, Line } from "./measure.ts";
import { overhead } from "./overhead.ts";
import { runPeers } from "./peers.ts";
import { matmuls } from "./products.ts";
import { rooflines } from "./roofline.ts";
import { steps, videoSteps } from "./steps.ts";

const CASES: Readonly<
  Record<string, (device: Device, ceilings: Ceilings) => AsyncGenerator<Line>>
> = {
  adapter,
  matmul: matmuls,
  attention: attentions,
  depthwise: depthwises,
  convolution: convolutions,
  stream: streams,
  step: steps,
  video: videoSteps,
  roofline: rooflines,
  feed: feeding,
  clips,
  coco,
  overhead,
};

const HELP = `deno task bench [--json] [--only ${Object.keys(CASES).join(",")}] [--peers]

  --only A,B   These cases alone
  --peers      The same work with jax-js, TensorFlow.js and PyTorch (where installed), and ratios:
               how many times as fast as each this project is. Fetches their packages from npm
  --json       One object a line, for programs`;

function options() {
  try {
    const { values } = parseArgs({
      options: {
        ...{ json: { type: "boolean" }, only: { type: "string" }, peers: { type: "boolean" } },
        help: { type: "boolean", short: "h" },
      },
    });
    const names = values.only?.split(",") ?? Object.keys(CASES);
    const unknown = names.find((name) => !(name in CASES));
    if (unknown) throw new Error(`Unknown benchmark ${unknown}`);
    return { ...values, names };
  } catch (error) {
    console.error(`${(error as Error).message.split(". ")[0]}\n${HELP}`);
    Deno.exit(2);
  }
}

const { json, peers, help, names } = options();
if (help) {
  console.log(HELP);
  Deno.exit();
}
const device = await openDevice();
if (!json) console.log(`${device.name}, ${navigator.hardwareConcurrency} cores`);
const ceilings = await measureCeilings(device);
const ours = new Map<string, number>();
for (const name of names) {
  for await (const line of CASES[name](device, ceilings)) {
    ours.set(line.case, line.ms);
    print(line);
  }
}
if (peers) {
  for await (const line of runPeers(names, new Set(ours.keys()))) {
    const { ms } = line;
    print({ ...line, ...(ms && { ratio: ms / ours.get(line.case)! }) });
  }
}
Deno.exit(); // workers of the loaders need no farewell

/** A line for people, or for programs. */
function print(line: Readonly<Record<string, number | string | undefined>>): void {
  if (json) return console.log(JSON.stringify(line));
  const { case: label, peer = "", ms, ...rest } = line;
  const figures = Object.entries(rest).map(([name, value]) =>
    `${typeof value === "number" ? round(value) : value} ${name.replaceAll("_", " ")}`
  );
  const time = typeof ms === "number" ? `${ms.toFixed(2)} ms` : "–";
  console.log(
    `${`${label}`.padEnd(32)}${`${peer}`.padEnd(15)}${time.padStart(13)}  ${figures.join("  ")}`,
  );
}

function round(value: number): string {
  return Number.isInteger(value) || Math.abs(value) >= 100
    ? value.toFixed(0)
    : value.toPrecision(3);
}
