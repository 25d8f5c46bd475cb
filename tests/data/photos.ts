/** The same few photos in every form that sources have. */
import { basename, dirname } from "node:path";
import { gzipSync } from "node:zlib";
import { imageFolder } from "../../data/dataset.ts";
import { encodeTar, type TarFile } from "./tar_file.ts";

const PHOTOS = new URL("../../data/photos", import.meta.url).pathname;
export const CLASSES = ["animals", "fishes", "tools"];

/** Names of photos, three of each class, as `class/name.jpg`, sorted. */
export async function photoNames(): Promise<string[]> {
  const { files } = await imageFolder(PHOTOS);
  return CLASSES.flatMap((name) =>
    files.filter((file) => basename(dirname(file)) === name).slice(0, 3)
  ).map((file) => file.slice(PHOTOS.length + 1));
}

export async function photoBytes(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(`${PHOTOS}/${name}`);
}

/** Writes photos as class folders. */
export async function writeFolder(root: string, names: readonly string[]): Promise<void> {
  for (const name of names) {
    await Deno.mkdir(dirname(`${root}/${name}`), { recursive: true });
    await Deno.writeFile(`${root}/${name}`, await photoBytes(name));
  }
}

/** Members of a shard: for each photo `key.jpg`, `key.cls` and something that is ignored. */
export async function shardMembers(
  names: readonly string[],
  label: (name: string) => string = (name) => String(CLASSES.indexOf(dirname(name))),
): Promise<TarFile[]> {
  const members = await Promise.all(names.map(async (name) => {
    const key = name.replace(/\.jpg$/, "");
    return [
      { name, bytes: await photoBytes(name) },
      { name: `${key}.cls`, bytes: new TextEncoder().encode(`${label(name)}\n`) },
      { name: `${key}.json`, bytes: new TextEncoder().encode("{}") },
    ];
  }));
  return members.flat();
}

/** Writes photos as shards `train-000.tar`, … of `size` samples each. */
export async function writeShards(
  root: string,
  names: readonly string[],
  { size = 4, gzip = false, split = "train" } = {},
): Promise<void> {
  await Deno.mkdir(root, { recursive: true });
  for (let at = 0; at < names.length; at += size) {
    const bytes = encodeTar(await shardMembers(names.slice(at, at + size)));
    const path = `${root}/${split}-${String(at / size).padStart(3, "0")}.tar`;
    await Deno.writeFile(gzip ? `${path}.gz` : path, gzip ? gzipSync(bytes) : bytes);
  }
}
