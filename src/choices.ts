/**
 * Which kernels are fastest on an adapter, kept from run to run in a file of the user's cache folder.
 *
 * @module
 */
import { kernels } from "../kernels/mod.ts";

/** What was measured on an adapter so far. */
export interface Calibration {
  /** Names of the fastest kernels, by what they compute. */
  readonly choices: Map<string, string>;
  /** Writes them to the file, beside what others wrote there. Does nothing where that is not allowed. */
  keep(): Promise<void>;
}

/** Choices by adapter, as in the file. */
type Known = Record<string, Record<string, string>>;

/**
 * Reads what is known of an adapter; nothing, if the file is missing, damaged or out of reach.
 *
 * @param adapter The adapter and its driver. Kernels of another text, and another compiler of shaders,
 *   which comes with Deno, are measured again.
 * @param file Path of the file, if not the usual one.
 */
export async function openCalibration(
  adapter: string,
  file?: string,
): Promise<Calibration> {
  const path = file ?? await choicesPath();
  const key = `${adapter}, Deno ${Deno.version.deno}, kernels ${await kernelsHash()}`;
  const known = await readKnown(path);
  const choices = new Map(Object.entries(known[key] ?? {}));
  return {
    choices,
    async keep() {
      if (!path || !await mayUse("write", path)) return;
      const all = await readKnown(path); // another process may have written since
      all[key] = { ...all[key], ...Object.fromEntries(choices) };
      await replace(path, JSON.stringify(all, undefined, 1)).catch(() => {}); // only costs time next time
    },
  };
}

/** Whether variants of kernels shall be measured: unless `MCMAE_CALIBRATE=0`. */
export async function calibrationWanted(): Promise<boolean> {
  return await variable("MCMAE_CALIBRATE") !== "0";
}

async function choicesPath(): Promise<string | undefined> {
  const folder = await variable("XDG_CACHE_HOME") || await variable("LOCALAPPDATA");
  const home = await variable("HOME");
  if (folder) return `${folder}/mcmae/choices.json`;
  return home && `${home}/.cache/mcmae/choices.json`;
}

/** An environment variable; undefined where it may not be read, and nobody is asked for that. */
async function variable(name: string): Promise<string | undefined> {
  const { state } = await Deno.permissions.query({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

async function mayUse(name: "read" | "write", path: string): Promise<boolean> {
  return (await Deno.permissions.query({ name, path })).state === "granted";
}

async function readKnown(path: string | undefined): Promise<Known> {
  if (!path || !await mayUse("read", path)) return {};
  try {
    const found: unknown = JSON.parse(await Deno.readTextFile(path));
    return isKnown(found) ? found : {};
  } catch {
    return {}; // missing or damaged; it is written anew
  }
}

function isKnown(found: unknown): found is Known {
  const isRecord = (x: unknown) => typeof x === "object" && x !== null && !Array.isArray(x);
  return isRecord(found) &&
    Object.values(found as object).every((choices) =>
      isRecord(choices) && Object.values(choices).every((kernel) => typeof kernel === "string")
    );
}

/** Replaces a file at once, whoever else does so at the same time. */
async function replace(path: string, text: string): Promise<void> {
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(temporary, text);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

async function kernelsHash(): Promise<string> {
  const text = JSON.stringify(Object.values(kernels).map(({ source }) => source));
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).slice(0, 8).toHex();
}
