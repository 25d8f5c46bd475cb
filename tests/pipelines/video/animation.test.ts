import assert from "node:assert/strict";
import sharp from "sharp";
import {
  animate,
  arrangeStills,
  stillsOf,
  writeAnimation,
} from "../../../pipelines/video/animation.ts";
import { temporaryFolder } from "../../data/temporary_folder.ts";

const [N, T, H, W] = [2, 5, 16, 32];
const SHAPE = { frames: T, imageSize: [H, W] } as const;

/** A colour for each clip and frame. */
function colourOf(column: number, n: number, t: number): number[] {
  return [40 * t + 20, 200 - 120 * n, 60 + 80 * column];
}

/** Clips `[N, T, H, W, 3]` of one colour a frame. */
function plainClips(column: number): Uint8Array {
  return Uint8Array.from({ length: N * T * H * W * 3 }, (_, i) => {
    const frame = Math.floor(i / (3 * H * W));
    return colourOf(column, Math.floor(frame / T), frame % T)[i % 3];
  });
}

const COLUMNS = [0, 1, 2].map(plainClips);
const [SCALE, GAP] = [7, 14]; // 224 / 32, and twice that
const WIDTH = 3 * (SCALE * W + GAP) + GAP;
const HEIGHT = N * (SCALE * H + GAP) + GAP;

for (const format of ["webp", "gif"] as const) {
  Deno.test(`animate() makes a ${format} that shows every frame, without end`, async () => {
    await using folder = await temporaryFolder();
    const path = `${folder.path}/clips.${format}`;
    await writeAnimation(path, COLUMNS, SHAPE);
    const file = await Deno.readFile(path);
    const { data: made, width, height } = await animate(COLUMNS, SHAPE, format);
    assert.deepEqual([new Uint8Array(made), width, height], [file, WIDTH, HEIGHT]);
    const about = await sharp(file, { animated: true }).metadata();
    assert.equal(about.format, format);
    assert.deepEqual([about.pages, about.width, about.pageHeight], [T, WIDTH, HEIGHT]);
    assert.equal(about.loop, 0);
    const delay = format === "gif" ? 120 : 125; // a GIF counts in hundredths of a second
    assert.deepEqual(about.delay, Array(T).fill(delay));
    const { data, info } = await sharp(file, { animated: true }).ensureAlpha().raw()
      .toBuffer({ resolveWithObject: true });
    const pixel = (t: number, x: number, y: number) => [
      ...data.subarray(4 * ((t * HEIGHT + y) * info.width + x)).subarray(0, 4),
    ];
    const worst = format === "gif" ? 2 : 12;
    for (let t = 0; t < T; t++) {
      assert.equal(pixel(t, 3, 3)[3], 0, "gaps are transparent");
      for (let n = 0; n < N; n++) {
        for (let column = 0; column < 3; column++) {
          const x = GAP + column * (SCALE * W + GAP) + SCALE * W / 2;
          const y = GAP + n * (SCALE * H + GAP) + SCALE * H / 2;
          const [red, green, blue, alpha] = pixel(t, x, y);
          assert.equal(alpha, 255);
          [red, green, blue].forEach((value, c) => {
            const expected = colourOf(column, n, t)[c];
            assert.ok(Math.abs(value - expected) <= worst, `${value}, not ${expected}`);
          });
        }
      }
    }
  });
}

Deno.test("arrangeStills() puts four frames of every clip side by side", async () => {
  assert.deepEqual([1, 2, 4, 8, 16].map(stillsOf), [
    ...[[0], [0, 1], [0, 1, 2, 3]],
    ...[[0, 2, 5, 7], [0, 5, 10, 15]],
  ]);
  const { png, width, height } = await arrangeStills(COLUMNS, SHAPE);
  assert.deepEqual([width, height], [12 * (SCALE * W + GAP) + GAP, HEIGHT]);
  const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height, info.channels], [width, height, 4]);
  for (let column = 0; column < 12; column++) {
    const x = GAP + column * (SCALE * W + GAP);
    const pixel = data.subarray(4 * (GAP * width + x)).subarray(0, 4);
    const t = [0, 1, 3, 4][column % 4];
    assert.deepEqual([...pixel], [...colourOf(Math.floor(column / 4), 0, t), 255]);
  }
});
