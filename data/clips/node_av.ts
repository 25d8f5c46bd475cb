/**
 * Videos by npm:node-av, whose package holds FFmpeg 8.1 (under the GPL, as it has x264).
 */

import { DataError } from "../dataset.ts";
import { Scaler, Stream } from "./av_stream.ts";
import { entries, type Entry, type Run, runs, shownTimes } from "./packets.ts";
import { DecoderError, type Video, type VideoFrame } from "./video.ts";

/** The package. */
export type NodeAv = typeof import("node-av/lib") & {
  readonly constants: typeof import("node-av/constants");
};

let loading: Promise<NodeAv> | undefined;

/**
 * Loads the package, once.
 *
 * @throws {DecoderError} If it cannot be loaded.
 */
export async function loadNodeAv(
  importModules = () => Promise.all([import("node-av/lib"), import("node-av/constants")]),
): Promise<NodeAv> {
  loading ??= importModules().then(([lib, constants]) => {
    lib.Log.setLevel(constants.AV_LOG_QUIET); // what matters is in the return codes
    return { ...lib, constants };
  });
  try {
    return await loading;
  } catch (cause) {
    loading = undefined;
    const [reason] = (cause as Error).message.split("\n");
    throw new DecoderError(
      `Cannot load npm:node-av: ${reason.replace(/[.\s]+$/, "")}; ` +
        "run deno install while online and allow FFI, or choose the decoder ffmpeg",
      { cause },
    );
  }
}

/**
 * Opens a video file.
 *
 * @throws {DataError} If it cannot be decoded.
 * @throws {DecoderError} If node-av cannot be loaded.
 */
export async function open(path: string): Promise<Video> {
  const av = await loadNodeAv();
  using stream = new Stream(av, path);
  const packets = stream.packets();
  const times = shownTimes(packets);
  const frames = times?.length ?? countFrames(av, path);
  const count = packets.pts.length;
  const starts = times ? entries(packets) : [START];
  const { width, height, fps } = stream;
  return {
    ...{ path, frames, width, height, fps },
    async *decode(indices, size) {
      using scaler = new Scaler(av, size);
      try {
        for (const run of runs(starts, count, indices)) {
          yield* decodeRun(av, path, scaler, run, times);
        }
        return;
      } catch (error) {
        // Packets are not always what they say: counted from the start, frames are sure.
        if (!(error instanceof DataError) || !times) throw error;
      }
      for (const run of runs([START], count, indices)) yield* decodeRun(av, path, scaler, run);
    },
  };
}

const START: Entry = { packet: 0, frame: 0 };

/**
 * Decodes the wanted frames of a run.
 *
 * @param times When each frame is shown, to check with.
 */
function* decodeRun(
  av: NodeAv,
  path: string,
  scaler: Scaler,
  { packet, end, frame, wanted }: Run,
  times?: readonly number[],
): Generator<VideoFrame> {
  using stream = new Stream(av, path);
  let index = frame;
  let next = 0;
  for (const decoded of stream.frames(packet, end)) {
    if (times && Number(decoded.pts) !== times[index]) throw stream.damaged(index);
    if (index++ !== wanted[next]) continue;
    yield { index: wanted[next++], pixels: scaler.pixelsOf(decoded) };
    if (next === wanted.length) return;
  }
  throw stream.damaged(index);
}

function countFrames(av: NodeAv, path: string): number {
  using stream = new Stream(av, path);
  let count = 0;
  for (const _ of stream.frames(0, Infinity)) count++;
  return count;
}
