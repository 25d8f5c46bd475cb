import assert from "node:assert/strict";
import { zipSync } from "fflate";
import { RefusedError } from "../../src/random_access.ts";
import { encodeNpyHeader } from "../../src/npy.ts";
import { streamNpz } from "../../src/npz.ts";
import { loadSafetensors, type Safetensor, writeSafetensors } from "../../src/safetensors.ts";
import { openWeights } from "../../src/weights.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { Call, type Savable, Saved, writeTorch } from "./torch_writer.ts";

const golden = (name: string) => `tests/golden/checkpoint_${name}`;
const one = (value: number) => new Saved([1], () => Float32Array.of(value));

/** A file's tensors as float32, by name. */
async function valuesOf(path: string) {
  using file = await openWeights(path);
  const values: Record<string, number[]> = {};
  for (const [name, weight] of file.tensors) values[name] = [...await weight.values()];
  return values;
}

/** A .npy file with these bytes as its elements. */
function npy(descr: string, shape: readonly number[], elements: ArrayBufferLike): Uint8Array {
  return Uint8Array.from([...encodeNpyHeader(descr, shape), ...new Uint8Array(elements)]);
}

/** Bytes of a golden file in both of PyTorch's formats, cut to a length or a share of theirs. */
async function cut(from: string, to: string, length: (size: number) => number): Promise<string> {
  const bytes = await Deno.readFile(from);
  await Deno.writeFile(to, bytes.subarray(0, length(bytes.length)));
  return to;
}

async function refuses(path: string, reason: string | RegExp): Promise<void> {
  await assert.rejects(valuesOf(path), ({ message }: Error) => {
    const start = `Cannot read ${path}: `;
    assert.ok(message.startsWith(start), message);
    assert.match(message.slice(start.length), RegExp(reason));
    assert.ok(!message.includes("\n"), message);
    return true;
  });
}

Deno.test("openWeights() reads every type of PyTorch's tensors as the recorded float32", async () => {
  for (const name of ["views_zip", "views_legacy", "half_zip", "pretrain_legacy"]) {
    const recorded = await loadSafetensors(`${golden(name)}.safetensors`);
    const values = await valuesOf(`${golden(name)}.pth`);
    const models = [...recorded.tensors].filter(([name]) => name.startsWith("model."));
    assert.equal(Object.keys(values).length, models.length);
    for (const [path, { dtype, data }] of models) {
      const expected = dtype === "F16"
        ? new Float16Array((data as Uint16Array<ArrayBuffer>).slice().buffer)
        : data;
      assert.deepEqual(
        values[path.slice("model.".length)],
        Array.from(expected as ArrayLike<number>, Number),
      );
    }
  }
});

Deno.test("openWeights() keeps what a run of PyTorch says of itself, and its other tensors", async () => {
  using file = await openWeights(golden("finetune_zip.pth"));
  assert.equal(file.kind, "torch");
  assert.equal(file.metadata.epoch, 99);
  assert.equal((file.metadata.args as { nb_classes: number }).nb_classes, 10);
  assert.ok([...file.others.keys()].every((name) => /^optimizer\.state\.\d+\.\w+$/.test(name)));
  assert.equal(file.others.size, 3 * 71);
  await using folder = await temporaryFolder();
  const path = `${folder.path}/older.pth`; // of a version whose steps are plain numbers
  writeTorch(path, { model: { a: one(1) }, optimizer: { state: { 0: { step: 7 } } } });
  using older = await openWeights(path);
  const step = older.others.get("optimizer.state.0.step")!;
  assert.deepEqual([step.dtype, step.shape, [...await step.values()]], ["int64", [], [7]]);
});

Deno.test("openWeights() finds the state dict, and drops the prefixes of wrappers", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.bin`; // the name says nothing
  const saved: Savable[] = [
    { model: { "a.b": one(1) }, epoch: 3, optimizer: { state: {} } },
    { state_dict: { "a.b": one(1) }, arch: "vit", best: one(7) },
    { "a.b": one(1), epoch: 3, note: [1, null] },
    { model: { "module.a.b": one(1) } },
    { "model.module.a.b": one(1) },
  ];
  for (const value of saved) {
    writeTorch(path, value);
    assert.deepEqual(await valuesOf(path), { "a.b": [1] });
  }
  // Only a prefix of all names is a wrapper's.
  writeTorch(path, { "module.a": one(1), head: one(2) });
  assert.deepEqual(await valuesOf(path), { "module.a": [1], head: [2] });
  const none: Savable[] = ["text", 3, { epoch: 3 }, { model: {} }, [one(1)]];
  for (const value of none) {
    writeTorch(path, value);
    await refuses(path, "^it holds no state dict: no record of tensors$");
  }
});

Deno.test("openWeights() finds the model in a checkpoint of a run", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/step-000003`;
  const tensor = (value: number): Safetensor => ({
    dtype: "F32",
    shape: [1],
    data: Float32Array.of(value),
  });
  const parts = ["model.a.b", "optimizer.m.a.b", "ema.a.b"];
  await writeSafetensors(path, parts.map((name, i) => [name, tensor(i)]), { step: "3" });
  using file = await openWeights(path);
  assert.deepEqual([...file.tensors.keys()], ["a.b"]);
  assert.deepEqual([...file.others.keys()], ["optimizer.m.a.b", "ema.a.b"]);
  assert.deepEqual(file.metadata, { step: "3" });
  assert.deepEqual([...await file.tensors.get("a.b")!.values()], [0]);
});

Deno.test("openWeights() reads NumPy's archives, stored and deflated, in C and Fortran order", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const six = Float32Array.of(1, 2, 3, 4, 5, 6);
  const fortran = npy("<f4", [2, 3], six.buffer);
  fortran.set(
    new TextEncoder().encode("True, "),
    new TextDecoder().decode(fortran).indexOf("False"),
  );
  const members = {
    "f8.npy": npy("<f8", [2], Float64Array.of(0.1, -2).buffer),
    "f4.npy": npy("<f4", [2, 3], six.buffer),
    "f2.npy": npy("<f2", [2], Uint16Array.of(0x3c00, 0x0001).buffer),
    "fortran.npy": fortran,
    "i8.npy": npy("<i8", [2], BigInt64Array.of(-1n, 2n ** 40n).buffer),
    "u8.npy": npy("<u8", [1], BigUint64Array.of(2n ** 63n).buffer),
    "u2.npy": npy("<u2", [1], Uint16Array.of(65535).buffer),
    "u1.npy": npy("|u1", [], Uint8Array.of(255).buffer),
    "b1.npy": npy("|b1", [2], Uint8Array.of(0, 1).buffer),
    "none.npy": npy("<f4", [0, 3], new ArrayBuffer(0)),
    "long.npy": npy("<f4", [50_000], new Float32Array(50_000).fill(3).buffer),
    "readme.txt": Uint8Array.of(1),
  };
  for (const level of [0, 9] as const) {
    await Deno.writeFile(path, zipSync(members, { level }));
    const { long, ...values } = await valuesOf(path);
    assert.deepEqual(values, {
      f8: [Math.fround(0.1), -2],
      f4: [1, 2, 3, 4, 5, 6],
      f2: [1, 2 ** -24],
      fortran: [1, 3, 5, 2, 4, 6],
      i8: [-1, 2 ** 40],
      u8: [2 ** 63],
      u2: [65535],
      u1: [255],
      b1: [0, 1],
      none: [],
    });
    assert.ok(long.length === 50_000 && long.every((value) => value === 3));
    using file = await openWeights(path);
    assert.deepEqual([file.kind, file.tensors.get("f2")!.dtype], ["npz", "float16"]);
    assert.deepEqual(await file.tensors.get("f2")!.elements(), Uint16Array.of(0x3c00, 0x0001));
  }
});

Deno.test("openWeights() names a .npz file with a damaged member, and the member", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const good = npy("<f4", [64], Float32Array.from({ length: 64 }, (_, i) => Math.sin(i)).buffer);
  const write = (member: Uint8Array, level: 0 | 9 = 0) =>
    Deno.writeFile(path, zipSync({ "w.npy": member }, { level }));
  await write(good.subarray(0, 200));
  await refuses(path, /^w\.npy: shape \[64\] needs 256 bytes, 72 found$/);
  await write(good.subarray(0, 40));
  await refuses(path, /^w\.npy: its \.npy header is truncated or damaged$/);
  await write(Uint8Array.of(1, 2, 3));
  await refuses(path, /^w\.npy: it is not a \.npy file$/);
  await write(npy("<U8", [2], new ArrayBuffer(64)));
  await refuses(path, /^w\.npy: its elements are <U8, no little-endian numbers$/);
  await write(npy(">f4", [64], new ArrayBuffer(256)));
  await refuses(path, /^w\.npy: its elements are >f4, no little-endian numbers$/);
  // One bit of an element: only the checksum tells.
  await write(good);
  const bytes = await Deno.readFile(path);
  bytes[300] ^= 1;
  await Deno.writeFile(path, bytes);
  await refuses(path, /^w: w\.npy: it is damaged$/);
  await write(good, 9);
  const packed = await Deno.readFile(path);
  packed.fill(255, 35, 60);
  await Deno.writeFile(path, packed);
  await refuses(path, /^w\.npy is damaged$/);
});

Deno.test("streamNpz() refuses what NumPy has no type for, or a zip file no place", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.npz`;
  const read = () => Promise.reject(new Error("it must not be read"));
  await assert.rejects(
    streamNpz(path, [["w", { dtype: "bfloat16", shape: [2], read }]]),
    new RangeError(`Cannot write ${path}: NumPy has no bfloat16, the type of w`),
  );
  await assert.rejects(
    streamNpz(path, [["w", { dtype: "float32", shape: [2 ** 30], read }]]),
    new RangeError(`Cannot write ${path}: a .npz file holds less than 4 GiB here`),
  );
  assert.deepEqual([...Deno.readDirSync(folder.path)], []);
});

Deno.test("openWeights() refuses a safetensors file whose tensors overlap or leave it", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.safetensors`;
  const write = (offsets: Record<string, [number, number]>, dataBytes: number) => {
    const header = Object.entries(offsets).map((
      [name, data_offsets],
    ) => [name, { dtype: "F32", shape: [2], data_offsets }]);
    const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
    const start = new BigUint64Array([BigInt(json.length)]);
    return Deno.writeFile(
      path,
      Uint8Array.from([
        ...new Uint8Array(start.buffer),
        ...json,
        ...new Uint8Array(dataBytes),
      ]),
    );
  };
  await write({ a: [0, 8], b: [4, 12] }, 12);
  await refuses(path, /^Tensor b overlaps the one before it$/);
  await write({ a: [0, 8], b: [8, 16] }, 12);
  await refuses(path, /^Tensor b ends at byte 16, but the file holds 12 bytes of data$/);
  await write({ a: [0, 8] }, 8);
  await cut(path, path, (size) => size - 1);
  await refuses(path, /^Tensor a ends at byte 8, but the file holds 7 bytes of data$/);
  await cut(path, path, () => 20);
  await refuses(path, /^Header length \d+ exceeds the 12 bytes that follow it$/);
});

Deno.test("openWeights() names a checkpoint of PyTorch that is cut off anywhere", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  for (const name of ["half_zip", "pretrain_legacy"]) {
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.999]) {
      await cut(`${golden(name)}.pth`, path, (size) => Math.floor(share * size));
      await refuses(path, /./);
    }
  }
});

Deno.test("openWeights() refuses calls in a pickle by name, and makes none", async () => {
  await using folder = await temporaryFolder();
  const [path, mark] = [`${folder.path}/a.pth`, `${folder.path}/mark`];
  const calls = [
    new Call("os", "system", `touch ${mark}`),
    new Call("posix", "system", `touch ${mark}`),
    new Call("subprocess", "check_output", `touch ${mark}`),
    new Call("builtins", "eval", `open('${mark}', 'w')`),
    new Call("__builtin__", "exec", `open('${mark}', 'w')`),
    new Call("torch.hub", "load", mark),
    new Call("models_convvit", "ConvViT", mark),
  ];
  for (const call of calls) {
    for (const value of [call, { model: { a: one(1) }, args: call }]) {
      writeTorch(path, value);
      await assert.rejects(
        openWeights(path),
        new RefusedError(
          `Cannot read ${path}: it names ${call.module}.${call.name}, which no checkpoint needs`,
        ),
      );
    }
  }
  assert.deepEqual([...Deno.readDirSync(folder.path)].map(({ name }) => name), ["a.pth"]);
});

Deno.test("openWeights() names a checkpoint whose pickle makes no sense", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a.pth`;
  const pickles: Record<string, RegExp> = {
    "\x80\x02\xff.": /^its pickle is damaged$/,
    "\x80\x02]": /^it is truncated$/,
    "\x80\x02K\x01K\x02\x86Q.": /^it refers to something that is no storage$/,
    "\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(K\x01K\x02K\x03K\x04tR.":
      /^its pickle is damaged$/,
    [`\x80\x02cmine\n${"\x07".repeat(1000)}\n.`]: /^it names mine\.\?{250,300}…$/,
  };
  for (const [pickle, reason] of Object.entries(pickles)) {
    const bytes = Uint8Array.from(pickle, (letter) => letter.charCodeAt(0));
    await Deno.writeFile(path, zipSync({ "a/data.pkl": bytes }, { level: 0 }));
    await refuses(path, reason);
  }
});

Deno.test("openWeights() names a file that is missing, a folder, or of no kind it knows", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/a`;
  await refuses(path, /^no such file$/);
  await refuses(folder.path, /^it is a folder$/);
  for (const text of ["", "{}", "a".repeat(100)]) {
    await Deno.writeTextFile(path, text);
    await refuses(path, /^it is no checkpoint of PyTorch, no safetensors and no \.npz file$/);
  }
  await Deno.writeFile(path, zipSync({ "a.txt": Uint8Array.of(1) }));
  await refuses(path, /^it is a zip file without weights$/);
});

Deno.test("openWeights() tells whose values it cannot read once the file is closed", async () => {
  const file = await openWeights(golden("half_zip.pth"));
  file[Symbol.dispose]();
  await assert.rejects(
    file.tensors.get("head.bias")!.values(),
    ({ message }: Error) =>
      message.startsWith(`Cannot read ${golden("half_zip.pth")}: head.bias: `),
  );
});
