import assert from "node:assert/strict";
import {
  loadMasksInOrder,
  type MaskEvaluationOptions,
  type MaskPicture,
} from "../../../data/masks/evaluation_loader.ts";
import type { MaskSource } from "../../../data/masks/source.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { patches, STEP, write, writePairs } from "./pairs.ts";

async function load(
  source: MaskSource,
  changes: Partial<MaskEvaluationOptions> = {},
): Promise<MaskPicture[]> {
  return await Array.fromAsync(loadMasksInOrder({
    source,
    ...{ workers: 2, scale: null, channels: 3, mean: [0, 0, 0], std: [1, 1, 1] },
    rule: { classes: 4, ignoreIndex: 255, reduceZeroLabel: false },
    ...changes,
  }));
}

Deno.test("loadMasksInOrder() gives each picture once, in order, without bad ones", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const source = await writePairs(path, ["a", "bad_b", "c", "d", "bad_e"]);
  await write(path, { "images/bad_b.png": "no photo", "masks/bad_e.png": "no mask" });
  for (const [workers, prefetch] of [[1, 0], [2, 2], [1, 9]]) {
    const pictures = await load(source, { workers, prefetch });
    assert.deepEqual(
      pictures.map(({ index, name }) => [index, name]),
      [[0, "images/a.png"], [2, "images/c.png"], [3, "images/d.png"]],
    );
    for (const { index, image, labels, width, height, labelWidth, labelHeight } of pictures) {
      assert.deepEqual([width, height, labelWidth, labelHeight], [60, 44, 60, 44]);
      const expected = patches(60, 44, { classes: 4, patch: 12, seed: index });
      assert.deepEqual([...labels], expected);
      assert.ok(expected.every((label, i) => image[3 * i] === Math.fround(STEP * label / 255)));
    }
    const { skipped, warnings } = pictures[2];
    assert.deepEqual([...skipped.keys()], ["bad_b", "bad_e"].map((n) => `${path}/images/${n}.png`));
    assert.match(skipped.get(`${path}/images/bad_e.png`)!, /masks\/bad_e\.png: it is no PNG/);
    assert.equal(warnings.size, 0);
  }
  await assert.rejects(load(source, { maxBad: 1 }), {
    name: "DataError",
    message: /^Cannot load masks: 2 of 5 pairs are bad \(maxBad allows 1\), first: .*bad_b/,
  });
});

Deno.test("loadMasksInOrder() resizes the image and never the truth", async () => {
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a"]);
  const [{ image, width, height, labels, labelWidth, labelHeight }] = await load(source, {
    scale: { long: 400, short: 22 },
  });
  assert.deepEqual([width, height, image.length], [30, 22, 30 * 22 * 3]);
  assert.deepEqual([labelWidth, labelHeight], [60, 44]);
  assert.deepEqual([...labels], patches(60, 44, { classes: 4, patch: 12, seed: 0 }));
});

Deno.test("loadMasksInOrder() refuses options out of range", async () => {
  const source = { kind: "masks", length: 1, images: ["a"], masks: ["b"], root: "." } as const;
  const changes: Partial<MaskEvaluationOptions>[] = [
    { workers: 0 },
    { prefetch: 0.5 },
    { std: [1] },
    { scale: { long: 0, short: 5 } },
    { source: { ...source, length: 0, images: [], masks: [] } },
  ];
  for (const change of changes) await assert.rejects(load(source, change), RangeError);
});

Deno.test("loadMasksInOrder() lets the process end after it is left", async () => {
  const loader = new URL("../../../data/masks/evaluation_loader.ts", import.meta.url);
  await using folder = await temporaryFolder();
  const source = await writePairs(folder.path, ["a", "b", "c"]);
  const rule = { classes: 4, ignoreIndex: 255, reduceZeroLabel: false };
  const normal = { channels: 3, mean: [0, 0, 0], std: [1, 1, 1] };
  const options = { source, workers: 2, scale: null, rule, ...normal };
  const code = `import { loadMasksInOrder } from "${loader}";
    for await (const picture of loadMasksInOrder(${JSON.stringify(options)})) break;`;
  const { code: status } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    cwd: new URL("../../..", import.meta.url), // where deno.json is
    signal: AbortSignal.timeout(30_000),
  }).output();
  assert.equal(status, 0);
});
