/**
 * Clips of a camera that moves over a photo, in eight ways that a middle frame cannot tell apart.
 *
 * @module
 */
import { type Key, uniform } from "../../src/random.ts";
import { type Image, resize } from "../resize.ts";
import { type Clip, stackFrames } from "./clip.ts";

/** What the camera does; also the names of the classes. */
export const MOTIONS = [
  ...["pan_down", "pan_left", "pan_right", "pan_up"] as const,
  ...["rotate_left", "rotate_right", "zoom_in", "zoom_out"] as const,
] as const;
export type Motion = (typeof MOTIONS)[number];

/** Shape of the clips. */
export interface MotionSize {
  readonly frames: number;
  readonly width: number;
  readonly height: number;
}

/** Where the camera stands: its centre in pixels of the photo, its pixel's size, its angle. */
interface Pose {
  readonly x: number;
  readonly y: number;
  readonly scale: number;
  readonly angle: number;
}

/** Least and most of a draw. */
type Range = readonly [number, number];

/** Pixels, radians or e-folds a frame; a frame's height is 64 pixels where it counts in pixels. */
const SPEED: Readonly<Record<"pan" | "rotate" | "zoom", Range>> = {
  ...{ pan: [1, 2], rotate: [0.035, 0.07], zoom: [0.02, 0.04] },
};

/**
 * Films a photo.
 *
 * In the middle of a clip the camera is anywhere in the photo, at any angle and at scales that differ
 * by a factor of two, whatever it does: only how frames differ tells the motion. (Far from the middle
 * a very large or small scale hints at a zoom.) Beyond its edges the photo is mirrored.
 *
 * @param photo RGB `[H, W, 3]`.
 * @param key Decides where and how fast the camera moves.
 * @returns RGB clip `[frames, height, width, 3]`.
 */
export function motionClip(
  photo: Image,
  motion: Motion,
  key: Key,
  { frames, width, height }: MotionSize,
): Clip {
  // Shrunk first, so that nothing aliases.
  const side = 2 * height;
  const factor = side / Math.min(photo.width, photo.height);
  const [W, H] = [photo.width, photo.height].map((length) => Math.round(factor * length));
  const small = resize(photo, W, H, "bilinear");
  const draws = uniform(key, 5);
  const between = ([least, most]: Range, i: number) => least + (most - least) * draws[i];
  const middle: Pose = {
    x: between([0.35 * W, 0.65 * W], 0),
    y: between([0.35 * H, 0.65 * H], 1),
    scale: Math.exp(between([-0.35, 0.35], 2)),
    angle: between([-Math.PI, Math.PI], 3),
  };
  const kind = motion.slice(0, motion.indexOf("_")) as keyof typeof SPEED;
  const speed = between(SPEED[kind], 4) * (kind === "pan" ? height / 64 : 1);
  return stackFrames(Array.from({ length: frames }, (_, t) => {
    const way = speed * (t - (frames - 1) / 2);
    return look(small, poseAfter(middle, motion, way), width, height);
  }));
}

/** A pose some way further: pixels of the frame along its own axes, e-folds, or radians. */
function poseAfter(pose: Pose, motion: Motion, way: number): Pose {
  const [cos, sin] = [Math.cos(pose.angle), Math.sin(pose.angle)];
  const shift = (dx: number, dy: number): Pose => ({
    ...pose,
    x: pose.x + pose.scale * (cos * dx - sin * dy),
    y: pose.y + pose.scale * (sin * dx + cos * dy),
  });
  const poses: Readonly<Record<Motion, Pose>> = {
    pan_down: shift(0, way),
    pan_left: shift(-way, 0),
    pan_right: shift(way, 0),
    pan_up: shift(0, -way),
    rotate_left: { ...pose, angle: pose.angle - way },
    rotate_right: { ...pose, angle: pose.angle + way },
    zoom_in: { ...pose, scale: pose.scale * Math.exp(-way) },
    zoom_out: { ...pose, scale: pose.scale * Math.exp(way) },
  };
  return poses[motion];
}

/** What the camera sees, by linear interpolation. */
function look(
  { width: W, height: H, channels, pixels }: Image,
  pose: Pose,
  width: number,
  height: number,
): Image {
  const seen = new Uint8Array(width * height * channels);
  const [cos, sin] = [pose.scale * Math.cos(pose.angle), pose.scale * Math.sin(pose.angle)];
  for (let v = 0, to = 0; v < height; v++) {
    for (let u = 0; u < width; u++) {
      const [dx, dy] = [u - (width - 1) / 2, v - (height - 1) / 2];
      const x = pose.x + cos * dx - sin * dy;
      const y = pose.y + sin * dx + cos * dy;
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const [fx, fy] = [x - left, y - top];
      const [x0, x1] = [mirrored(left, W), mirrored(left + 1, W)];
      const [y0, y1] = [W * mirrored(top, H), W * mirrored(top + 1, H)];
      for (let c = 0; c < channels; c++, to++) {
        const at = (row: number, column: number) => pixels[(row + column) * channels + c];
        const above = at(y0, x0) + fx * (at(y0, x1) - at(y0, x0));
        const below = at(y1, x0) + fx * (at(y1, x1) - at(y1, x0));
        seen[to] = Math.round(above + fy * (below - above));
      }
    }
  }
  return { width, height, channels, pixels: seen };
}

/** A place on an endless row of mirrored copies. */
function mirrored(i: number, length: number): number {
  const period = 2 * length - 2;
  const place = ((i % period) + period) % period;
  return place < length ? place : period - place;
}
