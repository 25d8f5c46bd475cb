/**
 * Which frame of a video a packet holds, and from which packets decoding may begin. Frame n is the
 * n-th one shown, whatever its timestamp: B-frames lie in another order in the file, and edit lists
 * hide frames.
 */

/** Packets of a video stream, in the order of the file. */
export interface Packets {
  /** Name of the codec, by FFmpeg. */
  readonly codec: string;
  /** When each one's frame is shown, in units of the stream; NaN where unknown. */
  readonly pts: readonly number[];
  /** Whether it depends on no other. */
  readonly isKey: readonly boolean[];
  /** Whether its frame is shown; edit lists hide some. */
  readonly isShown: readonly boolean[];
}

/** A packet from which decoding may begin, and the number of frames shown before it. */
export interface Entry {
  readonly packet: number;
  readonly frame: number;
}

/** Packets to decode, from `packet` to before `end`, for some of their frames. */
export interface Run extends Entry {
  readonly end: number;
  /** Indices of frames, ascending. */
  readonly wanted: readonly number[];
}

/** Codecs of which each packet holds just one frame in the usual containers. */
const ONE_EACH = new Set(["h264", "hevc", "vp9", "av1"]);

/**
 * Timestamps of the frames as they are shown.
 *
 * @returns Undefined if packets do not tell the frames: then these are counted by decoding. So it is
 * where a codec hides frames in packets (VP8, MPEG-4 in AVI), where a timestamp is missing or met
 * twice, and where the first frames depend on some that were cut off.
 */
export function shownTimes({ codec, pts, isKey, isShown }: Packets): number[] | undefined {
  if (!ONE_EACH.has(codec) || !isKey[0]) return undefined;
  if (pts.some((time) => !(time >= pts[0])) || new Set(pts).size < pts.length) return undefined;
  return pts.filter((_, packet) => isShown[packet]).sort((a, b) => a - b);
}

/**
 * Packets that part the video in decoding and in showing alike: keyframes with everything earlier
 * before them and everything later behind. The frames after one are those after it in the file.
 */
export function entries({ pts, isKey, isShown }: Packets): Entry[] {
  const least = new Float64Array(pts.length + 1).fill(Infinity); // of this packet and all behind it
  for (let i = pts.length - 1; i >= 0; i--) least[i] = Math.min(pts[i], least[i + 1]);
  const found: Entry[] = [];
  let most = -Infinity;
  let frame = 0;
  for (let packet = 0; packet < pts.length; packet++) {
    const parts = most < pts[packet] && pts[packet] < least[packet + 1];
    if (packet === 0 || (isKey[packet] && isShown[packet] && parts)) found.push({ packet, frame });
    most = Math.max(most, pts[packet]);
    if (isShown[packet]) frame++;
  }
  return found;
}

/**
 * The least that must be decoded for some frames.
 *
 * @param entries Where decoding may begin, ascending.
 * @param packets Number of packets.
 * @param wanted Indices of frames, ascending, each once.
 */
export function runs(entries: readonly Entry[], packets: number, wanted: readonly number[]): Run[] {
  const found: Run[] = [];
  let next = 0;
  entries.forEach(({ packet, frame }, i) => {
    const end = entries[i + 1]?.packet ?? packets;
    const first = next;
    while (next < wanted.length && wanted[next] < (entries[i + 1]?.frame ?? Infinity)) next++;
    if (next === first) return;
    const here = wanted.slice(first, next);
    const last = found.at(-1);
    if (last?.end === packet) {
      found[found.length - 1] = { ...last, end, wanted: [...last.wanted, ...here] };
    } else found.push({ packet, frame, end, wanted: here });
  });
  return found;
}
