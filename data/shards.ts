import { createReadStream, createWriteStream } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { createGunzip } from "node:zlib";
import { cachePath } from "./cache.ts";
import { DataError, EXTENSION } from "./dataset.ts";
import { reasonOf, stampOf, writeAtomically } from "./files.ts";
import { labelsOf } from "./labels.ts";
import { packNames } from "./place.ts";
import type { Shard, ShardSource } from "./source.ts";
import { tarMembers } from "./tar.ts";

const SHARD = /\.(tar|tar\.gz|tgz)$/i;

/** Whether a path's extension is a tar file's, gzipped or not. */
export function isShard(path: string): boolean {
  return SHARD.test(path);
}

/**
 * Lists the images in tar files of WebDataset's naming: members whose names are equal up to the
 * first dot of the last part are one sample, of which `key.jpg` (or another image) is the picture
 * and `key.cls` the label. Other members are ignored.
 *
 * Only headers and labels are read. Gzipped shards cannot be read at random, so they are first
 * inflated into `cache`, or the system's folder for temporary files.
 *
 * @throws {DataError} If a shard cannot be read, is damaged or truncated, or none has an image.
 */
export async function shardImages(
  paths: readonly string[],
  cache?: string | null,
): Promise<ShardSource> {
  const shards: Shard[] = [];
  const shard: number[] = [];
  const offset: number[] = [];
  const size: number[] = [];
  const names: string[] = [];
  const words: (string | undefined)[] = [];
  for (const name of paths) {
    const stamp = await stampOf(name);
    const file = /gz$/i.test(name) ? await inflateShard(name, cache ?? `${tmpdir()}/mcmae`) : name;
    for (const { image, label } of samplesOf(file, name)) {
      shard.push(shards.length);
      offset.push(image.offset);
      size.push(image.size);
      names.push(image.name);
      words.push(label);
    }
    shards.push({ name, file, ...stamp });
  }
  if (names.length === 0) {
    throw new DataError(`Cannot use ${among(paths)}: no member is named as an image`);
  }
  return {
    kind: "shards",
    shards,
    length: names.length,
    shard: Uint32Array.from(shard),
    offset: Float64Array.from(offset),
    size: Float64Array.from(size),
    names: packNames(names),
    ...labelsOf(words),
  };
}

interface Sample {
  readonly image: { readonly name: string; readonly offset: number; readonly size: number };
  readonly label?: string;
}

/** Groups the members of a shard. */
function* samplesOf(file: string, name: string): Generator<Sample> {
  let key: string | undefined;
  let image: Sample["image"] | undefined;
  let label: string | undefined;
  const members = tarMembers(file);
  try {
    for (const { name, offset, size, read } of members) {
      const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
      if (dot < 0 || basename(name).startsWith(".")) continue;
      if (name.slice(0, dot) !== key) {
        if (image) yield { image, label };
        image = label = undefined;
        key = name.slice(0, dot);
      }
      const extension = name.slice(dot);
      // key.jpg comes before key.mask.png, wherever it stands.
      const plain = extension.lastIndexOf(".") === 0;
      const best = !image || plain && !isPlain(image.name);
      if (EXTENSION.test(extension) && best) image = { name, offset, size };
      else if (extension === ".cls") label = new TextDecoder().decode(read()).trim();
    }
  } catch (error) {
    if (!(error instanceof DataError) || file === name) throw error;
    throw new DataError(error.message.replace(file, name), { cause: error });
  }
  if (image) yield { image, label };
}

/** Whether a member's name has one dot. */
function isPlain(name: string): boolean {
  return basename(name).split(".").length === 2;
}

/** Inflates a shard, unless that was done before, and gives the path of the result. */
async function inflateShard(name: string, folder: string): Promise<string> {
  const { size, mtime } = await stampOf(name);
  const path = cachePath(folder, "tar", [resolve(name), size, mtime]);
  if (await Deno.stat(path).then(() => true, () => false)) return path;
  try {
    await writeAtomically(path, async (temporary) => {
      await pipeline(createReadStream(name), createGunzip(), createWriteStream(temporary));
    });
  } catch (cause) {
    const damaged = /^Z_|^ERR_/.test((cause as { code?: string }).code ?? "");
    throw new DataError(
      damaged
        ? `Cannot read ${name}: its gzip data are truncated or damaged`
        : `Cannot inflate ${name} into ${folder}: ${reasonOf(cause)}`,
      { cause },
    );
  }
  return path;
}

/**
 * Expands a brace range as shells do: `a-{08..11}.tar` is `a-08.tar` to `a-11.tar`.
 *
 * @throws {DataError} If there is none, or it is no range of whole numbers that ascends.
 */
export function expandBraces(path: string): string[] {
  const range = /^([^{}]*)\{(\d+)\.\.(\d+)\}(.*)$/.exec(path);
  if (!range || Number(range[2]) > Number(range[3])) {
    throw new DataError(`Cannot expand ${path}: a range is written like {000000..000009}`);
  }
  const [, before, first, last, after] = range;
  const tails = after.includes("{") || after.includes("}") ? expandBraces(after) : [after];
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => {
    const number = String(Number(first) + i).padStart(first.length, "0");
    return tails.map((tail) => before + number + tail);
  }).flat();
}

function among(paths: readonly string[]): string {
  return paths.length === 1 ? paths[0] : `the ${paths.length} shards of ${dirname(paths[0])}`;
}
