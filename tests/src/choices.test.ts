import assert from "node:assert/strict";
import { calibrationWanted, openCalibration } from "../../src/choices.ts";
import { openDevice } from "../../src/device.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

/** Choices that one run keeps. */
async function keep(adapter: string, path: string, ...choices: [key: string, kernel: string][]) {
  const calibration = await openCalibration(adapter, path);
  choices.forEach(([key, kernel]) => calibration.choices.set(key, kernel));
  await calibration.keep();
}

const known = async (adapter: string, path: string) =>
  Object.fromEntries((await openCalibration(adapter, path)).choices);

Deno.test("openCalibration() finds what keep() wrote, in a folder that keep() made", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/cache/mcmae/choices.json`;
  assert.deepEqual(await known("GPU", path), {});
  await keep("GPU", path, ["product 1", "matmul"], ["product 2", "matmulTile"]);
  assert.deepEqual(await known("GPU", path), { "product 1": "matmul", "product 2": "matmulTile" });
  assert.deepEqual(
    await Array.fromAsync(Deno.readDir(`${folder.path}/cache/mcmae`), (f) => f.name),
    [
      "choices.json",
    ],
  );
});

Deno.test("openCalibration() keeps adapters apart, and Deno's versions and texts of kernels", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/choices.json`;
  await keep("GPU one", path, ["product", "matmul"]);
  await keep("GPU two", path, ["product", "matmulTile"]);
  assert.deepEqual(await known("GPU one", path), { product: "matmul" });
  assert.deepEqual(await known("GPU two", path), { product: "matmulTile" });
  assert.deepEqual(await known("GPU", path), {});
  const text = await Deno.readTextFile(path);
  const [key] = Object.keys(JSON.parse(text));
  assert.match(key, /^GPU one, Deno [\d.]+, kernels [0-9a-f]{16}$/);
  await Deno.writeTextFile(path, text.replaceAll(/kernels \w+/g, "kernels 0123456789abcdef"));
  assert.deepEqual(await known("GPU one", path), {});
});

Deno.test("keep() keeps what another process wrote meanwhile", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/choices.json`;
  const first = await openCalibration("GPU", path);
  await keep("GPU", path, ["theirs", "matmul"]);
  first.choices.set("ours", "matmulTile");
  await first.keep();
  assert.deepEqual(await known("GPU", path), { theirs: "matmul", ours: "matmulTile" });
  const others = ["a", "b", "c", "d", "e", "f"];
  await Promise.all(others.map((other) => keep(other, path, ["product", "matmul"])));
  const all = Object.keys(JSON.parse(await Deno.readTextFile(path))); // whole, whoever came last
  assert.ok(all.length >= 2, `${all}`);
});

Deno.test("openCalibration() ignores a damaged file, and keep() writes it anew", async () => {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/choices.json`;
  for (const text of ["", "{", "[]", "null", "3", '{"GPU": 1}', '{"GPU": {"product": 2}}', "\0"]) {
    await Deno.writeTextFile(path, text);
    assert.deepEqual(await known("GPU", path), {}, text);
    await keep("GPU", path, ["product", "matmul"]);
    assert.deepEqual(await known("GPU", path), { product: "matmul" }, text);
  }
});

Deno.test("keep() leaves it where the folder cannot be made", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/file`, "");
  await keep("GPU", `${folder.path}/file/choices.json`, ["product", "matmul"]);
  await Deno.mkdir(`${folder.path}/choices.json`); // in the place of the file
  await keep("GPU", `${folder.path}/choices.json`, ["product", "matmul"]);
  const names = await Array.fromAsync(Deno.readDir(folder.path), ({ name }) => name);
  assert.deepEqual(names.sort(), ["choices.json", "file"]);
});

Deno.test({
  name: "keep() keeps nothing without permission to write, and asks for none",
  permissions: { read: "inherit", write: false },
  async fn() {
    const path = `${import.meta.dirname}/none/choices.json`;
    const calibration = await openCalibration("GPU", path);
    calibration.choices.set("product", "matmul");
    await calibration.keep();
    assert.deepEqual([...calibration.choices], [["product", "matmul"]]);
    await assert.rejects(Deno.stat(path), { name: "NotFound" });
  },
});

Deno.test({
  name: "openCalibration() knows nothing without permission to read files or the environment",
  permissions: { read: false, env: false },
  async fn() {
    assert.equal((await openCalibration("GPU", "choices.json")).choices.size, 0);
    const calibration = await openCalibration("GPU");
    await calibration.keep();
    assert.equal(calibration.choices.size, 0);
    assert.equal(await calibrationWanted(), true);
  },
});

Deno.test("calibrationWanted() unless MCMAE_CALIBRATE=0", async () => {
  const before = Deno.env.get("MCMAE_CALIBRATE");
  try {
    for (const [value, wanted] of [["0", false], ["1", true], ["", true]] as const) {
      Deno.env.set("MCMAE_CALIBRATE", value);
      assert.equal(await calibrationWanted(), wanted, value);
    }
    Deno.env.delete("MCMAE_CALIBRATE");
    assert.equal(await calibrationWanted(), true);
  } finally {
    if (before !== undefined) Deno.env.set("MCMAE_CALIBRATE", before);
  }
});

Deno.test("openDevice() measures nothing on CPU adapters, nor where that is switched off", async () => {
  for (const calibrate of [true, false]) {
    const { calibration, target, gpu } = await openDevice({ calibrate });
    if (target.cpu || !calibrate) assert.equal(calibration, undefined);
    assert.equal(target.choices, calibration?.choices);
    gpu.destroy();
  }
});
