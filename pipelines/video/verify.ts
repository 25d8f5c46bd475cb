/**
 * `deno task data verify --clips`: looks at every video before a run does.
 *
 * @module
 */
import { DataError } from "../../data/dataset.ts";
import { findClips } from "../../data/clips/find.ts";
import type { Sampling } from "../../data/clips/sampling.ts";
import { type ClipAudit, type ClipRange, verifyClips } from "../../data/clips/verify.ts";
import { type DecoderName, DECODERS } from "../../data/clips/video.ts";
import { startCount } from "../count.ts";
import { listing, table } from "../table.ts";
import { UsageError } from "../usage.ts";

const count = new Intl.NumberFormat("en");

/** What the options say. */
export interface VerifyRequest {
  /** `16x4`: 16 frames, every fourth; `16`: of as many segments. */
  readonly clips: string;
  readonly root?: string;
  readonly decoder: string;
  readonly json: boolean;
}

/**
 * Runs the command on videos.
 *
 * @returns The exit code.
 * @throws {UsageError} If the options make no sense or a path holds no videos.
 */
export async function verifyVideos(
  path: string,
  { clips, root, decoder, json }: VerifyRequest,
): Promise<number> {
  const sampling = parseSampling(clips);
  if (!isDecoder(decoder)) {
    throw new UsageError(
      `Option --decoder expects one of ${DECODERS.join(", ")}, got ${decoder}`,
    );
  }
  const source = await findClips(path, { ...(root !== undefined && { root }) }).catch((error) => {
    if (!(error instanceof DataError)) throw error;
    throw new UsageError(error.message, { cause: error });
  });
  const found = await verifyClips(source, {
    ...{ sampling, decoder, workers: Math.max(1, navigator.hardwareConcurrency) },
    onProgress: startCount(source.length),
  });
  console.log(json ? JSON.stringify(found, null, 2) : describeClips(found));
  return found.missing.length + found.unreadable.length > 0 ? 1 : 0;
}

function isDecoder(name: string): name is DecoderName {
  return DECODERS.some((known) => known === name);
}

function parseSampling(text: string): Sampling {
  const [, frames, stride] = text.match(/^([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?$/) ?? [];
  if (frames === undefined) {
    throw new UsageError(`Option --clips expects frames and a stride such as 16x4, got ${text}`);
  }
  return stride === undefined
    ? { kind: "segments", frames: Number(frames) }
    : { kind: "dense", frames: Number(frames), stride: Number(stride) };
}

/** An audit of videos in words. */
export function describeClips({ clips, missing, unreadable, short, ...ranges }: ClipAudit): string {
  const text = (range?: ClipRange) =>
    range
      ? [range.min, range.median, range.max].map((value) => Number(value.toFixed(2))).join(" – ")
      : "";
  const { frames, width, height, fps } = ranges;
  const where = ({ file, line }: { readonly file: string; readonly line?: number }) =>
    line === undefined ? file : `line ${line}: ${file}`;
  return [
    ...table([
      ["videos", "frames: least – median – most", "width", "height", "frames a second"],
      [count.format(clips), ...[frames, width, height, fps].map(text)],
    ]),
    ...listing("missing", missing.map(where)),
    ...listing(
      "unreadable",
      unreadable.map(({ reason, line }) => line === undefined ? reason : `line ${line}: ${reason}`),
    ),
    ...listing(
      "too short, so that last frames will be repeated",
      short.map((clip) => `${where(clip)}: ${clip.frames} frames`),
    ),
  ].join("\n");
}
