/**
 * Encodes an uncompressed little-endian TIFF, independently of the decoder under test.
 *
 * @param photometric 1 for grey, 2 for RGB, before further bands.
 * @param samples In row order, `[height, width, bands]`.
 */
export function encodeTiff(
  { width, height, bands, bits, photometric, samples }: {
    width: number;
    height: number;
    bands: number;
    bits: 8 | 16;
    photometric: 1 | 2;
    samples: readonly number[];
  },
): Uint8Array<ArrayBuffer> {
  const [SHORT, LONG] = [3, 4];
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
  const short = (value: number) => [value & 255, value >> 8 & 255];
  const long = (value: number) => [...short(value), ...short(value >>> 16)];
  const encode = (type: number, values: number[]) => values.flatMap(type === SHORT ? short : long);
  const tail = 8 + 2 + 12 * entries.length + 4; // values that do not fit into an entry
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
  return Uint8Array.from([
    ...[0x49, 0x49, 42, 0, 8, 0, 0, 0],
    ...[...short(entries.length), ...directory, ...long(0), ...values],
    ...(bits === 8 ? samples : samples.flatMap(short)),
  ]);
}
