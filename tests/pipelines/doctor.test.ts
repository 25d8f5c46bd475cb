import assert from "node:assert/strict";
import { doctor, type Examination } from "../../pipelines/doctor.ts";
import { makeProbes } from "../../pipelines/probes.ts";
import { DeviceError } from "../../src/device.ts";

/** Examines with some parts replaced; the exit code and all lines. */
async function examine(examination: Partial<Examination> = {}) {
  const lines: string[] = [];
  const code = await doctor({ ...examination, print: (line) => lines.push(line) });
  return { code, text: lines.join("\n") };
}

Deno.test("doctor() finds this adapter fit, on one screen", async () => {
  const { code, text } = await examine();
  assert.equal(code, 0, text);
  for (const part of ["Adapter", "Driver", "Features", "Limits", "Arithmetic", "Speed"]) {
    assert.match(text, new RegExp(`^${part} +\\S`, "m"));
  }
  for (const part of ["matmul", "exp", "GELU", "softmax", "layer norm"]) {
    assert.match(text, new RegExp(`^  ${part}.* ok$`, "m"));
  }
  assert.match(text, /memory [\d.e+]+ GB\/s, matmul 512³ [\d.e+]+ GFLOP\/s/);
  assert.ok(text.split("\n").length <= 24);
  assert.ok(text.split("\n").every((line) => line.length <= 100));
});

Deno.test("doctor() notices each wrong result", async () => {
  // References off by a thousandth stand for an adapter that is.
  const off = makeProbes()
    .map((probe) => ({ ...probe, expected: Array.from(probe.expected, (x) => x * 1.001) }));
  const all = await examine({ probes: off });
  assert.equal(all.code, 1);
  assert.equal(all.text.match(/ WRONG$/gm)?.length, off.length);
  assert.ok(all.text.includes(`Wrong results: ${off.map(({ name }) => name).join(", ")}.`));

  const one = await examine({ probes: [...makeProbes().slice(1), off[0]] });
  assert.equal(one.code, 1);
  assert.match(one.text, new RegExp(`^Wrong results: ${off[0].name}\\.`, "m"));
  const missing = await examine({ probes: [{ ...off[0], expected: [] }] });
  assert.equal(missing.code, 1);
});

Deno.test("doctor() says how to get an adapter where there is none", async () => {
  const message = "Found no WebGPU adapter: install a Vulkan driver (apt-get install …)";
  const { code, text } = await examine({ open: () => Promise.reject(new DeviceError(message)) });
  assert.equal(code, 1);
  assert.equal(text, message);
});

Deno.test("doctor() names limits below what the kernels need", async () => {
  const { code, text } = await examine({ needed: { maxStorageBuffersPerShaderStage: 1e9 } });
  assert.equal(code, 1);
  assert.match(text, /TOO LOW: maxStorageBuffersPerShaderStage/);
  assert.match(text, /^Too low for the kernels: maxStorageBuffersPerShaderStage/m);
});
