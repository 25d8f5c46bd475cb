import assert from "node:assert/strict";
import sharp from "sharp";
import { decodeMask } from "../../../data/masks/mask.ts";
import { encodePng } from "../png.ts";
import { temporaryFolder } from "../temporary_folder.ts";
import { greyPng, sharpPng } from "./pairs.ts";

/** What decodeMask makes of bytes. */
async function decoded(bytes: Uint8Array) {
  await using folder = await temporaryFolder();
  await Deno.writeFile(`${folder.path}/m.png`, bytes);
  const { width, height, labels } = await decodeMask(`${folder.path}/m.png`);
  return [width, height, [...labels]];
}

async function rejects(bytes: Uint8Array, message: RegExp): Promise<void> {
  await assert.rejects(decoded(bytes), { name: "DataError", message });
}

Deno.test("decodeMask() gives grey of 8 and 16 bits as it is", async () => {
  assert.deepEqual(await decoded(greyPng(3, 2, [0, 1, 2, 150, 254, 255])), [
    ...[3, 2, [0, 1, 2, 150, 254, 255]],
  ]);
  assert.deepEqual(await decoded(greyPng(3, 1, [256, 300, 65535])), [3, 1, [256, 300, 65535]]);
});

Deno.test("decodeMask() gives less than 8 bits of grey as their values, not scaled", async () => {
  const grey = { type: 0, width: 3, height: 2 };
  assert.deepEqual(
    await decoded(encodePng({ ...grey, bits: 1, samples: [0b10100000, 0b01000000] })),
    [3, 2, [1, 0, 1, 0, 1, 0]],
  );
  assert.deepEqual(
    await decoded(encodePng({ ...grey, bits: 2, samples: [0b01101100, 0b11000100] })),
    [3, 2, [1, 2, 3, 3, 0, 1]],
  );
  assert.deepEqual(
    await decoded(encodePng({ ...grey, bits: 4, samples: [0x12, 0xf0, 0xa0, 0x90] })),
    [3, 2, [1, 2, 15, 10, 0, 9]],
  );
});

Deno.test("decodeMask() gives a palette's indices, whatever its colours", async () => {
  const palette: [string, number[]][] = [
    ["PLTE", [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]],
    ["tRNS", [0, 255]],
  ];
  const indexed = { type: 3, width: 3, height: 1, extra: palette };
  assert.deepEqual(
    await decoded(encodePng({ ...indexed, samples: [0, 3, 255] })),
    [3, 1, [0, 3, 255]],
  );
  assert.deepEqual(
    await decoded(encodePng({ ...indexed, bits: 2, samples: [0b11011000] })),
    [3, 1, [3, 1, 2]],
  );
});

Deno.test("decodeMask() reads interlaced files of 8 and 16 bits, and refuses those of fewer", async () => {
  const labels = Array.from({ length: 11 * 9 }, (_, i) => i);
  const grey = await sharpPng(11, 9, 1, { progressive: true });
  assert.equal(grey[28], 1); // interlaced
  assert.deepEqual(await decoded(grey), [11, 9, labels]);
  const deep = await sharp(Uint16Array.from(labels, (label) => 500 * label), {
    raw: { width: 11, height: 9, channels: 1 },
  }).toColourspace("grey16").png({ progressive: true }).toBuffer();
  assert.deepEqual([deep[24], deep[28]], [16, 1]);
  assert.deepEqual(await decoded(deep), [11, 9, labels.map((label) => 500 * label)]);
  const few = await sharpPng(4, 4, 3, { progressive: true, colours: 4 }, (i) => 80 * (i % 4));
  assert.ok(few[24] < 8 && few[25] === 3);
  await rejects(few, /it is interlaced, of \d bits a pixel: save it without interlacing$/);
});

Deno.test("decodeMask() refuses colours and other formats", async () => {
  const colours =
    /^Cannot use mask .*m\.png: it holds colours, not class indices: save it as a grey or palette PNG$/;
  await rejects(await sharpPng(3, 2, 3), colours);
  await rejects(await sharpPng(3, 2, 4), colours);
  const raw = { raw: { width: 8, height: 8, channels: 1 as const } };
  await rejects(await sharp(new Uint8Array(64), raw).jpeg().toBuffer(), colours);
  await rejects(
    encodePng({ width: 1, height: 1, type: 4, samples: [3, 255] }),
    /it holds an alpha channel: save it as a grey or palette PNG$/,
  );
  for (const bytes of [new TextEncoder().encode("no mask"), Uint8Array.of(0x89, 0x50)]) {
    await rejects(bytes, /it is no PNG of class indices: save it as a grey or palette PNG$/);
  }
});

Deno.test("decodeMask() names a file that is missing, empty, truncated or damaged", async () => {
  await assert.rejects(decodeMask("none/m.png"), /^DataError: Cannot read none\/m\.png: no such/);
  await rejects(new Uint8Array(), /^Cannot decode .*m\.png: the file is empty$/);
  const damaged = /^Cannot decode .*m\.png: it is truncated or damaged$/;
  const bytes = greyPng(40, 30, Array.from({ length: 1200 }, (_, i) => i * i % 251));
  for (let size = 8; size < bytes.length; size += 7) {
    await rejects(bytes.subarray(0, size), damaged);
  }
  for (const at of [17, 60, bytes.length - 20]) {
    const wrong = bytes.slice();
    wrong[at] ^= 0x55;
    await rejects(wrong, damaged);
  }
  // Whole, but with fewer rows than it says.
  await rejects(encodePng({ width: 4, height: 2, type: 0, samples: [1, 2] }), damaged);
});
