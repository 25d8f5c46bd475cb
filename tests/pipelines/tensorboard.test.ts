import assert from "node:assert/strict";
import sharp from "sharp";
import { openEvents } from "../../pipelines/tensorboard.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";

// A reader of its own, from the formats' descriptions: nothing here is shared with the writer.

/** CRC32C, a bit at a time: RFC 3720, polynomial 0x1EDC6F41, reflected. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return ~crc >>> 0;
}

/** TensorFlow's mask: rotated right by 15 bits, plus a constant. */
function masked(crc: number): number {
  return (((crc >>> 15) | (crc << 17) >>> 0) + 0xa282ead8) % 2 ** 32;
}

/** Splits a file into records and checks both sums of each. */
function recordsOf(file: Uint8Array): Uint8Array[] {
  const records: Uint8Array[] = [];
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  for (let at = 0; at < file.length;) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(view.getUint32(at + 8, true), masked(crc32c(file.subarray(at, at + 8))));
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(data.length, length, "the file ends within a record");
    assert.equal(view.getUint32(at + 12 + length, true), masked(crc32c(data)));
    records.push(data);
    at += 12 + length + 4;
  }
  return records;
}

type Message = Map<number, (number | Uint8Array)[]>;

/** Reads a protobuf message: every field by its number, in order. */
function parse(bytes: Uint8Array): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const message: Message = new Map();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return Number(value);
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    let value: number | Uint8Array;
    if (tag % 8 === 0) value = varint();
    else if (tag % 8 === 1) value = view.getFloat64((at += 8) - 8, true);
    else if (tag % 8 === 5) value = view.getFloat32((at += 4) - 4, true);
    else {
      assert.equal(tag % 8, 2);
      const length = varint();
      value = bytes.subarray(at, at += length);
    }
    message.set(field, [...message.get(field) ?? [], value]);
  }
  return message;
}

const textOf = (value: unknown) => new TextDecoder().decode(value as Uint8Array);
const child = (message: Message, field: number) => parse(message.get(field)![0] as Uint8Array);

interface Event {
  readonly time: number;
  readonly step: number;
  readonly version?: string;
  readonly scalars?: Record<string, number>;
  readonly images?: Record<string, Message>;
  readonly session?: number;
}

function eventOf(record: Uint8Array): Event {
  const event = parse(record);
  const values = (event.has(5) ? child(event, 5).get(1)! : []).map((v) => parse(v as Uint8Array));
  const byTag = <T>(field: number, read: (value: Message) => T) =>
    Object.fromEntries(
      values.filter((v) => v.has(field)).map((v) => [textOf(v.get(1)![0]), read(v)]),
    );
  return {
    time: event.get(1)![0] as number,
    step: event.get(2)?.[0] as number ?? 0,
    ...(event.has(3) && { version: textOf(event.get(3)![0]) }),
    ...(event.has(5) && {
      scalars: byTag(2, (value) => value.get(2)![0] as number),
      images: byTag(4, (value) => child(value, 4)),
    }),
    ...(event.has(7) && { session: child(event, 7).get(1)![0] as number }),
  };
}

async function filesOf(folder: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(folder)) names.push(name);
  return names.sort();
}

async function eventsOf(folder: string, file = 0): Promise<Event[]> {
  const name = (await filesOf(folder))[file];
  return recordsOf(await Deno.readFile(`${folder}/${name}`)).map(eventOf);
}

Deno.test("the test's CRC32C gives the sums of RFC 3720, B.4", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  assert.equal(crc32c(Uint8Array.from({ length: 32 }, (_, i) => i)), 0x46dd794e);
});

Deno.test("openEvents() writes every scalar of every step, and the version first", async () => {
  await using folder = await temporaryFolder();
  const log = await openEvents(folder.path, 0, () => 1_800_000_000_250);
  const steps = [1, 2, 300, 20_000, 5_000_000_000];
  for (const step of steps) log.scalars(step, { loss: 1 / step, "größe/lr": 1e-30 * step });
  await log.close();
  assert.match(
    (await filesOf(folder.path)).join(),
    /^events\.out\.tfevents\.1800000000\.mcmae\.\d+\.0$/,
  );
  const [first, ...rest] = await eventsOf(folder.path);
  assert.deepEqual(first, { time: 1_800_000_000.25, step: 0, version: "brain.Event:2" });
  assert.deepEqual(
    rest,
    steps.map((step) => ({
      time: 1_800_000_000.25,
      step,
      scalars: { loss: Math.fround(1 / step), "größe/lr": Math.fround(1e-30 * step) },
      images: {},
    })),
  );
});

Deno.test("scalars() leaves out numbers that are not finite", async () => {
  await using folder = await temporaryFolder();
  const log = await openEvents(folder.path, 0);
  log.scalars(1, { loss: NaN, grad_norm: null, images_per_s: 3 });
  log.scalars(2, { loss: NaN, grad_norm: Infinity });
  await log.close();
  const events = await eventsOf(folder.path);
  assert.deepEqual(events.slice(1).map(({ step, scalars }) => ({ step, scalars })), [
    { step: 1, scalars: { images_per_s: 3 } },
  ]);
});

Deno.test("image() keeps a PNG that decodes to its size", async () => {
  await using folder = await temporaryFolder();
  const background = { r: 200, g: 30, b: 90 };
  const png = await sharp({ create: { width: 37, height: 11, channels: 3, background } }).png()
    .toBuffer();
  const log = await openEvents(folder.path, 0);
  log.image(48, "reconstruction", png, 37, 11);
  await log.close();
  const [, { step, images }] = await eventsOf(folder.path);
  const image = images!.reconstruction;
  assert.deepEqual([step, image.get(1), image.get(2), image.get(3)], [48, [11], [37], [3]]);
  const { data, info } = await sharp(image.get(4)![0] as Uint8Array).raw()
    .toBuffer({ resolveWithObject: true });
  assert.deepEqual([info.width, info.height, ...data.subarray(0, 3)], [37, 11, 200, 30, 90]);
});

Deno.test("openEvents() makes TensorBoard drop the steps that a resumed run repeats", async () => {
  await using folder = await temporaryFolder();
  const now = () => 1_800_000_000_000;
  await (await openEvents(folder.path, 0, now)).close();
  await (await openEvents(folder.path, 96, now)).close();
  await (await openEvents(folder.path, 0, now)).close(); // rewound to its start
  const names = await filesOf(folder.path);
  assert.deepEqual(names.map((name) => name.split(".")[3]), [
    "1800000000",
    "1800000001",
    "1800000002",
  ]);
  const sessions = await Promise.all(
    [0, 1, 2].map(async (file) =>
      (await eventsOf(folder.path, file)).slice(1).map(({ step, session }) => [step, session])
    ),
  );
  assert.deepEqual(sessions, [[], [[97, 1]], [[1, 1]]]);
});

Deno.test("flush() appends, and what comes during a flush waits for the next", async () => {
  await using folder = await temporaryFolder();
  const log = await openEvents(folder.path, 0);
  const stepsNow = async () => (await eventsOf(folder.path)).slice(1).map(({ step }) => step);
  log.scalars(1, { loss: 1 });
  assert.deepEqual(await stepsNow(), []);
  const both = [log.flush(), log.flush()];
  log.scalars(2, { loss: 2 });
  await Promise.all(both);
  log.scalars(3, { loss: 3 });
  await log.close();
  assert.deepEqual(await stepsNow(), [1, 2, 3]);
});

Deno.test("flush() that fails half-way names the file, and a later one makes it whole", async () => {
  await using folder = await temporaryFolder();
  const log = await openEvents(folder.path, 0);
  log.scalars(1, { loss: 1 });
  await log.flush();
  log.scalars(2, { loss: 2 });
  log.scalars(3, { loss: 3 });
  const { write } = Deno.FsFile.prototype;
  let calls = 0;
  Deno.FsFile.prototype.write = function (bytes) {
    if (calls++ === 0) return write.call(this, bytes.subarray(0, 20)); // a torn record …
    return Promise.reject(new Error("No space left on device (os error 28)"));
  };
  try {
    const [name] = await filesOf(folder.path);
    await assert.rejects(log.flush(), {
      message: `Cannot write ${folder.path}/${name}: No space left on device (os error 28)`,
    });
  } finally {
    Deno.FsFile.prototype.write = write;
  }
  await assert.rejects(eventsOf(folder.path)); // … which is there until the next flush
  log.scalars(4, { loss: 4 });
  await log.close();
  const events = await eventsOf(folder.path);
  assert.deepEqual(events.slice(1).map(({ step }) => step), [1, 2, 3, 4]);
});

Deno.test("openEvents() names a folder that it cannot write to", async () => {
  await assert.rejects(openEvents("/nowhere/run", 0), {
    message: /^Cannot write \/nowhere\/run: /,
  });
});

Deno.test("scalars() takes less than 50 µs a step", async () => {
  await using folder = await temporaryFolder();
  const log = await openEvents(folder.path, 0);
  const values = { loss: 1.1, lr: 1e-3, grad_norm: 2, images_per_s: 40, data_wait: 0.01, epoch: 1 };
  const timeOf = (steps: number) => {
    const start = performance.now();
    for (let step = 1; step <= steps; step++) log.scalars(step, values);
    return (performance.now() - start) * 1000 / steps; // µs
  };
  timeOf(2000); // compiled by now
  const times = Array.from({ length: 5 }, () => timeOf(1000));
  await log.close();
  assert.ok(Math.min(...times) < 50, `${times}`);
});
