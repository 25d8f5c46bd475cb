import assert from "node:assert/strict";
import { checkImagePreprocess } from "../../pipelines/parity/images.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

const GOLDEN = new URL("../golden", import.meta.url).pathname;

Deno.test("checkImagePreprocess() finds decoding, resampling and crops equal to Pillow's", async () => {
  const checks = await Array.fromAsync(checkImagePreprocess(GOLDEN));
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  assert.ok(checks.every(({ error }) => error === 0), "every result was exact, JPEG too");
  const names = checks.map(({ tensor }) => tensor);
  assert.equal(new Set(names).size, names.length);
  for (
    const kind of [
      /\.rgb$/,
      /eval64$/,
      /rrc2$/,
      /_norm_chw$/,
      /_pad$/,
      /resize_/,
      /table/,
      /fallback/,
    ]
  ) {
    assert.ok(names.some((name) => kind.test(name)), `no check of ${kind}`);
  }
});

Deno.test("checkImagePreprocess() notices one wrong pixel", async () => {
  await using folder = await temporaryFolder();
  await Deno.mkdir(`${folder.path}/image_preprocess`);
  for (const { name } of Deno.readDirSync(`${GOLDEN}/image_preprocess`)) {
    const file = `image_preprocess/${name}`;
    await Deno.copyFile(`${GOLDEN}/${file}`, `${folder.path}/${file}`);
  }
  const file = "image_preprocess.safetensors";
  const bytes = await Deno.readFile(`${GOLDEN}/${file}`);
  bytes[bytes.length - 1] ^= 1;
  await Deno.writeFile(`${folder.path}/${file}`, bytes);
  const checks = await Array.fromAsync(checkImagePreprocess(folder.path));
  assert.deepEqual(checks.filter(({ ok }) => !ok).map(({ error }) => error), [1]);
});
