/** Comparison with numbers from the published code, tensor by tensor. */
import { parseArgs } from "node:util";
import { type Device, openDevice } from "../src/device.ts";
import { loadSafetensors, type Safetensors } from "../src/safetensors.ts";
import { caseOf, expectedTensors } from "./parity/cases.ts";
import { type TensorCheck, unknown } from "./parity/check.ts";
import { nearest, UsageError } from "./usage.ts";

/** Where lines go. */
export interface Output {
  /** Takes results. */
  print(line: string): void;
  /** Takes failures, and in JSON mode what is for people only. */
  warn(line: string): void;
}

/** A case to run. */
interface Wish {
  readonly name: string;
  /** Beginnings of the tensors to compare; all if there are none. */
  readonly prefixes: readonly string[];
  /** Whether it is an error if the case is not implemented. */
  readonly required: boolean;
}

interface Arguments {
  readonly dir: string;
  /** Cases with prefixes, or undefined for all. */
  readonly only?: ReadonlyMap<string, readonly string[]>;
  readonly json: boolean;
}

const USAGE = "deno task parity [DIR] [--only case,case/prefix,…] [--json]";
const SUFFIX = ".safetensors";

/**
 * Runs golden cases, `<name>.safetensors` in a folder, and prints a line a tensor.
 *
 * @param args `[DIR] [--only case,case/prefix,…] [--json]`.
 * @returns The exit code: 1 if a bound is exceeded, if an expected tensor is not computed, or if a
 * case is missing, not implemented or cannot be read; else 0.
 * @throws {UsageError} If the arguments are not of that form.
 */
export async function parity(
  args: readonly string[],
  output: Output = { print: console.log, warn: console.error },
): Promise<number> {
  const { dir, only, json } = parse(args);
  let wishes: Wish[];
  try {
    wishes = await wishesFor(dir, only);
  } catch (error) {
    output.warn((error as Error).message);
    return 1;
  }
  let opened: Promise<Device> | undefined;
  const device = () => opened ??= openDevice();
  const summary: string[] = [];
  let [total, wrong, broken] = [0, 0, 0];
  for (const wish of wishes) {
    const checks: TensorCheck[] = [];
    try {
      for await (const check of checkCase(dir, wish, device)) {
        output.print(json ? jsonLine(wish.name, check) : textLine(wish.name, check));
        checks.push(check);
      }
    } catch (error) {
      output.warn(`Cannot check ${wish.name}: ${(error as Error).message}`);
      broken++;
    }
    total += checks.length;
    wrong += checks.filter(({ ok }) => !ok).length;
    if (checks.length > 0) summary.push(summarise(wish.name, checks));
  }
  (await opened?.catch(() => undefined))?.gpu.destroy();

  summary.push(
    wrong > 0
      ? `${wrong} of ${total} tensors are out of bounds`
      : total > 0
      ? `All ${total} tensors are within their bounds`
      : `Found no golden case in ${dir} that is implemented here`,
  );
  if (broken > 0) summary.push(`${broken} of ${wishes.length} cases could not be checked`);
  summary.forEach((line) => json ? output.warn(line) : output.print(line));
  return wrong === 0 && broken === 0 && total > 0 ? 0 : 1;
}

function parse(args: readonly string[]): Arguments {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      options: { only: { type: "string", multiple: true }, json: { type: "boolean" } },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(`${(error as Error).message.split(". ")[0]}: ${USAGE}`);
  }
  const { values: { only, json = false }, positionals: [dir = "tests/golden", ...more] } = parsed;
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

/** The cases to run in a folder: the named ones, or all. */
async function wishesFor(dir: string, only: Arguments["only"]): Promise<Wish[]> {
  const found: string[] = [];
  try {
    for await (const { name } of Deno.readDir(dir)) {
      if (name.endsWith(SUFFIX)) found.push(name.slice(0, -SUFFIX.length));
    }
  } catch (error) {
    const isMissing = error instanceof Deno.errors.NotFound;
    const reason = isMissing ? "No such folder" : (error as Error).message;
    throw new Error(`Cannot read ${dir}: ${reason}`, { cause: error });
  }
  if (only) return only.entries().map(([name, prefixes]) => wishFor(dir, found, name, prefixes)).toArray();
  return found.sort().map((name) => ({ name, prefixes: [], required: false }));
}
