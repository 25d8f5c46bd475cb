import { Buffer } from "node:buffer";
import type { AVPixelFormat } from "node-av/constants";
import type { CodecContext, Frame } from "node-av/lib";
import { DataError } from "../dataset.ts";
import { writeAtomically } from "../files.ts";
import { type Clip, frameOf } from "./clip.ts";
import { loadNodeAv } from "./node_av.ts";

/** How to encode a clip. */
export interface Encoding {
  /** Frames a second, an integer. */
  readonly fps: number;
  /** Constant rate factor, from 0, the best, to 51; 18 unless given. */
  readonly crf?: number;
  /** Frames from one keyframe to the next, at most; 2 s unless given. */
  readonly keyframes?: number;
  /** B-frames in a row; 2 unless given. VP9 has none. */
  readonly bFrames?: number;
}

/**
 * Writes a clip as a video: H.264 by x264 in .mp4, .mkv or .mov, VP9 by libvpx in .webm; 4:2:0,
 * BT.601, the same bytes each time. By node-av, whose x264 is under the GPL.
 *
 * @param clip RGB clip `[T, H, W, 3]` with even H and W.
 * @throws {RangeError} If the clip has another shape, or the path another extension.
 * @throws {DecoderError} If node-av cannot be loaded.
 */
export async function encodeClip(
  clip: Clip,
  path: string,
  { fps, crf = 18, keyframes = 2 * fps, bFrames = 2 }: Encoding,
): Promise<void> {
  const { width, height, frames, channels } = clip;
  const [, extension] = path.match(/\.(mp4|mkv|mov|webm)$/i) ?? [];
  if (!extension) {
    throw new RangeError(`Cannot encode ${path}: it is none of .mp4, .mkv, .mov, .webm`);
  }
  if (width % 2 || height % 2 || channels !== 3) {
    throw new RangeError(
      `Cannot encode ${path}: frames are [${height}, ${width}, ${channels}], not [even, even, 3]`,
    );
  }
  if (!(Number.isInteger(fps) && fps > 0)) {
    throw new RangeError(`Cannot encode ${path}: fps is ${fps}, not a positive integer`);
  }
  if (!(crf >= 0 && crf <= 51)) {
    throw new RangeError(`Cannot encode ${path}: crf is ${crf}, not in 0 … 51`);
  }
  const isVp9 = extension.toLowerCase() === "webm";
  const av = await loadNodeAv();
  const { constants: c } = av;
  const check = (code: number, what: string) => {
    if (code < 0) throw new DataError(`Cannot encode ${path}: ${what} failed with ${code}`);
  };
  const write = async (temporary: string) => {
    const codec = av.Codec.findEncoderByName(
      isVp9 ? c.FF_ENCODER_LIBVPX_VP9 : c.FF_ENCODER_LIBX264,
    );
    if (!codec) throw new DataError(`Cannot encode ${path}: node-av lacks the encoder`);
    const timeBase = new av.Rational(1, fps);
    const format = FORMATS[extension.toLowerCase()];
    await using file = new av.FormatContext();
    check(file.allocOutputContext2(null, format, `file:${temporary}`), "making the container");
    file.setFlags(c.AVFMT_FLAG_BITEXACT);
    using encoder: CodecContext = new av.CodecContext();
    encoder.allocContext3(codec);
    Object.assign(encoder, {
      ...{ width, height, timeBase, gopSize: keyframes, threadCount: 1 },
      ...{ pixelFormat: c.AV_PIX_FMT_YUV420P, framerate: new av.Rational(fps, 1) },
      ...(!isVp9 && { maxBFrames: bFrames }),
    });
    encoder.setFlags(c.AV_CODEC_FLAG_GLOBAL_HEADER, c.AV_CODEC_FLAG_BITEXACT);
    const quality = { crf, ...(isVp9 && { b: 0, "cpu-used": 4 }) };
    for (const [name, value] of Object.entries(quality)) {
      check(encoder.setOption(name, value), `setting ${name}`);
    }
    check(encoder.open2Sync(codec, null), "opening the encoder");
    const stream = file.newStream(null);
    stream.timeBase = timeBase;
    stream.avgFrameRate = new av.Rational(fps, 1);
    check(stream.codecpar.fromContext(encoder), "describing the stream");
    check(await file.openOutput(), "opening the file");
    check(file.writeHeaderSync(null), "writing");

    using packet = new av.Packet();
    packet.alloc();
    const send = (frame: Frame | null) => {
      check(encoder.sendFrameSync(frame), "encoding");
      while (encoder.receivePacketSync(packet) >= 0) {
        packet.streamIndex = 0;
        packet.rescaleTs(timeBase, stream.timeBase);
        packet.duration ||= BigInt(Math.round(stream.timeBase.den / stream.timeBase.num / fps));
        check(file.interleavedWriteFrameSync(packet), "writing");
      }
    };
    using scaler = new av.SoftwareScaleContext();
    scaler.allocContext();
    scaler.setOption("sws_flags", c.SWS_BICUBIC | c.SWS_ACCURATE_RND | c.SWS_BITEXACT);
    const allocate = (format: AVPixelFormat) => {
      const frame = new av.Frame();
      frame.alloc();
      Object.assign(frame, { width, height, format });
      frame.getBuffer(32);
      return frame;
    };
    using rgb = allocate(c.AV_PIX_FMT_RGB24);
    using yuv = allocate(c.AV_PIX_FMT_YUV420P);
    for (let t = 0; t < frames; t++) {
      const { pixels } = frameOf(clip, t);
      rgb.makeWritable();
      check(
        rgb.fromBuffer(Buffer.from(pixels.buffer, pixels.byteOffset, pixels.length)),
        "reading",
      );
      yuv.makeWritable(); // the encoder may still look at the last one
      check(scaler.scaleFrameSync(yuv, rgb), "converting colours");
      yuv.pts = BigInt(t);
      send(yuv);
    }
    send(null);
    check(file.writeTrailerSync(), "writing");
    await file.closeOutput();
  };
  await writeAtomically(path.includes("/") ? path : `./${path}`, write);
}

const FORMATS: Readonly<Record<string, string>> = {
  ...{ mp4: "mp4", mkv: "matroska", mov: "mov", webm: "webm" },
};
