/** Small clips whose frames tell their number. */
import { encodeClip } from "../../../data/clips/encode.ts";
import { type Clip, frameOf } from "../../../data/clips/clip.ts";

const BITS = 8;

/** Whether the programs ffmpeg and ffprobe can be run here. */
export const hasFfmpeg: boolean = ["ffmpeg", "ffprobe"].every((name) => {
  try {
    return new Deno.Command(name, { args: ["-version"] }).outputSync().success;
  } catch {
    return false;
  }
});

/** Frames that show their number in stripes, dark for 0 and bright for 1, over a moving gradient. */
export function numberedClip(frames: number, { width = 96, height = 64, first = 0 } = {}): Clip {
  const pixels = new Uint8Array(frames * height * width * 3);
  let out = 0;
  for (let t = first; t < first + frames; t++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const bit = t >> Math.floor(x * BITS / width) & 1;
        const stripe = 4 * y < 3 * height;
        pixels[out++] = stripe ? 30 + 200 * bit : (x + 3 * t) & 255;
        pixels[out++] = stripe ? 30 + 200 * bit : (2 * y + t) & 255;
        pixels[out++] = stripe ? 30 + 200 * bit : 128;
      }
    }
  }
  return { frames, height, width, channels: 3, pixels };
}

/** Number of each frame, read from its stripes, whatever its size. */
export function numbersIn(clip: Clip): number[] {
  return Array.from({ length: clip.frames }, (_, t) => {
    const { width, height, pixels } = frameOf(clip, t);
    const row = Math.floor(height * 3 / 8) * width;
    return Array.from({ length: BITS }, (_, bit) => {
      const x = Math.floor((bit + 0.5) * width / BITS);
      return Number(pixels[3 * (row + x)] > 128) << bit;
    }).reduce((a, b) => a + b);
  });
}

/** Writes a numbered video. */
export async function writeNumbered(
  path: string,
  frames: number,
  options: { fps?: number; keyframes?: number; width?: number; height?: number } = {},
): Promise<void> {
  const { fps = 25, keyframes = 30 } = options;
  await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
  await encodeClip(numberedClip(frames, options), path, { fps, keyframes, bFrames: 3 });
}

/** 0 … n - 1. */
export function range(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** What ffmpeg itself makes of a video: every frame as RGB. */
export async function ffmpegFrames(path: string): Promise<Uint8Array> {
  const { stdout } = await new Deno.Command("ffmpeg", {
    args: [
      ...["-v", "error", "-i", path, "-map", "0:v:0", "-fps_mode", "passthrough"],
      ...["-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
    ],
  }).output();
  return stdout;
}

/** Runs ffmpeg, for videos that encodeClip() does not write. */
export async function ffmpeg(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command("ffmpeg", {
    args: ["-v", "error", "-y", ...args],
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

/** Writes a sound file, a 1 s tone as WAV. */
export async function writeSound(path: string): Promise<void> {
  const rate = 8000;
  const bytes = new Uint8Array(44 + rate);
  const view = new DataView(bytes.buffer);
  const text = (at: number, word: string) => bytes.set(new TextEncoder().encode(word), at);
  text(0, "RIFF");
  view.setUint32(4, 36 + rate, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  for (const [at, value] of [[20, 1], [22, 1], [32, 1], [34, 8]]) view.setUint16(at, value, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate, true);
  text(36, "data");
  view.setUint32(40, rate, true);
  for (let i = 0; i < rate; i++) bytes[44 + i] = 128 + 100 * Math.sin(i / 3);
  await Deno.writeFile(path, bytes);
}
