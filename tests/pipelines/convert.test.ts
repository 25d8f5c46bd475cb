import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { unzipSync, zipSync } from "fflate";
import { loadSafetensors, writeSafetensors } from "../../src/safetensors.ts";
import { openWeights } from "../../src/weights.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { Call, writeTorch } from "../src/torch_writer.ts";

const MAIN = fileURLToPath(new URL("../../pipelines/main.ts", import.meta.url));
const golden = (name: string) =>
  fileURLToPath(new URL(`../golden/checkpoint_${name}`, import.meta.url));

/** Runs `deno task convert`; its exit code and what it printed, by lines. */
async function convert(...args: string[]) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--allow-read", "--allow-write", "--allow-env"],
      ...[MAIN, "convert", ...args],
    ],
    env: { NO_COLOR: "1" },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) =>
    new TextDecoder().decode(bytes).trimEnd().split("\n")
  );
  return { code, out, err };
}

/** The command must fail with one sentence. */
async function fails(args: string[], code: number, sentence: string | RegExp): Promise<void> {
  const { code: found, out, err } = await convert(...args);
  assert.deepEqual([out, err.length], [[""], 1], err.join("\n"));
  if (typeof sentence === "string") assert.equal(err[0], sentence);
  else assert.match(err[0], sentence);
  assert.equal(found, code);
}

/** Elements and shapes as they are stored, by name. */
async function contentOf(path: string) {
  using file = await openWeights(path);
  const content = new Map<string, unknown>();
  for (const [name, { dtype, shape, elements }] of file.tensors) {
    content.set(name, { dtype, shape, elements: await elements() });
  }
  return content;
}

Deno.test("convert keeps every element of a checkpoint, to safetensors and to npz and back", async () => {
  await using folder = await temporaryFolder();
  const [first, second, third] = ["a.safetensors", "b.npz", "c.safetensors"]
    .map((name) => `${folder.path}/${name}`);
  const source = golden("views_zip.pth");
  const expected = await contentOf(source);
  assert.equal((await convert(source, first)).code, 0);
  assert.deepEqual(await contentOf(first), expected);
  const { out } = await convert(first, second);
  assert.equal(out.at(-1), "bfloat16 became float32, tensors: 1; NumPy has no bfloat16");
  assert.equal((await convert(second, third)).code, 0);
  const withoutHalves = (content: Map<string, unknown>) =>
    [...content].filter(([, tensor]) => (tensor as { dtype: string }).dtype !== "bfloat16");
  const returned = new Map(await contentOf(third));
  for (const [name, tensor] of withoutHalves(expected)) {
    assert.deepEqual(returned.get(name), tensor);
  }
  assert.equal(returned.size, expected.size);
  assert.deepEqual([...Deno.readDirSync(folder.path)].length, 3, "no temporary file is left");
});

Deno.test("convert prints what it wrote, and keeps the epoch and the settings", async () => {
  await using folder = await temporaryFolder();
  const target = `${folder.path}/a.safetensors`;
  const source = golden("finetune_zip.pth");
  const { out } = await convert(source, target);
  const pad = (path: string) => path.padEnd(Math.max(source.length, target.length));
  assert.deepEqual(out, [
    `${pad("file")}  tensors  parameters  types`,
    `${pad(source)}       71        8578  float32`,
    `${pad(target)}       71        8578  float32`,
    "Left out, tensors that are not the model's: 213; --all writes them",
  ]);
  const { metadata } = await loadSafetensors(target);
  assert.deepEqual([metadata.format, metadata.epoch], ["pt", "99"]);
  assert.equal(JSON.parse(metadata.args).nb_classes, 10);
});

Deno.test("convert --all writes the optimizer's state under the recorded names", async () => {
  await using folder = await temporaryFolder();
  const target = `${folder.path}/a.safetensors`;
  assert.equal((await convert(golden("pretrain_legacy.pth"), target, "--all")).code, 0);
  const { tensors } = await loadSafetensors(target);
  const recorded = await loadSafetensors(golden("pretrain_legacy.safetensors"));
  assert.equal(tensors.size, recorded.tensors.size);
  for (const [name, tensor] of recorded.tensors) {
    assert.deepEqual(tensors.get(name.replace(/^model\./, "")), tensor);
  }
  using file = await openWeights(target);
  assert.equal(file.others.size, 273);
});

Deno.test("convert takes the model out of a run's checkpoint, without its checksum", async () => {
  await using folder = await temporaryFolder();
  const [source, target] = ["step-1.safetensors", "a.safetensors"].map((name) =>
    `${folder.path}/${name}`
  );
  const value = { dtype: "F32", shape: [], data: Float32Array.of(3) } as const;
  await writeSafetensors(source, [["model.w", value], ["optimizer.m.w", value]], {
    step: "1",
    sha256: "of both",
  });
  assert.equal((await convert(source, target)).code, 0);
  const { tensors, metadata } = await loadSafetensors(target);
  assert.deepEqual([...tensors], [["w", value]]);
  assert.deepEqual(metadata, { step: "1", format: "pt" });
});

Deno.test("convert refuses arguments that make no sense with exit code 2", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const [source, link] = [at("a.safetensors"), at("link.safetensors")];
  await Deno.copyFile(golden("half_zip.safetensors"), source);
  await Deno.copyFile(source, at("b.npz.tmp"));
  await Deno.symlink(source, link);
  await Deno.mkdir(at("folder.npz"));
  const before = await Deno.readFile(source);
  await Promise.all([
    fails([], 2, "Expected two files, IN and OUT, got none"),
    fails(["a", "b.npz", "c"], 2, "Expected two files, IN and OUT, got a and b.npz and c"),
    fails(["--fast"], 2, "Unknown option '--fast': see deno task convert --help"),
    fails([at("none.pth"), at("b.npz")], 2, `Cannot read ${at("none.pth")}: no such file`),
    fails([folder.path, at("b.npz")], 2, `Cannot read ${folder.path}: it is a folder`),
    fails([source, at("folder.npz")], 2, `Cannot write ${at("folder.npz")}: it is a folder`),
    fails([source, at("b")], 2, `Cannot write ${at("b")}: name it .safetensors or .npz`),
    fails(
      [source, at("no/b.npz")],
      2,
      `Cannot write ${at("no/b.npz")}: there is no folder ${at("no")}`,
    ),
    fails(
      [source, at("b.pth")],
      2,
      `Cannot write ${at("b.pth")}: name it .safetensors, which PyTorch reads with ` +
        "safetensors.torch.load_file",
    ),
    fails([source, source], 2, `Cannot write ${source}: it would take the place of ${source}`),
    fails([link, source], 2, `Cannot write ${source}: it would take the place of ${link}`),
    fails(
      [at("b.npz.tmp"), at("b.npz")],
      2,
      `Cannot write ${at("b.npz")}: it would take the place of ${at("b.npz.tmp")}`,
    ),
  ]);
  assert.deepEqual(await Deno.readFile(source), before);
  const { code, out } = await convert("--help");
  assert.equal(code, 0);
  assert.match(out.join("\n"), /deno task convert IN OUT/);
});

Deno.test("convert refuses damaged files with exit code 1, and leaves no file", async () => {
  await using folder = await temporaryFolder();
  const at = (name: string) => `${folder.path}/${name}`;
  const target = at("out.safetensors");
  const header = (text: string, dataBytes: number) => {
    const bytes = new Uint8Array(8 + text.length + dataBytes);
    bytes[0] = text.length;
    bytes.set(new TextEncoder().encode(text), 8);
    return bytes;
  };
  const entry = (begin: number, end: number) =>
    `{"dtype":"F32","shape":[${(end - begin) / 4}],"data_offsets":[${begin},${end}]}`;
  const [zip, legacy] = await Promise.all(
    ["half_zip.pth", "pretrain_legacy.pth"].map((name) => Deno.readFile(golden(name))),
  );
  const members = unzipSync(zip);
  const [some] = Object.keys(members).filter((name) => /data\/\d+$/.test(name));
  const shorter = zipSync({ ...members, [some]: members[some].subarray(2) }, { level: 0 });
  const files: Record<string, [Uint8Array, string | RegExp]> = {
    "overlap.safetensors": [
      header(`{"a":${entry(0, 8)},"b":${entry(4, 12)}}`, 12),
      "Tensor b overlaps the one before it",
    ],
    "range.safetensors": [
      header(`{"a":${entry(0, 80)}}`, 8),
      "Tensor a ends at byte 80, but the file holds 8 bytes of data",
    ],
    "empty.safetensors": [header("{}", 0), /^Cannot convert .*: it holds no tensor$/],
    "cut.pth": [
      zip.subarray(0, 3000),
      "it is truncated: a zip file without its directory",
    ],
    "legacy.pth": [legacy.subarray(0, legacy.length - 20), /truncated/],
    "shorter.pth": [
      shorter,
      /^Cannot write .*out.safetensors: Cannot read .*: \S+: \S+ is truncated$/,
    ],
    "text.npz": [new TextEncoder().encode("no archive"), /^Cannot read .*: it is no checkpoint of/],
  };
  for (const [name, [bytes]] of Object.entries(files)) await Deno.writeFile(at(name), bytes);
  await Promise.all(
    Object.entries(files).map(([name, [, reason]]) =>
      // Each to a file of its own, since they run at once.
      fails(
        [at(name), target.replace("out", `${name}-out`)],
        1,
        typeof reason === "string" ? `Cannot read ${at(name)}: ${reason}` : reason,
      )
    ),
  );
  writeTorch(at("call.pth"), { model: new Call("os", "system", `touch ${at("mark")}`) });
  await fails(
    [at("call.pth"), target],
    1,
    `Cannot read ${at("call.pth")}: it names os.system, which no checkpoint needs`,
  );
  assert.deepEqual(
    [...Deno.readDirSync(folder.path)].map(({ name }) => name).sort(),
    [...Object.keys(files), "call.pth"].sort(),
  );
});
