import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { type Kernel, kernels } from "../kernels/mod.ts";
import { sharedDevice } from "./check_op.ts";

const folder = new URL("../kernels/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".wgsl"));
const named = Object.entries<Kernel>(kernels);

/** Smallest limit on storage buffers in a shader that WebGPU grants. */
const STORAGE_BUFFERS = 8;

Deno.test("kernels registers every shader once, under its file's name", () => {
  const nameOf = (file: string) =>
    file.replace(".wgsl", "").replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  assert.deepEqual(named.map(([name]) => name).sort(), files.map(nameOf).sort());
  for (const file of files) {
    const text = readFileSync(new URL(file, folder), "utf8");
    assert.equal(kernels[nameOf(file) as keyof typeof kernels].source, text, file);
  }
});

Deno.test("kernels lists the overrides of every shader", () => {
  for (const [name, { source, constants }] of named) {
    const declared = [...source.matchAll(/\boverride\s+(\w+)\s*:/g)].map(([, override]) =>
      override
    );
    assert.equal(new Set(declared).size, declared.length, name);
    assert.deepEqual(declared.toSorted(), constants.toSorted(), name);
  }
});

Deno.test("kernels lists what every shader does with its bindings, in order", () => {
  for (const [name, { source, access }] of named) {
    const declared = [...source.matchAll(/@group\((\d)\) @binding\((\d+)\) var<storage, (\w+)>/g)];
    assert.equal(
      declared.length,
      source.match(/@binding/g)?.length,
      `${name}: a binding of another form`,
    );
    declared.forEach(([, group, binding], i) =>
      assert.deepEqual([group, binding], ["0", `${i}`], name)
    );
    assert.deepEqual(declared.map(([, , , use]) => use), access, name);
    assert.ok(access.length <= STORAGE_BUFFERS, `${name} binds ${access.length} buffers`);
  }
});

Deno.test("Every shader writes what it declares to write, and keeps to its sizes", () => {
  for (const [name, { source }] of named) {
    const code = source.replaceAll(/\/\/.*/g, "");
    assert.doesNotMatch(code, /arrayLength/, `${name}: pooled buffers may be longer than tensors`);
    assert.doesNotMatch(code, /atomic/, `${name}: atomics make runs differ`);
    assert.doesNotMatch(code, /enable /, `${name}: needs a language extension`);
    for (const [, variable] of code.matchAll(/var<storage, read_write> (\w+)/g)) {
      assert.match(
        code,
        new RegExp(`\\b${variable}\\[[^;]*\\] [+*]?= `),
        `${name} never writes ${variable}`,
      );
    }
  }
});

Deno.test("Every shader opens with a comment that names its operands and an invocation's work", () => {
  for (const [name, { source }] of named) {
    const header = source.split("\n\n")[0];
    assert.match(header, /^\/\/ [A-Z]/, name);
    assert.match(header, /→/, `${name}: operands → results`);
    assert.match(header, /[Ii]nvocation/, name);
    if (name === "map") continue;
    // Each binding is named there with its shape, but for matrices of weights' gradients.
    for (const [, variable] of source.matchAll(/var<storage, \w+> (\w+)/g)) {
      assert.match(header, new RegExp(`\\b${variable} \\[`), `${name}: ${variable} has no shape`);
    }
  }
});

Deno.test("Every shader compiles as it stands, and in fours where it has elems", async (t) => {
  const { gpu, target } = await sharedDevice();
  const compile = async (source: string) => {
    gpu.pushErrorScope("validation");
    gpu.createShaderModule({ code: source });
    assert.equal((await gpu.popErrorScope())?.message, undefined);
  };
  for (const [name, { source }] of named) {
    const ignore = name.endsWith("Broadcast") && !target.broadcast;
    await t.step({ name, ignore, fn: () => compile(source) });
    if (name === "map" || !source.includes("alias elem = f32;")) continue;
    const fours = source.replace("alias elem = f32;", "alias elem = vec4f;");
    await t.step({ name: `${name} in fours`, fn: () => compile(fours) });
  }
});
