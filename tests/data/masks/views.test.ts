import assert from "node:assert/strict";
import {
  maskCropBox,
  maskView,
  type MaskViewSettings,
  padMask,
  padPixels,
  type Pair,
} from "../../../data/masks/views.ts";
import { fold, key } from "../../../src/random.ts";
import { patches, STEP } from "./pairs.ts";

const RULE = { classes: 6, ignoreIndex: 255, reduceZeroLabel: false };
const SETTINGS: MaskViewSettings = {
  crop: { width: 48, height: 40 },
  scale: { long: 320, short: 64 },
  ratio: [0.5, 2],
  flip: true,
  photometric: false,
  categoryShare: 0.75,
};

/** A pair whose image has `STEP` times the class, beside a ramp from left to right. */
function pairOf(width: number, height: number, patch = 16): Pair {
  const labels = patches(width, height, { classes: 6, patch, seed: 0 });
  const pixels = Uint8Array.from(labels.flatMap((label, i) => [STEP * label, i % width, 0]));
  return {
    image: { width, height, channels: 3, pixels },
    mask: { width, height, labels: Uint16Array.from(labels) },
  };
}

Deno.test("maskView() moves image and mask alike", () => {
  const pair = pairOf(96, 72);
  const sizes = new Set<string>();
  let mirrored = 0;
  for (let i = 0; i < 40; i++) {
    const { image, mask } = maskView(pair, SETTINGS, RULE, fold(key(2), i));
    const { width, height } = image;
    assert.deepEqual([mask.width, mask.height], [width, height]);
    sizes.add(`${width} × ${height}`);
    mirrored += Number(image.pixels[1] > image.pixels[3 * (width - 1) + 1]);
    let looked = 0;
    for (let y = 2; y < height - 2; y++) {
      for (let x = 2; x < width - 2; x++) {
        const at = y * width + x;
        const label = mask.labels[at];
        // Within a patch; edges are mixed in the image and sharp in the mask.
        const around = Array.from(
          { length: 25 },
          (_, i) => at + i % 5 - 2 + (Math.floor(i / 5) - 2) * width,
        );
        if (!around.every((other) => mask.labels[other] === label)) continue;
        assert.equal(image.pixels[3 * at], STEP * label);
        looked++;
      }
    }
    assert.ok(looked > 0.04 * width * height, `${looked} of ${width} × ${height}`);
  }
  assert.ok(mirrored > 10 && mirrored < 30, `${mirrored} of 40 are mirrored`);
  assert.ok(sizes.has("48 × 40") && sizes.size > 3, [...sizes].join()); // smaller ones as well
});

Deno.test("maskView() resizes to the ratio of its scale, or of the image itself", () => {
  const pair = pairOf(60, 40);
  const crop = { width: 1000, height: 1000 };
  const view = (changes: Partial<MaskViewSettings>) => {
    const { image: { width, height } } = maskView(
      pair,
      { ...SETTINGS, crop, ...changes },
      RULE,
      key(0),
    );
    return [width, height];
  };
  assert.deepEqual(view({ ratio: [1, 1], scale: { long: 90, short: 60 } }), [90, 60]);
  assert.deepEqual(view({ ratio: [2, 2], scale: null }), [120, 80]);
  assert.deepEqual(view({ ratio: [0.5, 0.5], scale: { long: 90, short: 80 } }), [45, 30]);
});

Deno.test("maskView() changes the image's look alone, and only if told to", () => {
  const pair = pairOf(60, 40);
  let changed = 0;
  for (let i = 0; i < 20; i++) {
    const [plain, photometric] = [false, true].map((photometric) =>
      maskView(pair, { ...SETTINGS, photometric }, RULE, fold(key(4), i))
    );
    assert.deepEqual(photometric.mask, plain.mask);
    changed += Number(String(photometric.image.pixels) !== String(plain.image.pixels));
  }
  assert.ok(changed > 14);
});

/** A mask of one class but for `others` in the lower right corner. */
function corner(size: number, others: number, label: number) {
  const labels = new Uint16Array(size * size);
  for (let y = size - others; y < size; y++) {
    labels.fill(label, y * size + size - others, (y + 1) * size);
  }
  return { width: size, height: size, labels };
}

Deno.test("maskCropBox() prefers crops without a class that fills them", () => {
  const crop = { width: 20, height: 20 };
  const mask = corner(40, 20, 3);
  const share = (categoryShare: number) => {
    const shares = Array.from({ length: 200 }, (_, i) => {
      const { x, y, width, height } = maskCropBox(
        mask,
        { crop, categoryShare },
        RULE,
        fold(key(6), i),
      );
      assert.deepEqual([width, height], [20, 20]);
      assert.ok(x >= 0 && x <= 20 && y >= 0 && y <= 20);
      const of3 = x * y / 400;
      return Number(Math.max(of3, 1 - of3) < 0.75);
    });
    return shares.reduce((a, b) => a + b) / 200;
  };
  assert.ok(share(1) < 0.5, `${share(1)}`);
  assert.ok(share(0.75) > 0.95, `${share(0.75)}`);
});

Deno.test("maskCropBox() does not count what is ignored, nor give up where nothing helps", () => {
  const crop = { width: 20, height: 20 };
  const boxes = (label: number, categoryShare: number) =>
    Array.from(
      { length: 50 },
      (_, i) => maskCropBox(corner(40, 20, label), { crop, categoryShare }, RULE, fold(key(8), i)),
    );
  // With an ignored corner only one class is left, so all tries fail and the last box is another.
  assert.notDeepEqual(boxes(255, 0.75), boxes(255, 1));
  assert.deepEqual(boxes(255, 0.75), boxes(0, 0.75));
  const all = corner(40, 40, 255);
  const box = maskCropBox(all, { crop, categoryShare: 0.75 }, RULE, key(1));
  assert.equal(box.width, 20);
  const small = maskCropBox(corner(10, 3, 1), { crop, categoryShare: 0.75 }, RULE, key(1));
  assert.deepEqual(small, { x: 0, y: 0, width: 10, height: 10 });
});

Deno.test("padPixels() and padMask() fill the right and the bottom", () => {
  const from = { width: 2, height: 1 };
  const to = { width: 3, height: 2 };
  const pixels = Float32Array.of(1, 2, 3, 4);
  assert.deepEqual([...padPixels(pixels, from, to)], [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
  assert.equal(padPixels(pixels, from, from), pixels);
  const mask = { ...from, labels: Uint16Array.of(5, 6) };
  assert.deepEqual(padMask(mask, to, 255), {
    ...to,
    labels: Uint16Array.of(5, 6, 255, 255, 255, 255),
  });
});
