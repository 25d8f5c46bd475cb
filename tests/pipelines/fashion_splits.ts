import { writeIdx } from "../data/idx_file.ts";

/** Both splits, of ten images and labels each. */
export async function writeSplits(folder: string): Promise<void> {
  for (const split of ["train", "t10k"]) {
    await writeIdx(`${folder}/${split}-images-idx3-ubyte`, 10, 28);
    const labels = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 10, ...Array(10).keys()]);
    await Deno.writeFile(`${folder}/${split}-labels-idx1-ubyte`, labels);
  }
}
