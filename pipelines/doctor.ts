/** A look at the adapter: what it is, what it offers, and whether its arithmetic is right. */
import { type Device, DeviceError, openDevice } from "../src/device.ts";
import { mul } from "../src/ops/map.ts";
import { matmul } from "../src/ops/matmul.ts";
import { compile } from "../src/plan/plan.ts";
import { read, upload } from "../src/plan/read.ts";
import { sizeOf, type Tensor } from "../src/tensor.ts";
import { relativeError } from "./parity/check.ts";
import { makeProbes, type Probe, random } from "./probes.ts";
import { type Limits, NEEDED } from "./setup.ts";

/** What the doctor works with; its tests put faults here. */
export interface Examination {
  open(): Promise<Device>;
  readonly needed: Limits;
  readonly probes: readonly Probe[];
  print(line: string): void;
}

const MIB = 2 ** 20;
const plain = (count: number) => String(count);
const mebibytes = (bytes: number) => `${Math.floor(bytes / MIB)} MiB`;
const kibibytes = (bytes: number) => `${Math.floor(bytes / 1024)} KiB`;

/** What each limit means, and how it reads. */
const LIMITS: Readonly<Record<string, readonly [string, (value: number) => string]>> = {
  maxStorageBufferBindingSize: ["largest tensor", mebibytes],
  maxBufferSize: ["largest allocation", mebibytes],
  maxStorageBuffersPerShaderStage: ["tensors that one kernel can use", plain],
  maxComputeInvocationsPerWorkgroup: ["invocations that work together", plain],
  maxComputeWorkgroupStorageSize: ["memory that they share", kibibytes],
};

/** By their PCI or Khronos number. */
const VENDORS: Readonly<Record<number, string>> = {
  0x1002: "AMD",
  0x106b: "Apple",
  0x10de: "NVIDIA",
  0x13b5: "ARM",
  0x1414: "Microsoft",
  0x5143: "Qualcomm",
  0x8086: "Intel",
  0x10005: "Mesa",
};

/**
 * Prints what is known of the adapter, checks its limits and its arithmetic, and measures its speed.
 *
 * @returns The exit code: 1 without an adapter, with limits below what the kernels need, or with
 * results that are not those of float64 within rounding.
 */
export async function doctor(
  { open = openDevice, needed = NEEDED, probes = makeProbes(), print = console.log }: Partial<
    Examination
  > = {},
): Promise<number> {
  let device: Device;
  try {
    device = await open();
  } catch (error) {
    if (!(error instanceof DeviceError)) throw error;
    print(error.message);
    return 1;
  }
  printAdapter(device, print);
  const low = printLimits(device, needed, print);
  // Where limits are too low kernels fail in many ways, which would only hide that.
  const wrong = low.length > 0 ? [] : await printErrors(device, probes, print);
  if (low.length + wrong.length === 0) await printSpeed(device, print);
  device.gpu.destroy();
  print(
    low.length > 0
      ? `\nToo low for the kernels: ${low.join(", ")}. Update the graphics driver`
      : wrong.length > 0
      ? `\nWrong results: ${wrong.join(", ")}. Training would go astray: update the graphics driver`
      : "\nAll is well. Next: deno task pretrain",
  );
  return low.length + wrong.length > 0 ? 1 : 0;
}

type Print = Examination["print"];

function printAdapter({ name, features, target, gpu }: Device, print: Print): void {
  const { vendor, device, subgroupMaxSize } = gpu.adapterInfo;
  const has = (feature: string, note = "") => features.has(feature) ? `yes${note}` : "no";
  print(`Adapter   ${name}${target.cpu ? ", in software on the CPU" : ""}`);
  print(`Driver    ${VENDORS[Number(vendor)] ?? "vendor"} (${vendor}), device ${device}`);
  print(
    `Features  subgroups: ${has("subgroups", `, of ${subgroupMaxSize}`)}; ` +
      `timestamp-query: ${has("timestamp-query")}; ` +
      `shader-f16: ${has("shader-f16", ", not used yet")}`,
  );
}

/** Prints the limits; those that are too low come back. */
function printLimits({ gpu }: Device, needed: Limits, print: Print): string[] {
  const limits = gpu.limits as unknown as Limits;
  print(`\nLimits                                  here    needed`);
  return Object.entries(LIMITS).flatMap(([name, [meaning, text]]) => {
    const least = needed[name];
    const isLow = least !== undefined && !(limits[name] >= least);
    const columns = text(limits[name]).padStart(10) + (least ? text(least) : "").padStart(10);
    print(`  ${meaning.padEnd(32)}${columns}  ${isLow ? `TOO LOW: ${name}` : "ok"}`);
    return isLow ? [name] : [];
  });
}

/** Prints the error of each probe; the names of the wrong ones come back. */
async function printErrors(
  device: Device,
  probes: readonly Probe[],
  print: Print,
): Promise<string[]> {
  print(`\nArithmetic against float64    kernel             error     bound`);
  const wrong: string[] = [];
  for (const { name, actual, expected, bound } of probes) {
    const line = `  ${name.padEnd(28)}${kernelOf(actual, device).padEnd(16)}`;
    try {
      const error = relativeError(await read(device, actual), expected);
      const ok = error <= bound;
      if (!ok) wrong.push(name);
      const numbers = [error, bound].map((value) => value.toExponential(1).padStart(8)).join("  ");
      print(`${line}${numbers}  ${ok ? "ok" : "WRONG"}`);
    } catch (error) {
      wrong.push(name);
      print(`${line}WRONG: ${(error as Error).message}`); // such as a kernel that does not compile
    }
  }
  return wrong;
}

/** The kernel that computes a tensor on this adapter. */
function kernelOf({ source }: Tensor, { target }: Device): string {
  if (source.kind !== "result") return "-";
  const { lowering } = source.application.op;
  return lowering.kind === "kernel" ? lowering.dispatches(target)[0].kernel : lowering.kind;
}

/** Bytes a second: llvmpipe copies 1.4e9 on two cores where this holds, 6e9 where it does not. */
const SLOW_MEMORY = 2.5e9;

async function printSpeed(device: Device, print: Print): Promise<void> {
  const side = 512;
  const values = upload(device, random([8 * MIB]));
  const [a, b] = [0, 1].map((seed) => upload(device, random([side, side], seed)));
  const copy = await compile(device, ({ values }) => mul(values, 2), { values });
  const product = await compile(device, ({ a, b }) => matmul(a, b), { a, b });
  const copied = 2 * 4 * sizeOf(values.shape) / await secondsOf(device, () => copy.run({ values }));
  const multiplied = 2 * side ** 3 / await secondsOf(device, () => product.run({ a, b }));
  print(
    `\nSpeed     memory ${(copied / 1e9).toPrecision(3)} GB/s, ` +
      `matmul ${side}³ ${(multiplied / 1e9).toPrecision(3)} GFLOP/s`,
  );
  if (device.target.cpu && copied < SLOW_MEMORY) {
    print(
      "          slow: on CPUs without AVX-512, Mesa 25 is more than twice as fast as Mesa 22.3",
    );
  }
}

/** Seconds of one run, of so many that waiting for the device counts little. */
async function secondsOf({ gpu }: Device, run: () => void): Promise<number> {
  run(); // the first one may still compile
  await gpu.queue.onSubmittedWorkDone();
  for (let runs = 4;; runs *= 4) {
    const start = performance.now();
    for (let i = 0; i < runs; i++) run();
    await gpu.queue.onSubmittedWorkDone();
    const seconds = (performance.now() - start) / 1000;
    if (seconds > 0.15 || runs >= 4096) return seconds / runs;
  }
}
