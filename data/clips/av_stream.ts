/**
 * A video stream by npm:node-av, and its frames as RGB.
 *
 * Its calls that need not wait are used throughout, since a worker does one thing at a time. Two
 * traps of version 6.1: frames that are written to need `getBuffer(32)`, and a Dictionary given to
 * `open2Sync` is freed twice.
 */

import type { CodecContext, FormatContext, Frame, Packet, SoftwareScaleContext } from "node-av/lib";
import type { Size } from "../augment.ts";
import { DataError } from "../dataset.ts";
import type { NodeAv } from "./node_av.ts";
import type { Packets } from "./packets.ts";

/** The first video stream of a file. */
export class Stream implements Disposable {
  readonly width: number;
  readonly height: number;
  readonly fps?: number;
  readonly #av: NodeAv;
  readonly #path: string;
  readonly #file: FormatContext;
  readonly #stream: FormatContext["streams"][number];
  readonly #packet: Packet;

  constructor(av: NodeAv, path: string) {
    const { AVMEDIA_TYPE_VIDEO, AVDISCARD_ALL, AV_DISPOSITION_ATTACHED_PIC } = av.constants;
    this.#av = av;
    this.#path = path;
    this.#file = new av.FormatContext();
    this.#packet = new av.Packet();
    this.#packet.alloc();
    // The protocol's name, so that no part of a path is taken for one.
    if (
      this.#file.openInputSync(`file:${path}`, null, null) < 0 ||
      this.#file.findStreamInfoSync(null) < 0
    ) {
      this[Symbol.dispose]();
      throw new DataError(`Cannot decode ${path}: it is no video, or damaged`);
    }
    const { streams } = this.#file;
    const found = streams.find((stream) =>
      stream.codecpar.codecType === AVMEDIA_TYPE_VIDEO &&
      !stream.hasDisposition(AV_DISPOSITION_ATTACHED_PIC)
    );
    if (!found) {
      this[Symbol.dispose]();
      throw new DataError(
        `Cannot decode ${path}: it holds no video${streams[0] ? ", only sound" : ""}`,
      );
    }
    for (const stream of streams) if (stream.index !== found.index) stream.discard = AVDISCARD_ALL;
    this.#stream = found;
    const { width, height } = found.codecpar;
    const { num, den } = found.avgFrameRate;
    this.width = width;
    this.height = height;
    if (num > 0 && den > 0) this.fps = num / den;
  }

  [Symbol.dispose](): void {
    this.#packet.free();
    this.#file.closeInputSync();
  }

  damaged(frame: number): DataError {
    return new DataError(
      `Cannot decode ${this.#path}: it is truncated or damaged at frame ${frame}`,
    );
  }

  /** Reads what all packets say, without decoding. */
  packets(): Packets {
    const { AV_PKT_FLAG_KEY, AV_PKT_FLAG_DISCARD, AV_NOPTS_VALUE } = this.#av.constants;
    const [pts, isKey, isShown]: [number[], boolean[], boolean[]] = [[], [], []];
    for (const packet of this.#read()) {
      const { flags, pts: time } = packet;
      pts.push(time === AV_NOPTS_VALUE ? NaN : Number(time));
      isKey.push((flags & AV_PKT_FLAG_KEY) !== 0);
      isShown.push((flags & AV_PKT_FLAG_DISCARD) === 0);
    }
    const codec = this.#av.avGetCodecName(this.#stream.codecpar.codecId) ?? "";
    return { codec, pts, isKey, isShown };
  }

  /** Decodes packets `start` to before `end`; a frame is valid until the next one. */
  *frames(start: number, end: number): Generator<Frame> {
    using decoder = this.#decoder();
    using frame = new this.#av.Frame();
    frame.alloc();
    let shown = 0;
    let number = 0;
    for (const packet of this.#read()) {
      if (number >= end) break;
      if (number++ < start) continue;
      if (decoder.sendPacketSync(packet) < 0) throw this.damaged(shown);
      for (const decoded of this.#received(decoder, frame, shown)) {
        yield decoded;
        shown++;
      }
    }
    decoder.sendPacketSync(null);
    for (const decoded of this.#received(decoder, frame, shown)) {
      yield decoded;
      shown++;
    }
  }

  *#received(decoder: CodecContext, frame: Frame, shown: number): Generator<Frame> {
    const { AVERROR_EOF, AVERROR_EAGAIN, AV_FRAME_FLAG_CORRUPT } = this.#av.constants;
    for (;;) {
      const code = decoder.receiveFrameSync(frame);
      if (code === AVERROR_EAGAIN || code === AVERROR_EOF) return;
      if (code < 0 || frame.decodeErrorFlags || (frame.flags & AV_FRAME_FLAG_CORRUPT)) {
        throw this.damaged(shown);
      }
      yield frame;
      frame.unref();
    }
  }

  *#read(): Generator<Packet> {
    const { AVERROR_EOF, AV_PKT_FLAG_CORRUPT } = this.#av.constants;
    for (let number = 0;;) {
      const code = this.#file.readFrameSync(this.#packet);
      if (code === AVERROR_EOF) return;
      if (code < 0) throw this.damaged(number);
      if (this.#packet.streamIndex === this.#stream.index) {
        if (this.#packet.flags & AV_PKT_FLAG_CORRUPT) throw this.damaged(number);
        yield this.#packet;
        number++;
      }
      this.#packet.unref();
    }
  }

  #decoder(): CodecContext {
    const { codecpar, timeBase } = this.#stream;
    const codec = this.#av.Codec.findDecoder(codecpar.codecId);
    const decoder = new this.#av.CodecContext();
    decoder.allocContext3(codec);
    decoder.parametersToContext(codecpar);
    decoder.pktTimebase = timeBase;
    decoder.threadCount = 1; // a worker is one core's work
    if (!codec || decoder.open2Sync(codec, null) < 0) {
      decoder.freeContext();
      const name = this.#av.avGetCodecName(codecpar.codecId);
      throw new DataError(`Cannot decode ${this.#path}: there is no decoder for codec ${name}`);
    }
    return decoder;
  }
}

/** Frames to RGB of one size, as FFmpeg's scale filter does with the options of ffmpeg.ts. */
export class Scaler implements Disposable {
  readonly #context: SoftwareScaleContext;
  readonly #rgb: Frame;
  readonly #constants: NodeAv["constants"];

  constructor(av: NodeAv, { width, height }: Size) {
    this.#context = new av.SoftwareScaleContext();
    this.#context.allocContext();
    this.#context.setOption("sws_flags", av.constants.SWS_BICUBIC);
    this.#constants = av.constants;
    const rgb = new av.Frame();
    rgb.alloc();
    rgb.width = width;
    rgb.height = height;
    rgb.format = av.constants.AV_PIX_FMT_RGB24;
    rgb.colorSpace = av.constants.AVCOL_SPC_RGB;
    rgb.colorRange = av.constants.AVCOL_RANGE_JPEG;
    rgb.getBuffer(32); // the scaler writes whole vectors, also past a row's end
    this.#rgb = rgb;
  }

  [Symbol.dispose](): void {
    this.#rgb.free();
    this.#context.freeContext();
  }

  pixelsOf(frame: Frame): Uint8Array {
    const { AV_FRAME_FLAG_INTERLACED, AVCHROMA_LOC_UNSPECIFIED } = this.#constants;
    frame.clearFlags(AV_FRAME_FLAG_INTERLACED); // the two fields stay one picture
    frame.chromaLocation = AVCHROMA_LOC_UNSPECIFIED; // centred
    if (this.#context.scaleFrameSync(this.#rgb, frame) < 0) {
      throw new DataError(`Cannot convert a frame of ${frame.width} × ${frame.height} to RGB`);
    }
    return this.#rgb.toBuffer();
  }
}
