/** Writes n grey images of side × side pixels as an IDX file; all pixels of image i are i. */
export async function writeIdx(path: string, n: number, side: number): Promise<void> {
  const header = [0, 0, 8, 3, 0, 0, 0, n, 0, 0, 0, side, 0, 0, 0, side];
  const area = side * side;
  const pixels = Array.from({ length: n * area }, (_, i) => Math.floor(i / area));
  await Deno.writeFile(path, Uint8Array.from([...header, ...pixels]));
}
