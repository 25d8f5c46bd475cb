/**
 * `deno task convert`: weights of PyTorch's checkpoints for programs that read other files.
 *
 * @module
 */
import { dirname } from "node:path";
import { sizeOf } from "../src/tensor.ts";
import { isNumpyType, streamNpz } from "../src/npz.ts";
import { streamSafetensors } from "../src/safetensors.ts";
import { type SafetensorDtype, TYPES } from "../src/safetensors_header.ts";
import { openWeights, type Weight, type WeightFile } from "../src/weights.ts";
import { parseWords, UsageError } from "./usage.ts";

const HELP = `Convert a file of weights.

  deno task convert IN OUT [--all]

  IN       A checkpoint of PyTorch (.pth, .pt, .bin), .safetensors or .npz, told by its content
  OUT      FILE.safetensors, or FILE.npz for numpy.load, which keeps no epoch and no settings

Options:
  --all    Write the optimizer's state and averages too, as optimizer.… and ema.…
  --help

Names, shapes and element types stay as they are; prefixes that wrappers put before every name
(module., model.) go. NumPy has no bfloat16: it becomes float32 there. The pickle of a checkpoint is
read without executing anything in it.

Example:
  deno task convert checkpoint-1599.pth mcmae_base.safetensors`;

/**
 * Converts a file and prints what it holds.
 *
 * @returns The exit code.
 * @throws {UsageError} If the arguments name no two files, or there is nothing to read or write.
 * @throws {Error} If a file is damaged, or cannot be written; the message names it.
 */
export async function convertCommand(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseWords(
    args,
    { all: { type: "boolean" } },
    "see deno task convert --help",
  );
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  if (positionals.length !== 2) {
    throw new UsageError(
      `Expected two files, IN and OUT, got ${positionals.join(" and ") || "none"}`,
    );
  }
  const [input, output] = positionals;
  const write = writerOf(output);
  await checkFiles(input, output);

  using file = await openWeights(input);
  const tensors = [...file.tensors, ...values.all ? file.others : []];
  if (tensors.length === 0) throw new Error(`Cannot convert ${input}: it holds no tensor`);
  const written = await write(output, tensors, metadataOf(file));
  console.log(table([[input, tensors], [output, written]]));
  const rounded = tensors.filter(([, { dtype }], i) => dtype !== written[i][1].dtype);
  if (rounded.length > 0) {
    console.log(`bfloat16 became float32, tensors: ${rounded.length}; NumPy has no bfloat16`);
  }
  if (!values.all && file.others.size > 0) {
    console.log(
      `Left out, tensors that are not the model's: ${file.others.size}; --all writes them`,
    );
  }
  return 0;
}

type Named = readonly (readonly [name: string, tensor: Weight])[];

/** Writes tensors and tells what they are in the new file. */
type Writer = (path: string, tensors: Named, metadata: Record<string, string>) => Promise<Named>;

/** @throws {UsageError} If no such file can be written. */
function writerOf(path: string): Writer {
  const [, kind] = /\.(\w+)$/.exec(path) ?? [];
  if (kind === "safetensors") return writeSafetensors;
  if (kind === "npz") return writeNpz;
  const isTorch = ["pth", "pt", "bin"].includes(kind);
  throw new UsageError(
    isTorch
      ? `Cannot write ${path}: name it .safetensors, which PyTorch reads with safetensors.torch.load_file`
      : `Cannot write ${path}: name it .safetensors or .npz`,
  );
}

const DTYPES = Object.fromEntries(
  Object.entries(TYPES).map(([dtype, type]) => [type, dtype]),
) as Record<Weight["dtype"], SafetensorDtype>;

async function writeSafetensors(
  path: string,
  tensors: Named,
  metadata: Record<string, string>,
): Promise<Named> {
  const renamed = tensors.map(([name, { dtype, shape, elements }]) =>
    [name, { dtype: DTYPES[dtype], shape, read: elements as never }] as const
  );
  await streamSafetensors(path, renamed, metadata);
  return tensors;
}

async function writeNpz(path: string, tensors: Named): Promise<Named> {
  const fitting = tensors.map(([name, tensor]): Named[number] => {
    if (isNumpyType(tensor.dtype)) return [name, tensor];
    return [name, { ...tensor, dtype: "float32", elements: tensor.values }];
  });
  const arrays = fitting.map(([name, { dtype, shape, elements }]) =>
    [name, { dtype, shape, read: elements }] as const
  );
  await streamNpz(path, arrays);
  return fitting;
}

/** What of a file's metadata holds in another: all but a checksum of the whole. */
function metadataOf({ kind, metadata: { sha256: _, ...metadata } }: WeightFile) {
  const texts = kind === "safetensors" ? metadata : Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, JSON.stringify(value)]),
  );
  return { ...texts as Record<string, string>, format: "pt" };
}

/** @throws {UsageError} If there is no such input, or the output would take its place. */
async function checkFiles(input: string, output: string): Promise<void> {
  const [source, target, temporary, folder] = await Promise.all(
    [input, output, `${output}.tmp`, dirname(output)].map((path) =>
      Deno.stat(path).catch(() => null)
    ),
  );
  if (!source) throw new UsageError(`Cannot read ${input}: no such file`);
  if (source.isDirectory) throw new UsageError(`Cannot read ${input}: it is a folder`);
  if (target?.isDirectory) throw new UsageError(`Cannot write ${output}: it is a folder`);
  if (!folder?.isDirectory) {
    throw new UsageError(`Cannot write ${output}: there is no folder ${dirname(output)}`);
  }
  for (const other of [target, temporary]) {
    if (other?.ino === source.ino && other.dev === source.dev) {
      throw new UsageError(`Cannot write ${output}: it would take the place of ${input}`);
    }
  }
}

/** One line a file: its tensors, their parameters and element types. */
function table(files: readonly (readonly [path: string, tensors: Named])[]): string {
  const rows = files.map(([path, tensors]) => {
    const parameters = tensors.reduce((sum, [, { shape }]) => sum + sizeOf(shape), 0);
    const types = new Set(tensors.map(([, { dtype }]) => dtype));
    return [path, String(tensors.length), String(parameters), [...types].join(", ")];
  });
  const lines = [["file", "tensors", "parameters", "types"], ...rows];
  const widths = lines[0].map((_, i) => Math.max(...lines.map((line) => line[i].length)));
  return lines.map(([path, tensors, parameters, types]) =>
    [
      path.padEnd(widths[0]),
      tensors.padStart(widths[1]),
      parameters.padStart(widths[2]),
      types,
    ].join("  ")
  ).join("\n");
}
