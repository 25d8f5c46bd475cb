import assert from "node:assert/strict";
import { unzipSync, zipSync } from "fflate";
import { openTorch, RefusedError, type TorchTensor } from "../../src/torch_file.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

// All kinds of values are compared in the golden cases `checkpoint_…`, see tests/parity.test.ts.
const golden = (name: string) => `tests/golden/checkpoint_${name}.pth`;

type Tensors = Record<string, TorchTensor>;

async function valuesOf(path: string): Promise<Record<string, unknown>> {
  using file = await openTorch(path);
  const { model } = file.value as { model: Tensors };
  const values = Object.entries(model).map(async ([name, tensor]) =>
    [name, [tensor.dtype, tensor.shape, await tensor.values()]] as const
  );
  return Object.fromEntries(await Promise.all(values));
}

/** A checkpoint in the zip format that holds nothing but a pickle. */
function zipOf(pickle: string): Uint8Array {
  return zipSync({ "x/data.pkl": Uint8Array.from(pickle, (c) => c.charCodeAt(0)) }, { level: 0 });
}

Deno.test("openTorch() reads deflated entries as stored ones", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  const entries = unzipSync(await Deno.readFile(golden("views_zip")));
  await Deno.writeFile(path, zipSync(entries, { level: 9 }));
  assert.deepEqual(await valuesOf(path), await valuesOf(golden("views_zip")));
});

Deno.test("openTorch() reads the zip and the old format alike", async () => {
  assert.deepEqual(await valuesOf(golden("views_legacy")), await valuesOf(golden("views_zip")));
});

Deno.test("openTorch() refuses names that no checkpoint needs, and runs nothing", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  for (const [module, name] of [["os", "system"], ["builtins", "eval"], ["mine", "Model"]]) {
    // A call of the name with the text "touch x" as its argument.
    await Deno.writeFile(path, zipOf(`\x80\x02c${module}\n${name}\nX\x07\0\0\0touch x\x85R.`));
    await assert.rejects(openTorch(path), (error: Error) => {
      assert.ok(error instanceof RefusedError);
      assert.equal(
        error.message,
        `Cannot read ${path}: it names ${module}.${name}, which no checkpoint needs`,
      );
      return true;
    });
  }
  const constructor = "\x80\x02cconstructor\nconstructor\n.";
  await Deno.writeFile(path, zipOf(constructor));
  await assert.rejects(openTorch(path), RefusedError);
});

Deno.test("openTorch() names a file that is missing, truncated or no checkpoint", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  const refuses = (message: RegExp) =>
    assert.rejects(openTorch(path), (error: Error) => {
      assert.ok(error.message.startsWith(`Cannot read ${path}: `), error.message);
      assert.match(error.message.slice(`Cannot read ${path}: `.length), message);
      return true;
    });
  await refuses(/^no such file$/);
  for (const text of ["", "PK", "no checkpoint, but long enough to hold a header of one"]) {
    await Deno.writeTextFile(path, text);
    await refuses(/truncated|no checkpoint/);
  }
  await Deno.writeFile(path, zipSync({ "x/readme": new Uint8Array(3) }));
  await refuses(/^it is no checkpoint: it holds no data\.pkl$/);
  const zip = await Deno.readFile(golden("views_zip"));
  await Deno.writeFile(path, zip.subarray(0, zip.length - 100));
  await refuses(/^it is truncated: a zip file without its directory$/);
  const legacy = await Deno.readFile(golden("views_legacy"));
  for (const length of [8, 100, 2000, legacy.length - 20]) {
    await Deno.writeFile(path, legacy.subarray(0, length));
    await assert.rejects(
      openTorch(path),
      (error: Error) => error.message.startsWith(`Cannot read ${path}: `),
    );
  }
});

Deno.test("TorchTensor refuses a view that leaves its storage", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  const text = (value: string) => `X${String.fromCharCode(value.length)}\0\0\0${value}`;
  const storage = `(${text("storage")}ctorch\nFloatStorage\n${text("0")}${text("cpu")}K\x04tQ`;
  const tensor = (shape: string, stride: string) =>
    `\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(${storage}K\x01${shape}${stride}\x89` +
    "ccollections\nOrderedDict\n)RtR.";
  const four = new Uint8Array(new Float32Array([1, 2, 3, 4]).buffer);
  const write = (pickle: string) => {
    const bytes = Uint8Array.from(pickle, (letter) => letter.charCodeAt(0));
    return Deno.writeFile(path, zipSync({ "x/data.pkl": bytes, "x/data/0": four }, { level: 0 }));
  };
  await write(tensor("K\x03\x85", "K\x01\x85"));
  {
    using file = await openTorch(path);
    assert.deepEqual([...await (file.value as TorchTensor).values()], [2, 3, 4]);
  }
  await write(tensor("K\x04\x85", "K\x01\x85"));
  using file = await openTorch(path);
  await assert.rejects((file.value as TorchTensor).values(), {
    message: "a tensor of shape [4] leaves its storage",
  });
});
