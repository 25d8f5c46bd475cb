/** A file to put into a tar file. */
export interface TarFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Encodes a tar file, independently of the reader under test.
 *
 * @param long How names above 100 bytes are written.
 */
export function encodeTar(
  files: readonly TarFile[],
  long: "pax" | "gnu" = "pax",
): Uint8Array<ArrayBuffer> {
  const blocks = files.flatMap(({ name, bytes }) => {
    const encoded = new TextEncoder().encode(name);
    const own = member(name, "0", bytes);
    if (encoded.length <= 100) return own;
    if (long === "gnu") {
      return [...member("././@LongLink", "L", Uint8Array.from([...encoded, 0])), ...own];
    }
    const length = encoded.length + " path=\n".length;
    const digits = String(length + String(length).length + 1).length;
    const record = `${length + digits} path=${name}\n`;
    return [...member("PaxHeaders/x", "x", new TextEncoder().encode(record)), ...own];
  });
  const parts = [...blocks, new Uint8Array(1024)];
  const tar = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    tar.set(part, at);
    at += part.length;
  }
  return tar;
}

/** Header and padded content of one member. */
export function member(name: string, type: string, bytes: Uint8Array): Uint8Array[] {
  const header = new Uint8Array(512);
  const write = (text: string, at: number) => header.set(new TextEncoder().encode(text), at);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  write(new TextDecoder().decode(new TextEncoder().encode(name).subarray(0, 100)), 0);
  write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0${octal(bytes.length, 11)}\0`, 100);
  write(`${octal(0, 11)}\0        ${type}`, 136);
  write("ustar\x0000", 257);
  write(`${octal(header.reduce((sum, byte) => sum + byte, 0), 6)}\0 `, 148);
  const content = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
  content.set(bytes);
  return [header, content];
}
