import assert from "node:assert/strict";
import sharp from "sharp";
import { DataError } from "../../data/dataset.ts";
import { decodeBytes, decodeImage } from "../../data/decode.ts";
import { findImages } from "../../data/find.ts";
import { encodeNpy, parseNpy } from "../../data/npy.ts";
import { options, take } from "./batches.ts";
import { encodePng } from "./png.ts";
import { temporaryFolder } from "./temporary_folder.ts";
import { encodeTiff, type Page } from "./tiff.ts";

const [width, height] = [3, 2];

/** Samples of all sizes, `[height, width, bands]`. */
function samplesOf(bands: number, bits: 8 | 16): number[] {
  const count = width * height * bands;
  return Array.from({ length: count }, (_, i) => (i * 40503 + 977) % 65536 >> (16 - bits));
}

Deno.test("decodeBytes() takes the bands of a TIFF as they are, the high byte of 16 bits", async () => {
  for (const bands of [2, 4, 5, 8]) {
    for (const photometric of bands > 2 ? [1, 2] as const : [1] as const) {
      for (const bits of [8, 16] as const) {
        const samples = samplesOf(bands, bits);
        const bytes = encodeTiff({ width, height, bands, bits, photometric, samples });
        const image = await decodeBytes(bytes, "a.tif", bands);
        assert.deepEqual(image, {
          ...{ width, height, channels: bands },
          pixels: Uint8Array.from(samples, (sample) => sample >> (bits - 8)),
        }, `${bands} bands of ${bits} bits, photometric ${photometric}`);
        assert.deepEqual(await decodeBytes(bytes, "a.tif"), image);
      }
    }
  }
});

/** Pages of one band, and what they are as one image `[H, W, P]`. */
function pagesOf(count: number, bits: 8 | 16): { pages: Page[]; pixels: Uint8Array<ArrayBuffer> } {
  const samples = samplesOf(count, bits);
  const pages = Array.from({ length: count }, (_, page) => ({
    ...{ width, height, bands: 1, bits, photometric: 1 } as const,
    samples: samples.filter((_, i) => i % count === page),
  }));
  return { pages, pixels: Uint8Array.from(samples, (sample) => sample >> (bits - 8)) };
}

Deno.test("decodeBytes() takes the pages of a TIFF as channels where there are as many", async () => {
  for (const count of [2, 3, 4, 5, 40]) {
    for (const bits of [8, 16] as const) {
      const { pages, pixels } = pagesOf(count, bits);
      const bytes = encodeTiff(...pages);
      const expected = { width, height, channels: count, pixels, pages: count };
      assert.deepEqual(
        await decodeBytes(bytes, "a.tif", count),
        expected,
        `${count}, ${bits} bits`,
      );
      assert.deepEqual(await decodeBytes(bytes, "a.tif"), expected);
    }
  }
});

Deno.test("decodeBytes() takes the first page for one or three channels, as Pillow does", async () => {
  const { pages } = pagesOf(5, 8);
  const first = pages[0].samples;
  const bytes = encodeTiff(...pages);
  assert.deepEqual([...(await decodeBytes(bytes, "a.tif", 1)).pixels], first);
  const repeated = first.flatMap((sample) => [sample, sample, sample]);
  assert.deepEqual([...(await decodeBytes(bytes, "a.tif", 3)).pixels], repeated);
  const smaller: Page = { ...pages[1], width: 1, height: 1, samples: [0] }; // a thumbnail, say
  const grey = encodeTiff(pages[0], smaller);
  assert.deepEqual([...(await decodeBytes(grey, "a.tif", 3)).pixels], repeated);
  const samples = samplesOf(3, 8);
  const colours: Page = { width, height, bands: 3, bits: 8, photometric: 2, samples };
  for (const second of [smaller, colours]) {
    const image = await decodeBytes(encodeTiff(colours, second), "a.tif");
    assert.deepEqual([image.channels, [...image.pixels]], [3, samples]);
  }
});

Deno.test("decodeBytes() names pages that are not as many as the channels, unlike or cut off", async () => {
  const { pages } = pagesOf(5, 8);
  const [a, b, c] = pages;
  const smaller: Page = { ...c, width: 1, samples: c.samples.slice(0, height) };
  const deeper: Page = { ...c, bits: 16 };
  const colours: Page = { ...c, bands: 3, photometric: 2, samples: samplesOf(3, 8) };
  const unlike = "Cannot use a.tif: its 3 pages differ in size, bands or bits";
  const cut = "Cannot decode a.tif: it is truncated or damaged";
  const cases: [Uint8Array<ArrayBuffer>, number | undefined, string][] = [
    [encodeTiff(...pages), 4, "Cannot use a.tif: it has 5 pages of 1 band, not 4 bands"],
    [encodeTiff(...pages), 6, "Cannot use a.tif: it has 5 pages of 1 band, not 6 bands"],
    [encodeTiff(a, b, smaller), 3, unlike],
    [encodeTiff(a, deeper, c), 3, unlike],
    [encodeTiff(a, b, colours), 3, unlike],
    [encodeTiff(...pages).slice(0, -4), 5, cut],
    [encodeTiff(...pages).slice(0, -100), undefined, cut], // within the last directory
    [encodeTiff(a).slice(0, -4), 3, cut],
  ];
  for (const [bytes, channels, message] of cases) {
    await assert.rejects(decodeBytes(bytes, "a.tif", channels), (error) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.message, message);
      return true;
    });
  }
});

Deno.test("decodeBytes() takes 2 or 4 channels of a PNG, and 3 of three unnamed bands", async () => {
  const samples = [10, 200, 30, 0, 1, 2, 3, 128];
  const rgba = encodePng({ width: 2, height: 1, type: 6, samples });
  assert.deepEqual([...(await decodeBytes(new Uint8Array(rgba), "a.png", 4)).pixels], samples);
  const grey = encodePng({ width: 4, height: 1, type: 4, samples });
  assert.deepEqual([...(await decodeBytes(new Uint8Array(grey), "a.png", 2)).pixels], samples);
  const bands = samplesOf(3, 8);
  const unnamed = encodeTiff({ width, height, bands: 3, bits: 8, photometric: 1, samples: bands });
  assert.deepEqual([...(await decodeBytes(unnamed, "a.tif", 3)).pixels], bands);
});

Deno.test("decodeImage() names a file of other bands, and both numbers", async () => {
  await using folder = await temporaryFolder();
  const photo = await sharp({ create: { width: 4, height: 4, channels: 3, background: "red" } })
    .jpeg().toBuffer();
  const five = encodeTiff(
    { width, height, bands: 5, bits: 8, photometric: 2, samples: samplesOf(5, 8) },
  );
  const seven = encodeNpy({ width: 1, height: 1, channels: 7, pixels: new Uint8Array(7) });
  const cases: [string, Uint8Array, number, string][] = [
    ["a.jpg", photo, 4, "3 bands, not 4"],
    ["a.tif", five, 8, "5 bands, not 8"],
    ["b.tif", five, 3, "5 bands, not 3"],
    ["a.npy", seven, 1, "7 bands, not 1"],
  ];
  for (const [name, bytes, channels, found] of cases) {
    const path = `${folder.path}/${name}`;
    await Deno.writeFile(path, bytes);
    await assert.rejects(decodeImage(path, channels), (error) => {
      assert.ok(error instanceof DataError);
      assert.equal(error.message, `Cannot use ${path}: it has ${found}`);
      return true;
    });
  }
});

/** A .npy file as NumPy writes it. */
function npy(descr: string, shape: string, data: number[], version = 1, order = "False") {
  const text = `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;
  const head = version === 1 ? 10 : 12;
  const length = Math.ceil((head + text.length + 1) / 64) * 64 - head;
  const size = version === 1 ? [length, 0] : [length, 0, 0, 0];
  const header = new TextEncoder().encode(text.padEnd(length - 1) + "\n");
  return Uint8Array.from([
    0x93,
    ...new TextEncoder().encode("NUMPY"),
    version,
    0,
    ...size,
    ...header,
    ...data,
  ]);
}

Deno.test("parseNpy() reads bytes and 16 bits, with and without channels, and what encodeNpy() wrote", () => {
  const read = (bytes: Uint8Array<ArrayBuffer>) => {
    const { width, height, channels, pixels } = parseNpy(bytes, "a.npy");
    return [height, width, channels, [...pixels]];
  };
  assert.deepEqual(read(npy("|u1", "(1, 2)", [7, 8])), [1, 2, 1, [7, 8]]);
  assert.deepEqual(read(npy("|u1", "(1, 2, 2)", [1, 2, 3, 4], 2)), [1, 2, 2, [1, 2, 3, 4]]);
  assert.deepEqual(read(npy("<u2", "(2, 1)", [9, 1, 9, 255])), [2, 1, 1, [1, 255]]);
  assert.deepEqual(read(npy(">u2", "(2, 1, 1)", [9, 1, 9, 255])), [2, 1, 1, [9, 9]]);
  const image = { width: 3, height: 2, channels: 5, pixels: Uint8Array.from(samplesOf(5, 8)) };
  assert.deepEqual(parseNpy(encodeNpy(image), "a.npy"), image);
  assert.deepEqual(encodeNpy({ ...image, channels: 5 }), npy("|u1", "(2, 3, 5)", samplesOf(5, 8)));
});

Deno.test("parseNpy() names a file that is bad and says why", () => {
  const bad: [Uint8Array<ArrayBuffer>, RegExp][] = [
    [npy("<f4", "(1, 1)", [0, 0, 0, 0]), /its elements are <f4, not uint8 or uint16$/],
    [npy("|u1", "(2,)", [1, 2]), /its shape is \[2\], not \[H, W\] or \[H, W, C\]$/],
    [npy("|u1", "(1, 0)", []), /its shape is \[1,0\], not/],
    [npy("|u1", "(2, 2)", [1, 2, 3]), /shape \[2,2\] needs 4 bytes, 3 found$/],
    [npy("<u2", "(1, 2)", [1, 2, 3, 4, 5]), /shape \[1,2\] needs 4 bytes, 5 found$/],
    [npy("|u1", "(1, 2)", [7, 8], 3), /it is \.npy version 3, not 1 or 2$/],
    [npy("|u1", "(1, 2)", [7, 8]).slice(0, 40), /its \.npy header is truncated or damaged$/],
    [npy("|u1", "(1, 2)", [7, 8], 1, "True"), /it is in Fortran order, not in C order$/],
    [new Uint8Array(20), /it is not a \.npy file$/],
  ];
  for (const [bytes, message] of bad) {
    assert.throws(() => parseNpy(bytes, "x/a.npy"), (error) => {
      assert.ok(error instanceof DataError && error.message.startsWith("Cannot decode x/a.npy: "));
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("loadBatches() gives images of five bands, TIFF, its pages and .npy alike", async () => {
  await using folder = await temporaryFolder();
  const samples = samplesOf(5, 8);
  const image = { width, height, channels: 5, pixels: Uint8Array.from(samples) };
  const tiff = encodeTiff({ width, height, bands: 5, bits: 8, photometric: 2, samples });
  await Deno.writeFile(`${folder.path}/a.tiff`, tiff);
  await Deno.writeFile(`${folder.path}/b.npy`, encodeNpy(image));
  await Deno.writeFile(`${folder.path}/c.tif`, encodeTiff(...pagesOf(5, 8).pages));
  const { train } = await findImages(folder.path);
  assert.equal(train.length, 3);
  const five = (value: number) => Array(5).fill(value);
  const [batch] = await take(
    1,
    options(train, {
      ...{ channels: 5, mean: five(0), std: five(1), batch: 3, workers: 1 },
      crop: { height: 2, width: 3, scale: [1, 1], ratio: [1.5, 1.5], flip: false },
    }),
  );
  const expected = Float32Array.from(samples, (sample) => Math.fround(sample / 255));
  assert.deepEqual(batch.images, Float32Array.from([...expected, ...expected, ...expected]));
});
