/**
 * TensorBoard's event files, so that `tensorboard --logdir runs` shows a run.
 *
 * A file is a list of TFRecords, a record is a protobuf `Event`
 * (tensorflow/core/util/event.proto and framework/summary.proto).
 *
 * @module
 */
// @ts-types="crc-32"
import crc32c from "crc-32/crc32c.js";
import { PbfWriter } from "pbf";

/** The event file of a run. What it is given waits in memory until `flush`. */
export interface EventLog {
  /** Adds numbers by name; those that are not finite are left out. */
  scalars(step: number, values: Readonly<Record<string, number | null>>): void;
  /** Adds a picture: the bytes of a PNG file. */
  image(step: number, tag: string, png: Uint8Array, width: number, height: number): void;
  /**
   * Appends what waits.
   *
   * @throws {Error} If that fails; the message names the file. What waits is kept, so that a later
   *   flush makes the file whole again.
   */
  flush(): Promise<void>;
  /** Flushes a last time. */
  close(): Promise<void>;
}

/**
 * Starts an event file; earlier ones in the folder stay.
 *
 * @param step Step that the run goes on from, 0 at its start; TensorBoard drops later ones of
 *   earlier files.
 * @param now Milliseconds since 1970.
 * @throws {Error} If the file cannot be made; the message names it.
 */
export async function openEvents(
  folder: string,
  step: number,
  now: () => number = Date.now,
): Promise<EventLog> {
  // TensorBoard reads a folder's files by name, so this one must come last, whatever the clock says.
  const last = await lastSeconds(folder);
  const seconds = Math.max(Math.floor(now() / 1000), last + 1);
  const path = `${folder}/events.out.tfevents.${
    String(seconds).padStart(10, "0")
  }.mcmae.${Deno.pid}.0`;
  const file = await naming(path, () => Deno.open(path, { createNew: true, write: true }));
  let pending: Uint8Array[] = [];
  let size = 0; // bytes that are known to be on disk
  let flushed = Promise.resolve();

  const add = (step: number, content: (event: PbfWriter) => void) => {
    pending.push(record(encode((event) => {
      event.writeDoubleField(WALL_TIME, now() / 1000);
      event.writeVarintField(STEP, step);
      content(event);
    })));
  };
  const append = async () => {
    const records = pending;
    const bytes = concatenate(records);
    await file.truncate(size); // what a failed append has left
    await file.seek(size, Deno.SeekMode.Start);
    for (let sent = 0; sent < bytes.length;) sent += await file.write(bytes.subarray(sent));
    size += bytes.length;
    pending = pending.slice(records.length);
  };
  const flush = () => flushed = flushed.catch(() => {}).then(() => naming(path, append));

  add(0, (event) => event.writeStringField(FILE_VERSION, "brain.Event:2"));
  if (step > 0 || last >= 0) {
    add(step + 1, (event) => event.writeMessage(SESSION_LOG, writeStart, undefined));
  }
  return {
    scalars(step, values) {
      const known = Object.entries(values).filter(([, value]) => Number.isFinite(value));
      if (known.length > 0) add(step, (event) => event.writeMessage(SUMMARY, writeScalars, known));
    },
    image(step, tag, png, width, height) {
      add(step, (event) => event.writeMessage(SUMMARY, writeImage, { tag, png, width, height }));
    },
    flush,
    close: () => flush().finally(() => file.close()),
  };
}

// Fields of Event, and below of what is in it, by their numbers in the .proto files.
const [WALL_TIME, STEP, FILE_VERSION, SUMMARY, SESSION_LOG] = [1, 2, 3, 5, 7];
const VALUE = 1; // of Summary
const [TAG, SIMPLE_VALUE, IMAGE] = [1, 2, 4]; // of Summary.Value
const [HEIGHT, WIDTH, COLORSPACE, ENCODED] = [1, 2, 3, 4]; // of Summary.Image
const [STATUS, START] = [1, 1]; // of SessionLog
const RGB = 3;

function writeStart(_: undefined, log: PbfWriter): void {
  log.writeVarintField(STATUS, START);
}

function writeScalars(values: [string, number | null][], summary: PbfWriter): void {
  for (const value of values) summary.writeMessage(VALUE, writeScalar, value);
}

function writeScalar([tag, number]: [string, number | null], value: PbfWriter): void {
  value.writeStringField(TAG, tag);
  value.writeFloatField(SIMPLE_VALUE, number!);
}

interface Picture {
  readonly tag: string;
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
}

function writeImage(picture: Picture, summary: PbfWriter): void {
  summary.writeMessage(VALUE, ({ tag, ...image }, value) => {
    value.writeStringField(TAG, tag);
    value.writeMessage(IMAGE, ({ png, width, height }, message) => {
      message.writeVarintField(HEIGHT, height);
      message.writeVarintField(WIDTH, width);
      message.writeVarintField(COLORSPACE, RGB);
      message.writeBytesField(ENCODED, png);
    }, image);
  }, picture);
}

function encode(write: (message: PbfWriter) => void): Uint8Array {
  const message = new PbfWriter(new Uint8Array(256));
  write(message);
  return message.finish();
}

/** Frames data as TensorFlow's record_writer.h does: length, its CRC, data, their CRC. */
function record(data: Uint8Array): Uint8Array {
  const framed = new Uint8Array(12 + data.length + 4);
  const view = new DataView(framed.buffer);
  view.setUint32(0, data.length, true); // the low half of 64 bits; the high half stays 0
  view.setUint32(8, maskedCrc(framed.subarray(0, 8)), true);
  framed.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return framed;
}

/** CRC32C, rotated and shifted so that a CRC of data with CRCs in it stays a good one. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c.buf(bytes) >>> 0;
  return ((crc >>> 15 | crc << 17) + 0xa282ead8) >>> 0;
}

function concatenate(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Time in the name of the folder's last event file; -1 if there is none. */
async function lastSeconds(folder: string): Promise<number> {
  let last = -1;
  await naming(folder, async () => {
    for await (const { name } of Deno.readDir(folder)) {
      const seconds = /^events\.out\.tfevents\.(\d{10})\./.exec(name)?.[1];
      last = Math.max(last, Number(seconds ?? -1));
    }
  });
  return last;
}

async function naming<Result>(path: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (cause) {
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}
