// The project's worker, but some names of files end it: `exit…`, `throw…`; `once…` in them the
// first time only.

const readFile = Deno.readFile;

Deno.readFile = async (path) => {
  const name = String(path).split("/").at(-1)!;
  const seen = `${path}.seen`;
  const crashes = !name.includes("once") || !await Deno.stat(seen).then(() => true, () => false);
  if (name.includes("once")) await Deno.writeTextFile(seen, "");
  if (crashes && name.startsWith("exit")) Deno.exit(7);
  if (crashes && name.startsWith("throw")) {
    queueMicrotask(() => { // uncaught, as of a decoder's own thread
      throw new TypeError("boom");
    });
    await new Promise(() => {});
  }
  return await readFile(path);
};

await import("../../data/worker.ts");
