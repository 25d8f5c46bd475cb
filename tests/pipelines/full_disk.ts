/**
 * Lets the disk be full for the files that `is` names, until the scope ends: half of a write's bytes
 * go through, then it fails.
 */
export function fullDisk(is: (path: string) => boolean) {
  const open = Deno.open;
  Deno.open = async (path, options) => {
    const file = await open(path, options);
    if (!is(String(path))) return file;
    const write = file.write.bind(file);
    let calls = 0;
    file.write = async (bytes) => {
      if (calls++ > 0) throw new Error("No space left on device (os error 28)");
      return await write(bytes.subarray(0, bytes.length >> 1));
    };
    return file;
  };
  return { [Symbol.dispose]: () => void (Deno.open = open) };
}
