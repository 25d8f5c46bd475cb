/** Comparison with numbers from the published code, tensor by tensor. */
import { type Device, openDevice } from "../src/device.ts";
import { loadSafetensors } from "../src/safetensors.ts";
import { caseOf, expectedTensors } from "./parity/cases.ts";
import { type TensorCheck, unknown } from "./parity/check.ts";
import { nearest, parseWords, UsageError } from "./usage.ts";

/** Where lines go. */
export interface Output {
  /** Takes results. */
  print(line: string): void;
  /** Takes failures, and in JSON mode what is for people only. */
  warn(line: string): void;
}

interface Arguments {
  readonly dir: string;
  /** Beginnings of the tensors to compare, by case; undefined for all that is implemented. */
  readonly only?: ReadonlyMap<string, readonly string[]>;
  readonly json: boolean;
}

const USAGE = "deno task parity [DIR] [--only case,case/prefix,…] [--json]";
const HELP = `Compares results with numbers from the published code.

Usage: ${USAGE}

  DIR      Folder with golden cases, <case>.safetensors (tests/golden)
  --only   Cases to run; case/prefix compares only the tensors whose names begin with the prefix
  --json   One JSON object a line: case, tensor, error, bound, ok

Each line has the relative L2 error of a tensor and its bound. visible:… is the evaluation of
stages 1 and 2 on visible blocks only. Exits with 1 if anything is out of bounds or missing.

Example:
  deno task parity tests/golden --only pretrain_mcmae_a/latent,block_units`;
const SUFFIX = ".safetensors";

/**
 * Runs golden cases, `<name>.safetensors` in a folder, and prints a line a tensor.
 *
 * @param args `[DIR] [--only case,case/prefix,…] [--json] [--help]`.
 * @returns The exit code: 1 if a bound is exceeded, if an expected tensor is not computed, or if a
 * case is missing, not implemented or cannot be read; else 0.
 * @throws {UsageError} If the arguments are not of that form.
 */
export async function parity(
  args: readonly string[],
  output: Output = { print: console.log, warn: console.error },
): Promise<number> {
  const request = parse(args);
  if (!request) {
    output.print(HELP);
    return 0;
  }
  const { dir, only, json } = request;
  let found: readonly string[];
  try {
    found = await casesIn(dir);
  } catch (error) {
    output.warn((error as Error).message);
    return 1;
  }
  let opened: Promise<Device> | undefined;
  const device = () => opened ??= openDevice();
  const summary: string[] = [];
  let [total, wrong, broken] = [0, 0, 0];
  for (const name of only?.keys() ?? found) {
    const checks: TensorCheck[] = [];
    try {
      for await (
        const check of checkCase({ dir, name, found, prefixes: only?.get(name), device })
      ) {
        output.print(json ? jsonLine(name, check) : textLine(name, check));
        checks.push(check);
      }
    } catch (error) {
      output.warn(`Cannot check ${name}: ${(error as Error).message}`);
      broken++;
    }
    total += checks.length;
    wrong += checks.filter(({ ok }) => !ok).length;
    if (checks.length > 0) summary.push(summaryLine(name, checks));
  }
  (await opened?.catch(() => undefined))?.gpu.destroy();

  summary.push(
    wrong > 0
      ? `${wrong} of ${total} tensors are out of bounds`
      : total > 0
      ? `All ${total} tensors are within their bounds`
      : `Found no golden case in ${dir} that is implemented here`,
  );
  if (broken > 0) {
    summary.push(`${broken} of ${(only ?? new Set(found)).size} cases could not be checked`);
  }
  summary.forEach((line) => json ? output.warn(line) : output.print(line));
  return wrong === 0 && broken === 0 && total > 0 ? 0 : 1;
}

/** Undefined if help is asked for. */
function parse(args: readonly string[]): Arguments | undefined {
  const { values: { only, json = false, help }, positionals } = parseWords(args, {
    only: { type: "string", multiple: true },
    json: { type: "boolean" },
  }, USAGE);
  if (help) return undefined;
  const [dir = "tests/golden", ...more] = positionals;
  if (more.length > 0) throw new UsageError(`One folder is enough, got also ${more[0]}: ${USAGE}`);
  if (only === undefined) return { dir, json };
  const cases = new Map<string, string[]>();
  for (const item of only.flatMap((list) => list.split(","))) {
    const [, name, prefix = ""] = item.trim().match(/^([^/]+)(?:\/(.*))?$/) ?? [];
    if (!name) throw new UsageError(`--only needs names of cases, got "${only}": ${USAGE}`);
    const prefixes = cases.get(name) ?? [];
    cases.set(name, [...prefixes, prefix]);
  }
  return { dir, only: cases, json };
}

/** Names of the golden files in a folder. */
async function casesIn(dir: string): Promise<string[]> {
  try {
    const files = await Array.fromAsync(Deno.readDir(dir), ({ name }) => name);
    return files.filter((name) => name.endsWith(SUFFIX))
      .map((name) => name.slice(0, -SUFFIX.length)).sort();
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const reason = isMissing ? "No such folder" : (error as Error).message;
    throw new Error(`Cannot read ${dir}: ${reason}`, { cause: error });
  }
}

interface Wish {
  readonly dir: string;
  readonly name: string;
  /** Undefined: all of the case, if it is implemented. */
  readonly prefixes?: readonly string[];
  readonly found: readonly string[];
  readonly device: () => Promise<Device>;
}

/** Checks of one case, and a failed one for each expected tensor that the case did not compute. */
async function* checkCase(
  { dir, name, prefixes, found, device }: Wish,
): AsyncGenerator<TensorCheck> {
  if (!found.includes(name)) {
    const near = nearest(name, found);
    throw new Error(`${dir} has no ${name}${SUFFIX}${near ? `: did you mean ${near}?` : ""}`);
  }
  const file = await loadSafetensors(`${dir}/${name}${SUFFIX}`);
  const implementation = caseOf(name, file);
  if (!implementation && prefixes) throw new Error("it is not implemented");
  if (!implementation) return;
  const wanted = prefixes ?? [""];
  const unused = new Set(wanted);
  const seen = new Set<string>();
  /** Whether a tensor is wanted; notes that it was there. */
  const notice = (tensor: string) => {
    const bare = bareName(tensor);
    const fitting = wanted.filter((prefix) => bare.startsWith(prefix) || tensor.startsWith(prefix));
    fitting.forEach((prefix) => unused.delete(prefix));
    if (fitting.length > 0) seen.add(bare);
    return fitting.length > 0;
  };
  for await (const check of implementation.check({ dir, file, device })) {
    if (notice(check.tensor)) yield check;
  }
  for (const tensor of expectedTensors(file)) {
    if (!seen.has(bareName(tensor)) && notice(tensor)) yield unknown(bareName(tensor));
  }
  if (unused.has("")) throw new Error("it holds no tensor to compare");
  if (unused.size > 0) throw new Error(`no tensor begins with ${[...unused].join(" or ")}`);
}

/** A tensor's name as the user gives it: without `out.`, and without how it was computed. */
function bareName(tensor: string): string {
  return tensor.replace(/^visible:/, "").replace(/^out\./, "");
}

function jsonLine(name: string, { tensor, error, bound, ok }: TensorCheck): string {
  // JSON has no infinity; what is not finite becomes null.
  return JSON.stringify({ case: name, tensor, error, bound, ok });
}

function textLine(name: string, { tensor, error, bound, ok }: TensorCheck): string {
  const verdict = ok ? "ok" : "OUT OF BOUNDS";
  const numbers = `${number(error).padStart(8)} ≤ ${number(bound).padEnd(8)}`;
  return `${name.padEnd(18)} ${tensor.padEnd(44)} ${numbers} ${verdict}`;
}

/** How many tensors agree, and the one that comes nearest to its bound. */
function summaryLine(name: string, checks: readonly TensorCheck[]): string {
  const share = ({ error, bound }: TensorCheck) => error === 0 ? 0 : error / bound;
  const worst = checks.reduce((a, b) => share(b) > share(a) || Number.isNaN(share(b)) ? b : a);
  const agree = checks.filter(({ ok }) => ok).length;
  return `${name}: ${agree} of ${checks.length} tensors agree, ` +
    `worst ${worst.tensor} ${number(worst.error)} of ${number(worst.bound)}`;
}

function number(value: number): string {
  return value === 0 ? "0" : value.toExponential(2).replace(".00", "");
}
