import assert from "node:assert/strict";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { Saved, writeTorch } from "./torch_writer.ts";

const MB = 1e6;

/** What `load_weights.ts` says of a file. */
async function load(path: string): Promise<{ peakBytes: number; tensorBytes: number }> {
  const script = new URL("./load_weights.ts", import.meta.url).pathname;
  const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "--allow-all", script, path], // all, for /proc
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

Deno.test({
  name: "openWeights() loads 400 MB of PyTorch's with at most 150 MB beside the values",
  ignore: Deno.build.os !== "linux", // whose /proc tells the peak
  async fn() {
    await using folder = await temporaryFolder();
    const checkpoint = (tensors: number, width: number) => {
      const weight = () =>
        new Saved([width, 4 * width], () => new Float32Array(4 * width ** 2).fill(1));
      const model = Array.from({ length: tensors }, (_, i) => [`blocks.${i}.weight`, weight()]);
      writeTorch(`${folder.path}/a.pth`, { model: Object.fromEntries(model), epoch: 3 });
      return load(`${folder.path}/a.pth`);
    };
    const empty = await checkpoint(1, 1);
    const { peakBytes, tensorBytes } = await checkpoint(24, 1024); // 24 × 16.8 MB
    assert.equal(tensorBytes, 24 * 4 * 4 * 1024 ** 2);
    const beside = peakBytes - tensorBytes - empty.peakBytes;
    assert.ok(beside <= 150 * MB, `${Math.round(beside / MB)} MB beside the values`);
  },
});
