/** A new folder, removed when its scope ends: `await using folder = await temporaryFolder()`. */
export async function temporaryFolder() {
  const path = await Deno.makeTempDir();
  return {
    path,
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}
