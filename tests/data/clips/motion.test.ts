import assert from "node:assert/strict";
import { frameOf } from "../../../data/clips/clip.ts";
import { motionClip, MOTIONS } from "../../../data/clips/motion.ts";
import { key, uniform } from "../../../src/random.ts";

const SIZE = { frames: 7, width: 20, height: 16 };

/** A photo of smooth noise. */
function photo() {
  const [width, height] = [60, 40];
  const phases = uniform(key(5), 9);
  const pixels = Uint8Array.from({ length: width * height * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    const wave = (n: number) => Math.sin(x * (0.1 + 0.3 * phases[n]) + y * phases[n + 1] * 0.4);
    return 127 + 60 * wave(c) + 60 * wave(c + 4);
  });
  return { width, height, channels: 3, pixels };
}

Deno.test("motionClip() shows the same middle frame whatever the camera does", () => {
  const middles = MOTIONS.map((motion) =>
    frameOf(motionClip(photo(), motion, key(3), SIZE), 3).pixels
  );
  for (const middle of middles) assert.deepEqual(middle, middles[0]);
});

Deno.test("motionClip() of opposite motions is the same clip backwards", () => {
  const opposites = [
    ["pan_left", "pan_right"],
    ["pan_up", "pan_down"],
    ["rotate_left", "rotate_right"],
    ["zoom_in", "zoom_out"],
  ] as const;
  for (const [one, other] of opposites) {
    const [forth, back] = [one, other].map((motion) => motionClip(photo(), motion, key(4), SIZE));
    for (let t = 0; t < SIZE.frames; t++) {
      assert.deepEqual(frameOf(forth, t).pixels, frameOf(back, SIZE.frames - 1 - t).pixels);
    }
    assert.notDeepEqual(forth.pixels, back.pixels);
  }
});

Deno.test("motionClip() moves the picture against the camera", () => {
  const clip = motionClip(photo(), "pan_right", key(9), SIZE);
  const [first, last] = [frameOf(clip, 0), frameOf(clip, 3)];
  const { width, height } = SIZE;
  /** Mean difference of two frames if the second is looked at `dx` pixels further left. */
  const difference = (dx: number) => {
    let [sum, count] = [0, 0];
    for (let y = 0; y < height; y++) {
      for (let x = 2; x < width - 2; x++) {
        const at = (row: number, column: number) => 3 * (row * width + column);
        sum += Math.abs(first.pixels[at(y, x)] - last.pixels[at(y, x - dx)]);
        count++;
      }
    }
    return sum / count;
  };
  assert.ok(difference(1) < difference(-1));
});
