import assert from "node:assert/strict";
import sharp from "sharp";
import { DataError } from "../../data/dataset.ts";
import { decodeImage } from "../../data/decode.ts";
import { encodePng } from "./png.ts";
import { temporaryFolder } from "./temporary_folder.ts";

// Formats, palettes, EXIF and grey of whole photos are compared with Pillow's in parity.test.ts.
const PHOTOS = new URL("../golden/image_preprocess", import.meta.url).pathname;

/** Decodes `bytes` from a file in both modes. */
async function decode(bytes: Uint8Array, name = "image.png") {
  await using folder = await temporaryFolder();
  const path = `${folder.path}/${name}`;
  await Deno.writeFile(path, bytes);
  const [rgb, grey] = [await decodeImage(path), await decodeImage(path, 1)];
  assert.deepEqual([rgb.channels, grey.channels], [3, 1]);
  return { rgb: [...rgb.pixels], grey: [...grey.pixels] };
}

Deno.test("decodeImage() drops alpha without blending", async () => {
  const size = { width: 2, height: 1 };
  assert.deepEqual(
    await decode(encodePng({ ...size, type: 6, samples: [10, 200, 30, 0, 1, 2, 3, 128] })),
    { rgb: [10, 200, 30, 1, 2, 3], grey: [124, 2] },
  );
  assert.deepEqual(
    await decode(encodePng({ ...size, type: 4, samples: [10, 0, 99, 7] })),
    { rgb: [10, 10, 10, 99, 99, 99], grey: [10, 99] },
  );
  const extra: [string, number[]][] = [["PLTE", [9, 8, 7, 50, 60, 70]], ["tRNS", [0, 100]]];
  assert.deepEqual(
    await decode(encodePng({ ...size, type: 3, samples: [1, 0], extra })),
    { rgb: [50, 60, 70, 9, 8, 7], grey: [58, 8] },
  );
});

Deno.test("decodeImage() keeps the high byte of 16-bit samples", async () => {
  const size = { width: 1, height: 1, bits: 16 } as const;
  assert.deepEqual(
    await decode(encodePng({ ...size, type: 2, samples: [1, 255, 128, 0, 255, 127] })),
    { rgb: [1, 128, 255], grey: [105] },
  );
  assert.deepEqual(
    await decode(encodePng({ ...size, type: 0, samples: [77, 200] })),
    { rgb: [77, 77, 77], grey: [77] },
  );
});

Deno.test("decodeImage() converts an Adobe CMYK JPEG as Pillow does", async () => {
  // Pillow 9.4: Image.new("CMYK", (8, 8), (200, 100, 30, 60)).save(file, quality=100)
  const base64 =
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwABAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB" +
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB/8AAFAgACAAIBEMRAE0RAFkRAEsRAP/EABUAAQEAAAAAAAAAAAAAAAAA" +
    "AAoI/8QAFBABAAAAAAAAAAAAAAAAAAAAAP/aAA4EQwBNAFkASwAAPwA262DCCGH/2Q==";
  const { rgb, grey } = await decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  assert.equal(rgb.length, 8 * 8 * 3);
  for (let i = 0; i < grey.length; i++) {
    assert.deepEqual([...rgb.slice(3 * i, 3 * i + 3), grey[i]], [42, 119, 172, 102]);
  }
});

Deno.test("decodeImage() gives the first frame of GIF, TIFF and AVIF too", async () => {
  const pixels = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => [200, 40, 90][i % 3]);
  const image = sharp(pixels, { raw: { width: 16, height: 16, channels: 3 } });
  for (const format of ["gif", "tiff", "avif"] as const) {
    const { rgb } = await decode(await image.clone().toFormat(format, {}).toBuffer());
    assert.equal(rgb.length, pixels.length);
    assert.ok(rgb.every((p, i) => Math.abs(p - pixels[i]) <= 4), format);
  }
});

Deno.test("decodeImage() names a file that is missing, empty, truncated or no image", async () => {
  await using folder = await temporaryFolder();
  const write = async (name: string, bytes: Uint8Array) => {
    await Deno.writeFile(`${folder.path}/${name}`, bytes);
  };
  await write("empty.jpg", new Uint8Array());
  await write("text.jpg", new TextEncoder().encode("no photo\n"));
  await write("drawing.png", new TextEncoder().encode('<svg xmlns="http://www.w3.org/2000/svg"/>'));
  for (
    const name of ["chelsea.jpg", "astronaut_progressive.jpg", "chelsea.png", "chelsea_lossy.webp"]
  ) {
    const bytes = await Deno.readFile(`${PHOTOS}/${name}`);
    await write(`half_${name}`, bytes.subarray(0, bytes.length / 2));
    await write(`tail_${name}`, bytes.subarray(0, bytes.length - 40));
  }
  const files = ["missing.jpg", ...[...Deno.readDirSync(folder.path)].map(({ name }) => name)];
  assert.equal(files.length, 1 + 3 + 8);
  for (const name of files) {
    const path = `${folder.path}/${name}`;
    await assert.rejects(decodeImage(path), (error) => {
      assert.ok(error instanceof DataError);
      assert.ok(error.message.includes(path), error.message);
      assert.ok(!error.message.includes("\n"), error.message);
      return true;
    });
  }
  await assert.rejects(decodeImage(`${folder.path}/missing.jpg`), /: no such file$/);
  await assert.rejects(decodeImage(`${folder.path}/half_chelsea.jpg`), /truncated or damaged/);
  await assert.rejects(decodeImage(`${folder.path}/text.jpg`), /it is not a JPEG, PNG/);
});
