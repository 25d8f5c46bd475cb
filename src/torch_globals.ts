/**
 * What a checkpoint's pickle may name, and what stands for it here. Nothing else is let in, and
 * nothing of it runs code of the file.
 *
 * @module
 */

import type { ElementType } from "./elements.ts";
import { RefusedError } from "./random_access.ts";

/** Element type, by PyTorch's name; its storages know no unsigned ones but bytes. */
export type TorchDtype = Exclude<ElementType, "uint16" | "uint32" | "uint64">;

const STORAGES: Readonly<Record<string, TorchDtype>> = {
  DoubleStorage: "float64",
  FloatStorage: "float32",
  HalfStorage: "float16",
  BFloat16Storage: "bfloat16",
  LongStorage: "int64",
  IntStorage: "int32",
  ShortStorage: "int16",
  CharStorage: "int8",
  ByteStorage: "uint8",
  BoolStorage: "bool",
};

/** Elements that tensors share, somewhere in the file. */
export interface Storage {
  readonly dtype: TorchDtype;
  readonly key: string;
  /** Elements. */
  readonly length: number;
}

/** How a tensor lies in its storage. */
export interface View {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
}

/** `argparse.Namespace`: settings of the run that wrote the file. */
export class Namespace {
  fields: ReadonlyMap<string, unknown> = new Map();
  __setstate__(state: ReadonlyMap<string, unknown>): void {
    this.fields = state;
  }
}

/** `numpy.dtype`, as far as scalars and small arrays need it. */
class NumpyDtype {
  constructor(readonly code: string) {}
  __setstate__(): void {} // byte order; all are little-endian
}

/** `numpy.ndarray` of numbers. */
class NumpyArray {
  values: readonly number[] = [];
  __setstate__(
    [, , dtype, , bytes]: readonly [unknown, unknown, NumpyDtype, unknown, Uint8Array],
  ): void {
    this.values = numbersOf(dtype, bytes);
  }
}

function numbersOf({ code }: NumpyDtype, bytes: Uint8Array): number[] {
  const arrays: Record<string, (buffer: ArrayBuffer) => Iterable<number | bigint>> = {
    f8: (buffer) => new Float64Array(buffer),
    f4: (buffer) => new Float32Array(buffer),
    i8: (buffer) => new BigInt64Array(buffer),
    i4: (buffer) => new Int32Array(buffer),
    u1: (buffer) => new Uint8Array(buffer),
    b1: (buffer) => new Uint8Array(buffer),
  };
  const array = arrays[code];
  if (!array) throw new RefusedError(`it holds a numpy value of type ${code}`);
  return [...array(bytes.slice().buffer)].map(Number);
}

type Callable = (...args: never[]) => unknown;

/** Python's names → what parses them. */
function globals(makeTensor: (view: View) => unknown): Record<string, unknown> {
  const rebuild = (
    storage: Storage,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) => {
    const isWhole = [offset, ...shape, ...strides].every((n) => Number.isSafeInteger(n) && n >= 0);
    if (!isWhole || shape.length !== strides.length || !storage.dtype) {
      throw new RangeError("a tensor is damaged");
    }
    return makeTensor({ storage, offset, shape, strides });
  };
  const scalar = (dtype: NumpyDtype, bytes: Uint8Array) => numbersOf(dtype, bytes)[0];
  const emptyArray = () => new NumpyArray();
  const path = (...parts: readonly string[]) => parts.join("/").replace(/^\/\//, "/");
  const latin1 = (text: string) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const set = (items: Iterable<unknown> = []) => new Set(items);
  const map = (items: Iterable<readonly [unknown, unknown]> = []) => new Map(items);
  const list = (items: readonly number[] = []) => [...items];
  const dtypes = Object.values(STORAGES).map((dtype) => [`torch ${dtype}`, `torch.${dtype}`]);
  return {
    "collections OrderedDict": map,
    "torch._utils _rebuild_tensor": rebuild,
    "torch._utils _rebuild_tensor_v2": rebuild,
    "torch._utils _rebuild_parameter": (tensor: unknown) => tensor,
    "torch Size": list,
    "torch device": (type: string, index?: number) =>
      index === undefined ? type : `${type}:${index}`,
    "argparse Namespace": Namespace,
    "numpy dtype": (code: string) => new NumpyDtype(code),
    "numpy ndarray": NumpyArray,
    ...Object.fromEntries(["numpy.core", "numpy._core"].flatMap((core) => [
      [`${core}.multiarray scalar`, scalar],
      [`${core}.multiarray _reconstruct`, emptyArray],
    ])),
    "_codecs encode": latin1,
    ...Object.fromEntries(["builtins", "__builtin__"].map((module) => [`${module} set`, set])),
    ...Object.fromEntries(
      ["PosixPath", "WindowsPath", "PurePosixPath"].map((name) => [`pathlib ${name}`, path]),
    ),
    ...Object.fromEntries(
      Object.entries(STORAGES).map(([name, dtype]) => [`torch ${name}`, dtype]),
    ),
    ...Object.fromEntries(dtypes),
  };
}

/** Finds what a pickle names; refuses all that is not known. */
export function nameResolver(makeTensor: (view: View) => unknown) {
  const known = globals(makeTensor);
  return {
    resolve(module: string, name: string): Callable {
      const global = `${module} ${name}`;
      if (Object.hasOwn(known, global)) return known[global] as Callable;
      throw new RefusedError(`it names ${module}.${name}, which no checkpoint needs`);
    },
  };
}

/** Makes plain values of what a pickle gave: records, lists, numbers, texts; tensors stay. */
export function plain(value: unknown): unknown {
  if (value instanceof Map) {
    return Object.fromEntries([...value].map(([key, item]) => [String(key), plain(item)]));
  }
  if (value instanceof Set) return [...value].map(plain);
  if (value instanceof Namespace) return plain(value.fields);
  if (value instanceof NumpyArray) return [...value.values];
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" ? Number(value) : value;
}
