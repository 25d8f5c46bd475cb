import assert from "node:assert/strict";
import {
  encodeSafetensors,
  loadSafetensors,
  readSafetensors,
  type Safetensor,
  type SafetensorDtype,
  writeSafetensors,
} from "../../src/safetensors.ts";

const pair: [string, Safetensor][] = [
  ["mask", { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) }],
  ["weight", { dtype: "F32", shape: [2, 2], data: Float32Array.of(1, -2, 3.5, 4) }],
];

/** A file with this header text and so many bytes of data. */
function file(header: unknown, dataBytes = 0): Uint8Array {
  const json = new TextEncoder().encode(
    typeof header === "string" ? header : JSON.stringify(header),
  );
  const bytes = new Uint8Array(8 + json.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

const f32 = (begin: number, end: number) => ({
  dtype: "F32",
  shape: [(end - begin) / 4],
  data_offsets: [begin, end],
});

function assertInvalid(bytes: Uint8Array, message: string) {
  assert.throws(() => readSafetensors(bytes), { name: "RangeError", message });
}

Deno.test("encodeSafetensors() and readSafetensors() round-trip every dtype", () => {
  const data = {
    BOOL: Uint8Array.of(0, 1),
    F64: Float64Array.of(Math.PI, -0),
    F16: Uint16Array.of(0x3c00, 1),
    BF16: Uint16Array.of(0x3f80, 1),
    I64: BigInt64Array.of(-1n, 2n ** 60n),
    I32: Int32Array.of(-7, 7),
    U32: Uint32Array.of(0, 2 ** 32 - 1),
    I8: Int8Array.of(-128, 127),
    U8: Uint8Array.of(0, 255),
    F32: Float32Array.of(1.5, NaN),
  };
  const tensors = Object.entries(data).map(([dtype, values]) =>
    [`${dtype} "${dtype}" é`, { dtype: dtype as SafetensorDtype, shape: [1, 2], data: values }] as [
      string,
      Safetensor,
    ]
  );
  const metadata = { format: "pt", 'a "quoted" key': "line\nbreak" };
  const read = readSafetensors(encodeSafetensors(tensors, metadata));
  assert.deepEqual([...read.tensors], tensors);
  assert.deepEqual(read.metadata, metadata);
});

Deno.test("encodeSafetensors() aligns the header and every tensor, as PyTorch needs", () => {
  const bytes = encodeSafetensors(pair);
  const headerBytes = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + headerBytes)));
  assert.equal(headerBytes % 8, 0);
  assert.deepEqual(Object.keys(header), ["mask", "weight"]);
  assert.deepEqual(header.weight.data_offsets, [0, 16]);
  assert.deepEqual(header.mask.data_offsets, [16, 19]);
  assert.equal(bytes.length, 8 + headerBytes + 19);
});

Deno.test("encodeSafetensors() keeps the given order, of integer-like names too", () => {
  const scalar: Safetensor = { dtype: "F32", shape: [], data: Float32Array.of(1) };
  const bytes = encodeSafetensors([["b", scalar], ["10", scalar], ["2", scalar]]);
  assert.deepEqual([...readSafetensors(bytes).tensors.keys()], ["b", "10", "2"]);
  assert.deepEqual(bytes, encodeSafetensors([["b", scalar], ["10", scalar], ["2", scalar]]));
});

Deno.test("encodeSafetensors() refuses repeated names and data that does not fit", () => {
  const data = Float32Array.of(1, 2);
  assert.throws(
    () => encodeSafetensors([...pair, pair[0]]),
    new RangeError("Cannot encode tensor mask: the name is already taken"),
  );
  assert.throws(
    () => encodeSafetensors([["w", { dtype: "F32", shape: [3], data }]]),
    new RangeError("Cannot encode tensor w: shape [3] needs 3 elements, got 2"),
  );
  assert.throws(
    () => encodeSafetensors([["w", { dtype: "I32", shape: [2], data } as unknown as Safetensor]]),
    new TypeError("Cannot encode tensor w: I32 needs Int32Array, got Float32Array"),
  );
});

Deno.test("readSafetensors() reads a view into a larger buffer, aligned or not", () => {
  const bytes = encodeSafetensors(pair);
  for (const shift of [0, 1, 4]) {
    const larger = new Uint8Array(bytes.length + 9);
    larger.set(bytes, shift);
    const view = larger.subarray(shift, shift + bytes.length);
    assert.deepEqual([...readSafetensors(view).tensors], pair);
  }
});

Deno.test("readSafetensors() accepts an empty file, empty tensors and a spaced header", () => {
  assert.equal(readSafetensors(file({})).tensors.size, 0);
  const spaced = '{ "a" : {"dtype":"F32","shape":[0,3],"data_offsets":[0,0]} }   ';
  assert.deepEqual(readSafetensors(file(spaced)).tensors.get("a")!.shape, [0, 3]);
});

Deno.test("readSafetensors() names what is wrong with a header", () => {
  assertInvalid(new Uint8Array(7), "Not a safetensors file: 7 bytes, at least 8 are needed");
  assertInvalid(file({}).subarray(0, 9), "Header length 2 exceeds the 1 bytes that follow it");
  assertInvalid(file("{"), "Header is not valid JSON in UTF-8");
  assertInvalid(file("[]"), "Header is not a JSON object");
  assertInvalid(file({ __metadata__: { step: 3 } }), "__metadata__ key step is not a string");
  assertInvalid(file({ a: 1 }), "Tensor a is not described by an object");
  assertInvalid(file({ a: { ...f32(0, 0), dtype: "F8" } }), 'Tensor a has unknown dtype "F8"');
  assertInvalid(file({ a: { ...f32(0, 0), shape: [-1] } }), "Tensor a has invalid shape [-1]");
  assertInvalid(
    file({ a: { ...f32(0, 0), data_offsets: [4, 0] } }),
    "Tensor a has invalid data_offsets [4,0]",
  );
  const entry = JSON.stringify(f32(0, 0));
  assertInvalid(file(`{"a":${entry},"a":${entry}}`), "Header names a twice");
});

Deno.test("readSafetensors() names what is wrong with offsets", () => {
  assertInvalid(
    file({ a: { ...f32(0, 8), shape: [3] } }, 8),
    "Tensor a of shape [3] and dtype F32 needs 12 bytes, got 8",
  );
  assertInvalid(file({ a: f32(0, 8), b: f32(4, 8) }, 8), "Tensor b overlaps the one before it");
  assertInvalid(
    file({ a: f32(0, 4), b: f32(8, 12) }, 12),
    "Bytes 4 to 8 before tensor b belong to no tensor",
  );
  assertInvalid(
    file({ a: f32(0, 8) }, 4),
    "Tensor a ends at byte 8, but the file holds 4 bytes of data",
  );
  assertInvalid(file({ a: f32(0, 4) }, 6), "The last 2 bytes belong to no tensor");
});

Deno.test("loadSafetensors() reads what writeSafetensors() wrote, and names the file in errors", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/a.safetensors`;
    await Deno.writeTextFile(path, "short");
    await assert.rejects(() => loadSafetensors(path), {
      message: `Cannot read ${path}: Not a safetensors file: 5 bytes, at least 8 are needed`,
    });
    await writeSafetensors(path, pair, { format: "pt" });
    assert.deepEqual([...(await loadSafetensors(path)).tensors], pair);
    assert.deepEqual(await Deno.readFile(path), encodeSafetensors(pair, { format: "pt" }));
    assert.deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["a.safetensors"]);
    await assert.rejects(() => loadSafetensors(`${folder}/none`), {
      message: `Cannot read ${folder}/none: No such file`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("writeSafetensors() removes its temporary file and keeps the old one when it fails", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = `${folder}/taken`; // a folder cannot be replaced by a file
    await Deno.mkdir(path);
    await assert.rejects(() => writeSafetensors(path, pair), (error: Error) => {
      return error.message.startsWith(`Cannot write ${path}: `);
    });
    assert.deepEqual(Array.from(Deno.readDirSync(folder), ({ name }) => name), ["taken"]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
