import assert from "node:assert/strict";
import {
  type Clip,
  frameOf,
  mapFrames,
  resizeClip,
  stackFrames,
  takeFrames,
} from "../../../data/clips/clip.ts";
import {
  augmentClip,
  cropBox,
  eraseClip,
  flipClip,
  multiScaleBox,
  testBoxes,
  testViews,
  trainingView,
  type ViewSettings,
} from "../../../data/clips/views.ts";
import { flip } from "../../../data/augment.ts";
import { parseRandAugment, randAugment } from "../../../data/rand_augment.ts";
import { crop, resize } from "../../../data/resize.ts";
import { fold, key, split } from "../../../src/random.ts";
import { numberedClip, numbersIn } from "./numbered.ts";

const MEAN = [0.485, 0.456, 0.406];
const STD = [0.229, 0.224, 0.225];
const SETTINGS: ViewSettings = {
  crop: { kind: "random-resized", scale: [0.2, 1], width: 24, height: 20 },
  flip: true,
};

/** A clip of one frame, repeated. */
function still(frames: number): Clip {
  return takeFrames(numberedClip(1, { first: 37 }), Array(frames).fill(0));
}

function framesAlike(clip: Clip): boolean {
  const [first, ...others] = Array.from({ length: clip.frames }, (_, t) => frameOf(clip, t).pixels);
  return others.every((pixels) => pixels.every((value, i) => value === first[i]));
}

Deno.test("clips are frames, one after the other", () => {
  const clip = numberedClip(5);
  assert.deepEqual(numbersIn(takeFrames(clip, [4, 0, 0])), [4, 0, 0]);
  const small = resizeClip(clip, 48, 32);
  assert.deepEqual(frameOf(small, 3), resize(frameOf(clip, 3), 48, 32, "bilinear"));
  assert.throws(() => frameOf(clip, 5), /Cannot take frame 5: the clip has 5/);
  assert.throws(() => stackFrames([]), /no frames/);
  assert.throws(
    () => mapFrames(clip, (frame, t) => t < 2 ? frame : frameOf(small, t)),
    /frame 2 is \[32, 48, 3\], the first is \[64, 96, 3\]/,
  );
});

Deno.test("trainingView() does the same to all frames, by its key alone", () => {
  const randAugment = {
    ...parseRandAugment("rand-m7-n4-mstd0.5-inc1"),
    ...{ interpolation: "bicubic", fill: [128, 128, 128] } as const,
  };
  const crops = [SETTINGS.crop, { kind: "multi-scale", width: 24, height: 24 }] as const;
  const seen = new Set<string>();
  for (const crop of crops) {
    for (let n = 0; n < 8; n++) {
      const settings = { ...SETTINGS, crop, randAugment };
      const view = trainingView(still(3), settings, fold(key(2), n));
      assert.deepEqual(
        [view.frames, view.height, view.width, view.channels],
        [3, crop.height, crop.width, 3],
      );
      assert.ok(framesAlike(view));
      assert.deepEqual(trainingView(still(3), settings, fold(key(2), n)), view);
      seen.add(view.pixels.join());
    }
  }
  assert.equal(seen.size, 16);
});

Deno.test("trainingView() mirrors half of the views, or none", () => {
  const whole: ViewSettings = {
    crop: { kind: "random-resized", scale: [1, 1], ratio: [1.5, 1.5], width: 96, height: 64 },
    flip: true,
  };
  const clip = numberedClip(2);
  let mirrored = 0;
  for (let n = 0; n < 60; n++) {
    const view = trainingView(clip, whole, fold(key(0), n));
    const isMirrored = view.pixels.some((value, i) => value !== clip.pixels[i]);
    assert.deepEqual(view, isMirrored ? flipClip(clip) : clip);
    mirrored += Number(isMirrored);
    assert.deepEqual(trainingView(clip, { ...whole, flip: false }, fold(key(0), n)), clip);
  }
  assert.ok(mirrored > 15 && mirrored < 45);
  assert.deepEqual(frameOf(flipClip(clip), 1), flip(frameOf(clip, 1)));
});

Deno.test("multiScaleBox() gives TSN's sides and places", () => {
  const target = { kind: "multi-scale", width: 224, height: 224 } as const;
  const size = { width: 340, height: 256 };
  // Sides 256, 224, 192 and 168; 10 pairs of neighbours; 13 places.
  const boxes = Array.from(
    { length: 10 },
    (_, i) => multiScaleBox(size, target, [(i + 0.5) / 10, 0]),
  );
  assert.deepEqual(boxes.map(({ width, height }) => [width, height]), [
    ...[[256, 256], [224, 256], [256, 224], [224, 224], [192, 224]],
    ...[[224, 192], [192, 192], [168, 192], [192, 168], [168, 168]],
  ]);
  const places = Array.from({ length: 13 }, (_, i) => {
    const { x, y } = multiScaleBox(size, target, [0.35, (i + 0.5) / 13]); // 224 × 224
    return [x, y];
  });
  assert.deepEqual(places, [
    ...[[0, 0], [116, 0], [0, 32], [116, 32], [58, 16]],
    ...[[0, 16], [116, 16], [58, 32], [58, 0]],
    ...[[29, 8], [87, 8], [29, 24], [87, 24]],
  ]);
  // Within two pixels of the target a side takes its length.
  const near = multiScaleBox({ width: 400, height: 258 }, target, [0.35, 0]);
  assert.deepEqual([near.width, near.height], [224, 224]); // not 225
});

Deno.test("cropBox() stays within the frame", () => {
  for (let n = 0; n < 200; n++) {
    for (const size of [{ width: 97, height: 33 }, { width: 20, height: 50 }]) {
      for (const kind of ["multi-scale", "random-resized"] as const) {
        const crop = { kind, width: 32, height: 32, scale: [0.08, 1] } as const;
        const { x, y, width, height } = cropBox(size, crop, fold(key(3), n));
        assert.ok(x >= 0 && y >= 0 && width > 0 && height > 0);
        assert.ok(x + width <= size.width && y + height <= size.height);
      }
    }
  }
});

Deno.test("augmentClip() applies the same ops to every frame", () => {
  const settings = {
    ...parseRandAugment("rand-m9-n3-mstd0.5"),
    ...{ interpolation: "random", fill: [1, 2, 3] } as const,
  };
  const clip = numberedClip(3);
  for (let n = 0; n < 10; n++) {
    const changed = augmentClip(clip, settings, fold(key(4), n));
    for (let t = 0; t < 3; t++) {
      const frame = randAugment(frameOf(clip, t), settings, fold(key(4), n));
      assert.deepEqual(frameOf(changed, t).pixels, frame.pixels);
    }
  }
});

Deno.test("eraseClip() erases one box in all frames, with noise of its own in each", () => {
  const clip = still(3);
  const erase = { probability: 1, mode: "pixel", mean: MEAN, std: STD } as const;
  const box = (erased: Clip, t: number) => {
    const places: number[] = [];
    frameOf(erased, t).pixels.forEach((value, i) => {
      if (value !== frameOf(clip, t).pixels[i]) places.push(Math.floor(i / 3));
    });
    const [xs, ys] = [places.map((p) => p % 96), places.map((p) => Math.floor(p / 96))];
    return [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  };
  let sum = 0;
  let count = 0;
  for (let n = 0; n < 20; n++) {
    const erased = eraseClip(clip, erase, fold(key(5), n));
    assert.deepEqual(box(erased, 1), box(erased, 0));
    assert.deepEqual(box(erased, 2), box(erased, 0));
    assert.ok(!framesAlike(erased));
    erased.pixels.forEach((value, i) => {
      if (value === clip.pixels[i] || i % 3 !== 0) return;
      sum += value / 255;
      count++;
    });
    // Zero once normalised.
    const mean = eraseClip(clip, { ...erase, mode: "const" }, fold(key(5), n));
    const [x, , y] = box(mean, 0);
    const at = 3 * (96 * y + x);
    assert.deepEqual([...mean.pixels.subarray(at, at + 3)], [124, 116, 104]);
  }
  assert.ok(Math.abs(sum / count - MEAN[0]) < 0.01);
  assert.equal(eraseClip(clip, { ...erase, probability: 0 }, key(5)), clip);
  assert.notDeepEqual(
    eraseClip(clip, { ...erase, mode: "rand" }, split(key(5), 1)[0]).pixels,
    clip.pixels,
  );
});

Deno.test("testBoxes() lie left, centre and right, or top, centre and bottom", () => {
  const crops = { width: 224, height: 224, crops: 3 };
  const places = (width: number, height: number) =>
    testBoxes({ width, height }, crops).map(({ x, y }) => [x, y]);
  assert.deepEqual(places(299, 224), [[0, 0], [37, 0], [75, 0]]); // int(37.5)
  assert.deepEqual(places(224, 398), [[0, 0], [0, 87], [0, 174]]);
  assert.deepEqual(places(340, 256), [[0, 16], [58, 16], [116, 16]]);
  assert.deepEqual(testBoxes({ width: 340, height: 256 }, { ...crops, crops: 1 }), [
    { x: 58, y: 16, width: 224, height: 224 },
  ]);
  assert.throws(() => testBoxes({ width: 9, height: 9 }, { ...crops, crops: 0 }), /take 0 crops/);
});

Deno.test("testViews() resizes the short side and cuts the crops", () => {
  const clip = numberedClip(2);
  for (const shortSide of [undefined, 40]) {
    const side = shortSide ?? 32;
    const views = testViews(clip, { width: 32, height: 32, crops: 3, shortSide });
    const resized = resizeClip(clip, Math.trunc(side * 96 / 64), side);
    const room = resized.width - 32;
    views.forEach((view, i) => {
      const box = { x: Math.trunc(i * room / 2), y: (side - 32) / 2, width: 32, height: 32 };
      assert.deepEqual(view, mapFrames(resized, (frame) => crop(frame, box)));
    });
    assert.equal(views.length, 3);
  }
  assert.throws(
    () => testViews(clip, { width: 64, height: 64, crops: 1, shortSide: 40 }),
    /Cannot crop 64 × 64 from frames of 60 × 40/,
  );
});
