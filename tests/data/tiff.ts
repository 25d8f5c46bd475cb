/** A page of a TIFF. */
export interface Page {
  readonly width: number;
  readonly height: number;
  readonly bands: number;
  readonly bits: 8 | 16;
  /** 1 for grey, 2 for RGB, before further bands. */
  readonly photometric: 1 | 2;
  /** In row order, `[height, width, bands]`. */
  readonly samples: readonly number[];
}

const [SHORT, LONG] = [3, 4];
const short = (value: number) => [value & 255, value >> 8 & 255];
const long = (value: number) => [...short(value), ...short(value >>> 16)];

/** Encodes an uncompressed little-endian TIFF, independently of the decoder under test. */
export function encodeTiff(...pages: Page[]): Uint8Array<ArrayBuffer> {
  const bytes = [0x49, 0x49, 42, 0, 8, 0, 0, 0];
  pages.forEach((page, i) => {
    bytes.push(...encodePage(page, bytes.length, i === pages.length - 1));
  });
  return Uint8Array.from(bytes);
}

/** A directory and what it points at, `start` bytes into the file. */
function encodePage(
  { width, height, bands, bits, photometric, samples }: Page,
  start: number,
  last: boolean,
): number[] {
  const extra = bands - (photometric === 2 ? 3 : 1);
  const entries: [tag: number, type: number, values: number[]][] = [
    [256, SHORT, [width]],
    [257, SHORT, [height]],
    [258, SHORT, Array(bands).fill(bits)],
    [259, SHORT, [1]], // uncompressed
    [262, SHORT, [photometric]],
    [273, LONG, [0]], // where the pixels begin, known below
    [277, SHORT, [bands]],
    [278, SHORT, [height]],
    [279, LONG, [samples.length * bits / 8]],
    [284, SHORT, [1]], // bands of a pixel together
    ...(extra > 0 ? [[338, SHORT, Array(extra).fill(0)] as [number, number, number[]]] : []),
  ];
  const encode = (type: number, values: number[]) => values.flatMap(type === SHORT ? short : long);
  const tail = start + 2 + 12 * entries.length + 4; // values that do not fit into an entry
  const pixels = tail + entries.map(([, type, values]) => encode(type, values).length)
    .filter((length) => length > 4).reduce((sum, length) => sum + length, 0);
  const directory: number[] = [];
  const values: number[] = [];
  for (const [tag, type, list] of entries) {
    const bytes = encode(type, tag === 273 ? [pixels] : list);
    directory.push(...short(tag), ...short(type), ...long(list.length));
    if (bytes.length <= 4) directory.push(...bytes, ...Array(4 - bytes.length).fill(0));
    else {
      directory.push(...long(tail + values.length));
      values.push(...bytes);
    }
  }
  const next = last ? 0 : pixels + samples.length * bits / 8;
  return [
    ...[...short(entries.length), ...directory, ...long(next), ...values],
    ...(bits === 8 ? samples : samples.flatMap(short)),
  ];
}
