/** Videos by the programs ffmpeg and ffprobe. */

import { DataError } from "../dataset.ts";
import { type Packets, shownTimes } from "./packets.ts";
import { DecoderError, type Video, type VideoFrame } from "./video.ts";

/**
 * Options of the scale filter. Chroma counts as centred, as it does by default up to version 7.0;
 * later ones read its place from the file.
 */
function scaling(pixelFormat: string): string {
  const [, digits = "444"] =
    pixelFormat.replace(/^(nv\d\d|p0\d\d)/, "yuv420").match(/^yuv[aj]?(\d{3})/) ??
      [];
  const [x, y] = (SUBSAMPLING[digits] ?? [0, 0]).map((power) => 128 * 2 ** power - 128);
  return `flags=bicubic:in_h_chr_pos=${x}:in_v_chr_pos=${y}`;
}

/** Powers of two, x and y, by which chroma is coarser. */
const SUBSAMPLING: Readonly<Record<string, readonly number[]>> = {
  "410": [2, 2],
  "411": [2, 0],
  "420": [1, 1],
  "422": [1, 0],
  "440": [0, 1],
};

/**
 * Opens a video file.
 *
 * @throws {DataError} If it cannot be decoded.
 * @throws {DecoderError} If the programs are missing or must not be run.
 */
export async function open(path: string): Promise<Video> {
  const passthrough = await passthroughOption();
  const lines = await probe(path, ["-show_entries", `stream=${STREAM}:packet=pts,flags`]);
  const stream = lines.find(({ section }) => section === "stream")?.fields;
  if (!stream) {
    const sound = (await probe(path, ["-show_entries", "stream=codec_type"], "a")).length > 0;
    throw new DataError(`Cannot decode ${path}: it holds no video${sound ? ", only sound" : ""}`);
  }
  const packets = lines.filter(({ section }) => section === "packet").map(({ fields }) => fields);
  const corrupt = packets.findIndex(({ flags }) => flags.includes("C"));
  if (corrupt >= 0) throw damaged(path, corrupt);
  const table: Packets = {
    codec: stream.codec_name,
    pts: packets.map(({ pts }) => Number(pts)),
    isKey: packets.map(({ flags }) => flags.includes("K")),
    isShown: packets.map(({ flags }) => !flags.includes("D")),
  };
  const frames = shownTimes(table)?.length ?? await countFrames(path);
  const scale = scaling(stream.pix_fmt);
  const [num, den] = stream.avg_frame_rate.split("/").map(Number);
  return {
    path,
    frames,
    width: Number(stream.width),
    height: Number(stream.height),
    ...(num > 0 && den > 0 && { fps: num / den }),
    async *decode(indices, { width, height }) {
      const filter = `select='${
        selection(indices)
      }',scale=${width}:${height}:${scale},format=rgb24`;
      const child = start("ffmpeg", [
        ...["-v", "error", "-nostdin", "-xerror", "-threads", "1", "-noautorotate"],
        ...["-i", `file:${path}`, "-map", "0:V:0", "-vf", filter, ...passthrough],
        ...["-frames:v", String(indices.length), "-f", "rawvideo", "-"],
      ]);
      yield* framesOf(child, path, indices, width * height * 3);
    },
  };
}

const STREAM = "codec_name,pix_fmt,width,height,avg_frame_rate";

/** Cuts what ffmpeg writes into frames. */
async function* framesOf(
  child: Deno.ChildProcess,
  path: string,
  indices: readonly number[],
  size: number,
): AsyncGenerator<VideoFrame> {
  const said = new Response(child.stderr).text();
  let next = 0;
  try {
    let frame = new Uint8Array(size);
    let filled = 0;
    for await (const bytes of child.stdout) {
      for (let taken = 0; taken < bytes.length;) {
        const part = bytes.subarray(taken, taken + size - filled);
        frame.set(part, filled);
        taken += part.length;
        filled += part.length;
        if (filled < size) continue;
        yield { index: indices[next++], pixels: frame };
        frame = new Uint8Array(size);
        filled = 0;
      }
    }
    if (next < indices.length) throw damaged(path, indices[next], await said);
  } finally {
    try {
      child.kill();
    } catch { /* it has ended */ }
    await Promise.all([child.status, said]);
    await child.stdout.cancel().catch(() => {});
  }
}

/** Frames as an expression of ffmpeg's select filter, runs of them as one term. */
function selection(indices: readonly number[]): string {
  const terms: string[] = [];
  for (let i = 0; i < indices.length;) {
    const first = indices[i];
    while (indices[i + 1] === indices[i] + 1) i++;
    terms.push(`between(n,${first},${indices[i++]})`);
  }
  return terms.join("+");
}

async function countFrames(path: string): Promise<number> {
  const [found] = await probe(path, ["-count_frames", "-show_entries", "stream=nb_read_frames"]);
  return Number(found?.fields.nb_read_frames) || 0;
}

interface Line {
  readonly section: string;
  readonly fields: Readonly<Record<string, string>>;
}

/** Asks ffprobe about the first stream of a kind: V is video, but for cover pictures. */
async function probe(path: string, args: readonly string[], kind = "V"): Promise<Line[]> {
  const child = start("ffprobe", [
    ...["-v", "error", "-threads", "1", "-select_streams", `${kind}:0`, ...args],
    ...["-of", "compact", `file:${path}`],
  ]);
  const { success, stdout } = await child.output();
  if (!success) throw new DataError(`Cannot decode ${path}: it is no video, or damaged`);
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line.includes("|"))
    .map((line) => {
      const [section, ...fields] = line.trim().split("|");
      return { section, fields: Object.fromEntries(fields.map((field) => field.split("="))) };
    });
}

function damaged(path: string, frame: number, said = ""): DataError {
  const reason = said.trim().split("\n")[0].replace(/^\[.*?\] /, "");
  return new DataError(
    `Cannot decode ${path}: it is truncated or damaged at frame ${frame}` +
      (reason && ` (ffmpeg: ${reason})`),
  );
}

/** Option that neither drops nor doubles frames; its name changed with version 5.1. */
let passthroughOption = async (): Promise<readonly string[]> => {
  const { stdout } = await start("ffmpeg", ["-version"]).output();
  const version = new TextDecoder().decode(stdout).match(/^ffmpeg version n?(\d+\.\d+)/)?.[1];
  const option = Number(version ?? 9) < 5.1
    ? ["-vsync", "passthrough"]
    : ["-fps_mode", "passthrough"];
  passthroughOption = () => Promise.resolve(option);
  return option;
};

function start(program: string, args: readonly string[]): Deno.ChildProcess {
  try {
    return new Deno.Command(program, {
      args: [...args],
      ...{ stdin: "null", stdout: "piped", stderr: "piped" },
    }).spawn();
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) {
      throw new DecoderError(
        `Cannot decode videos: there is no ${program} on PATH; ` +
          "install it, for instance by apt-get install ffmpeg, or choose the decoder node-av",
        { cause },
      );
    }
    if (cause instanceof Deno.errors.NotCapable) {
      throw new DecoderError(
        `Cannot decode videos: ${program} must not be run; ` +
          "give deno --allow-run=ffmpeg,ffprobe, or choose the decoder node-av",
        { cause },
      );
    }
    throw cause;
  }
}
