/** Checkpoints as `torch.save` writes them, for tests that must do without PyTorch. */
import { Zip, ZipPassThrough } from "fflate";
import { sizeOf, stridesOf } from "../../src/tensor.ts";

/** A float32 tensor to save. */
export class Saved {
  constructor(readonly shape: readonly number[], readonly data: () => Float32Array<ArrayBuffer>) {}
}

/** A name to pickle, and what it is called with: `os.system("…")`. */
export class Call {
  constructor(readonly module: string, readonly name: string, readonly argument: string) {}
}

/** Records, lists, texts, numbers, tensors. */
export type Savable =
  | string
  | number
  | null
  | Saved
  | Call
  | readonly Savable[]
  | { readonly [name: string]: Savable };

/** Writes a checkpoint in the zip format; tensors are made one after the other. */
export function writeTorch(path: string, value: Savable): void {
  const tensors: Saved[] = [];
  const pickle = `\x80\x02${pickled(value, tensors)}.`;
  using file = Deno.openSync(path, { write: true, create: true, truncate: true });
  const zip = new Zip((error, piece) => {
    if (error) throw error;
    for (let done = 0; done < piece.length;) done += file.writeSync(piece.subarray(done));
  });
  const add = (name: string, bytes: Uint8Array) => {
    const entry = new ZipPassThrough(`archive/${name}`);
    zip.add(entry);
    entry.push(bytes, true);
  };
  add("data.pkl", Uint8Array.from(pickle, (letter) => letter.charCodeAt(0)));
  tensors.forEach(({ data }, key) => add(`data/${key}`, new Uint8Array(data().buffer)));
  add("version", new TextEncoder().encode("3\n"));
  zip.end();
}

/** Pickle of protocol 2, a byte a letter. */
function pickled(value: Savable, tensors: Saved[]): string {
  const inner = (item: Savable) => pickled(item, tensors);
  if (value === null) return "N";
  if (typeof value === "number") return `J${int32(value)}`;
  if (typeof value === "string") return `X${int32(value.length)}${value}`;
  if (value instanceof Call) {
    return `c${value.module}\n${value.name}\n${inner(value.argument)}\x85R`;
  }
  if (value instanceof Saved) {
    const tuple = (list: readonly number[]) => `(${list.map(inner).join("")}t`;
    const key = String(tensors.push(value) - 1);
    const storage = `(${inner("storage")}ctorch\nFloatStorage\n${inner(key)}${inner("cpu")}` +
      `${inner(sizeOf(value.shape))}tQ`;
    return `ctorch._utils\n_rebuild_tensor_v2\n(${storage}${inner(0)}${tuple(value.shape)}` +
      `${tuple(stridesOf(value.shape))}\x89ccollections\nOrderedDict\n)RtR`;
  }
  if (Array.isArray(value)) return `](${value.map(inner).join("")}e`;
  const items = Object.entries(value).map(([name, item]) => inner(name) + inner(item));
  return `}(${items.join("")}u`;
}

function int32(value: number): string {
  return String.fromCharCode(...[0, 8, 16, 24].map((shift) => value >> shift & 255));
}
