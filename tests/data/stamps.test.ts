import assert from "node:assert/strict";
import sharp from "sharp";
import { DataError } from "../../data/dataset.ts";
import type { Image } from "../../data/resize.ts";
import { type Cutout, findStamps, readCutout } from "../../data/stamps/find.ts";
import { composeScene, type Scene } from "../../data/stamps/scene.ts";
import { fold, key } from "../../src/random.ts";
import { photograph, writeStamp } from "./made_stamps.ts";
import { temporaryFolder } from "./temporary_folder.ts";

const SIZE = { width: 48, height: 40 };

/** A photo of one colour. */
function plain(colour: readonly number[], width = 60, height = 50): Image {
  const pixels = Uint8Array.from({ length: 3 * width * height }, (_, i) => colour[i % 3]);
  return { width, height, channels: 3, pixels };
}

/** A cut-out of one colour. */
function thing(
  name: string,
  colour: readonly number[],
  alpha: (x: number, y: number) => number = () => 255,
  { width, height } = { width: 30, height: 30 },
): Cutout {
  const pixels = new Uint8Array(4 * width * height);
  for (let i = 0; i < width * height; i++) {
    const opacity = alpha(i % width, Math.floor(i / width));
    pixels.set([...colour.map((c) => Math.round(c * opacity / 255)), opacity], 4 * i);
  }
  return { name, image: { width, height, channels: 4, pixels } };
}

/** Opaque in a disc, with a soft edge. */
const disc = (x: number, y: number) =>
  Math.round(255 * Math.min(1, Math.max(0, (14.5 - Math.hypot(x - 14.5, y - 14.5)) / 4)));

function scenes(count: number, photo: Image, cutouts: readonly Cutout[]): Scene[] {
  return Array.from({ length: count }, (_, i) => composeScene(photo, cutouts, key(i), SIZE));
}

const channel = ({ pixels }: Image, c: number) =>
  Uint8Array.from({ length: pixels.length / 3 }, (_, i) => pixels[3 * i + c]);

const sum = (values: Uint8Array) => values.reduce((total, value) => total + value, 0);

/** Whether a box holds all of a mask, and no smaller one does. */
function isExact([x, y, width, height]: readonly number[], mask: Uint8Array): boolean {
  const inside = (px: number, py: number) =>
    px >= x && px < x + width && py >= y && py < y + height;
  const sides = [false, false, false, false];
  for (let i = 0; i < mask.length; i++) {
    if (!mask[i]) continue;
    const [px, py] = [i % SIZE.width, Math.floor(i / SIZE.width)];
    if (!inside(px, py)) return false;
    [px === x, py === y, px === x + width - 1, py === y + height - 1].forEach((met, side) => {
      sides[side] ||= met;
    });
  }
  return sides.every(Boolean);
}

Deno.test("findStamps() lists photographs of things, by folder and by pixels", async () => {
  await using folder = await temporaryFolder();
  const write = (name: string, ...rest: unknown[]) =>
    writeStamp(`${folder.path}/${name}`, ...rest as []);
  const opaque = ([red, green, blue]: readonly number[]) => [red, green, blue, 255] as const;
  await write("plants/flowers/rose.png");
  await write("animals/birds/duck.png");
  await write("animals/birds/duck_mirror.png");
  await write("animals/birds/cartoon/duck.png");
  await write("symbols/shapes/round.png");
  await write("food/drawing.png", (x: number, y: number) => {
    const [, , , alpha] = photograph(x, y);
    return [8 * (x >> 2), 8 * (y >> 2), 0, alpha]; // many colours, in areas
  });
  await write("food/black.png", (x: number, y: number) => [0, 0, x % 2, photograph(x, y)[3]]);
  await write("food/rectangle.png", (x: number, y: number) => opaque(photograph(x, y)));
  await write("food/small.png", photograph, { width: 40, height: 40 });
  await write("food/smoke.png", (x: number, y: number) => {
    const [red, green, blue, alpha] = photograph(x, y);
    return [red, green, blue, Math.min(alpha, 200)];
  });
  await Deno.writeTextFile(`${folder.path}/animals/birds/duck.txt`, "A duck.");
  await Deno.writeTextFile(`${folder.path}/animals/birds/duck.jpg`, "not looked at");
  const expected = ["animals/birds/duck.png", "plants/flowers/rose.png"].map((name) => ({
    ...{ file: `${folder.path}/${name}`, name, category: name.split("/")[0] },
  }));
  assert.deepEqual(await findStamps(folder.path), expected);
  assert.deepEqual(await findStamps(`${folder.path}/`), expected);
});

Deno.test("findStamps() says how to get stamps where there are none", async () => {
  await using folder = await temporaryFolder();
  const refused = (path: string, message: string) =>
    assert.rejects(
      findStamps(path),
      (error: Error) => error instanceof DataError && error.message === message,
    );
  await refused(
    `${folder.path}/missing`,
    `Cannot read stamps in ${folder.path}/missing: no such folder; run deno task setup:stamps`,
  );
  const none = "none is a photograph of a thing; run deno task setup:stamps";
  await Deno.writeTextFile(`${folder.path}/file`, "");
  await refused(`${folder.path}/file`, `Cannot use stamps in ${folder.path}/file: ${none}`);
  await refused(folder.path, `Cannot use stamps in ${folder.path}: ${none}`);
  await writeStamp(`${folder.path}/symbols/round.png`);
  await refused(folder.path, `Cannot use stamps in ${folder.path}: ${none}`);
  await Deno.mkdir(`${folder.path}/animals`);
  await Deno.writeTextFile(`${folder.path}/animals/bad.png`, "no image");
  await refused(
    folder.path,
    `Cannot decode ${folder.path}/animals/bad.png: it is no image, or damaged`,
  );
});

Deno.test("readCutout() multiplies colours by alpha and takes empty edges away", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/animals/duck.png`;
  const alphas = [[0, 0, 0, 0], [0, 255, 128, 3], [0, 64, 0, 0]];
  await writeStamp(file, (x, y) => [200, 100, 50, alphas[y][x]], { width: 4, height: 3 });
  const cutout = await readCutout({ file, name: "animals/duck.png", category: "animals" });
  const rgba = [[200, 100, 50, 255], [100, 50, 25, 128], [50, 25, 13, 64], [0, 0, 0, 0]];
  assert.deepEqual(cutout, {
    name: "animals/duck.png",
    image: { width: 2, height: 2, channels: 4, pixels: Uint8Array.from(rgba.flat()) },
  });
  await writeStamp(file, () => [9, 9, 9, 0]);
  await assert.rejects(readCutout({ file, name: "", category: "" }), /all of it is transparent/);
});

Deno.test("readCutout() reads palettes and grey with alpha", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/duck.png`;
  const read = async () => (await readCutout({ file, name: "", category: "" })).image;
  await writeStamp(file);
  const expected = await read();
  assert.deepEqual([expected.width, expected.height], [58, 48]);
  await writeStamp(file, (x, y) => [90, 90, 90, photograph(x, y)[3]]);
  const grey = await read();
  await Deno.writeFile(file, await sharp(file).png({ palette: true }).toBuffer());
  assert.deepEqual(await read(), grey);
  await Deno.writeFile(file, await sharp(file).toColourspace("b-w").png().toBuffer());
  assert.deepEqual(await read(), grey);
});

Deno.test("composeScene() marks what is at least half opaque, with exact bounds", () => {
  // White on black: a pixel is its alpha.
  for (
    const { image, labels, instances } of scenes(60, plain([0, 0, 0]), [
      thing("ball", [255, 255, 255], disc),
    ])
  ) {
    const expected = channel(image, 0).map((alpha) => Number(alpha >= 128));
    assert.deepEqual(labels, expected);
    assert.equal(instances.length, 1);
    const [{ name, mask, box }] = instances;
    assert.equal(name, "ball");
    assert.deepEqual(mask, expected);
    assert.ok(isExact(box, mask), `${box}`);
  }
  for (const [alpha, seen] of [[127, false], [128, true]] as const) {
    const veil = thing("veil", [255, 255, 255], () => alpha);
    const { image, labels, instances } = composeScene(plain([0, 0, 0]), [veil], key(0), SIZE);
    assert.equal(Math.max(...image.pixels), alpha);
    assert.deepEqual(labels, channel(image, 0).map((value) => Number(seen && value > 0)));
    assert.equal(instances.length, Number(seen));
  }
});

Deno.test("composeScene() lets later things hide earlier ones", () => {
  const colours = { red: [255, 0, 0], green: [0, 255, 0], blue: [0, 0, 255] };
  const cutouts = Object.entries(colours).map(([name, colour]) =>
    thing(name, colour, undefined, { width: 30, height: name === "green" ? 3 : 30 })
  );
  const counts = new Set<number>();
  let hidden = 0;
  for (const { image, labels, instances } of scenes(600, plain([0, 0, 0]), cutouts)) {
    counts.add(instances.length);
    const seen = Object.keys(colours).map((_, c) => channel(image, c).map((v) => Number(v > 0)));
    assert.deepEqual(labels, labels.map((_, i) => seen[0][i] + seen[1][i] + seen[2][i]));
    for (const [c, name] of Object.keys(colours).entries()) {
      const instance = instances.find((instance) => instance.name === name);
      // What is left out is still no background.
      assert.equal(instance !== undefined, sum(seen[c]) >= 16);
      if (!instance) hidden += Number(sum(seen[c]) > 0);
      else {
        assert.deepEqual(instance.mask, seen[c]);
        assert.ok(isExact(instance.box, seen[c]));
      }
    }
    const last = instances.at(-1)!;
    // Nothing is before the last one: all of its box is seen.
    assert.equal(sum(last.mask), last.box[2] * last.box[3]);
  }
  assert.deepEqual([...counts].sort(), [1, 2]);
  assert.ok(hidden > 0);
});

Deno.test("composeScene() gives edges no fringe: what is beneath transparent pixels is not seen", async () => {
  await using folder = await temporaryFolder();
  const file = `${folder.path}/ball.png`;
  // Grey, with a hard edge that resizing makes soft, beside a colour that nobody should see.
  await writeStamp(file, (x, y) => photograph(x, y)[3] ? [100, 100, 100, 255] : [255, 0, 9, 0]);
  const ball = await readCutout({ file, name: "ball", category: "animals" });
  for (const { image } of scenes(40, plain([100, 100, 100]), [ball])) {
    assert.ok(image.pixels.every((value) => Math.abs(value - 100) <= 1));
  }
});

Deno.test("composeScene() puts things at all sizes and places, at least 60 % inside", () => {
  const sides: number[] = [];
  let cut = 0;
  for (
    const { instances: [{ box: [x, y, width, height] }] } of scenes(300, plain([0, 0, 0]), [
      thing("square", [255, 255, 255]),
    ])
  ) {
    const isCut = [
      x === 0 || x + width === SIZE.width,
      y === 0 || y + height === SIZE.height,
    ];
    if (isCut.every(Boolean)) continue; // its side is not known
    const side = Math.max(width, height);
    if (width !== height) cut++;
    // As much may be outside along the other axis.
    assert.ok((Math.min(width, height) / side) ** 2 >= 0.6, `${width} × ${height}`);
    sides.push(side);
  }
  assert.ok(cut > 20);
  assert.equal(Math.min(...sides), 16); // 40 % of 40
  assert.equal(Math.max(...sides), 36); // 90 % of 40
});

Deno.test("composeScene() mirrors things and photos, and moves over the photo", () => {
  const ramp = plain([0, 0, 0], 60, 50);
  ramp.pixels.forEach((_, i) => ramp.pixels[i] = 4 * (Math.floor(i / 3) % 60));
  const wedge = thing("wedge", [255, 255, 255], (x, y) => x >= y ? 255 : 0);
  const left = new Set<boolean>();
  const firsts = new Set<number>();
  const turned = new Set<boolean>();
  for (const { image, instances: [{ mask, box: [x, y, width] }] } of scenes(40, ramp, [wedge])) {
    const row = channel(image, 0).subarray(0, SIZE.width);
    const isFree = !mask.subarray(0, SIZE.width).includes(1);
    if (isFree) {
      left.add(row[0] < row[SIZE.width - 1]);
      firsts.add(row[0]);
    }
    // Right at the top, or mirrored: on the left further down.
    if (x > 0 && x + width < SIZE.width && y > 0) {
      const below = (y + Math.floor(width / 2)) * SIZE.width;
      if (below < mask.length) turned.add(mask[below + x + 1] === 1);
    }
  }
  assert.equal(left.size, 2);
  assert.ok(firsts.size > 5);
  assert.equal(turned.size, 2);
});

Deno.test("composeScene() depends on its key alone", () => {
  const photo = plain([10, 20, 30]);
  const cutouts = ["a", "b", "c", "d"].map((name, i) => thing(name, [60 * i, 200, 0], disc));
  const before = structuredClone({ photo, cutouts });
  const compose = (seed: number) => composeScene(photo, cutouts, fold(key(7), seed), SIZE);
  assert.deepEqual(compose(1), compose(1));
  assert.notDeepEqual(compose(1), compose(2));
  assert.deepEqual({ photo, cutouts }, before);
});

Deno.test("composeScene() refuses to choose from nothing", () => {
  assert.throws(() => composeScene(plain([0, 0, 0]), [], key(0), SIZE), {
    name: "RangeError",
    message: "Cannot compose a scene: there are 0 cut-outs",
  });
});
