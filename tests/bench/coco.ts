/**
 * How long COCO's figures take, and how much memory, for as many images as COCO's validation has.
 *
 *     deno run -A tests/bench/coco.ts DIR     writes the files alone, for tests/interop/coco_peer.py
 *
 * @module
 */
import { rasterise } from "../../data/coco/polygon.ts";
import { areaOf, boxOf } from "../../data/coco/run_lengths.ts";
import { runString } from "../../data/coco/run_string.ts";
import { fold, key, uniform } from "../../src/random.ts";
import { type Line, median } from "./measure.ts";

const [HEIGHT, WIDTH] = [480, 640];
const SCOPE = { images: 5000, categories: 80, truths: 7, detections: 100 };
const RUNS = 3;

/** Boxes alone, and boxes and masks, each with the reading of its files and in its own process. */
export async function* coco(): AsyncGenerator<Line> {
  const folder = await Deno.makeTempDir();
  try {
    writeCocoFiles(folder);
    for (const kind of ["boxes", "boxes-and-masks"]) {
      const runs: { readonly ms: number; readonly peak_mb: number }[] = [];
      for (let i = 0; i < RUNS; i++) runs.push(await evaluate(folder, kind));
      yield {
        ...{ case: `coco-${kind}`, ms: median(runs.map(({ ms }) => ms)) },
        peak_mb: median(runs.map(({ peak_mb }) => peak_mb)),
      };
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function evaluate(folder: string, kind: string) {
  const script = new URL("coco_process.ts", import.meta.url).pathname;
  const files = [`${folder}/annotations.json`, `${folder}/${kind}.json`];
  const start = performance.now();
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-check", "-A", script, ...files],
    ...{ stdout: "null", stderr: "piped" },
  }).output();
  const ms = performance.now() - start;
  const said = new TextDecoder().decode(stderr).trim();
  if (!success) throw new Error(said);
  return { ms, peak_mb: JSON.parse(said).peakBytes / 1e6 };
}

/**
 * Writes `annotations.json`, `boxes.json` and `boxes-and-masks.json`: polygons as annotated; of the
 * detections of an image most are near one of them, the others anywhere.
 */
export function writeCocoFiles(folder: string, scope: Partial<typeof SCOPE> = {}): void {
  const { images: N, categories: K, truths, detections } = { ...SCOPE, ...scope };
  const annotations = new Lines(`${folder}/annotations.json`);
  const boxes = new Lines(`${folder}/boxes.json`);
  const masks = new Lines(`${folder}/boxes-and-masks.json`);
  const images = Array.from(
    { length: N },
    (_, i) => ({ id: i + 1, width: WIDTH, height: HEIGHT, file_name: `${i + 1}.jpg` }),
  );
  const categories = Array.from({ length: K }, (_, k) => ({ id: k + 1, name: `class ${k + 1}` }));
  const head = JSON.stringify({ images, categories });
  annotations.write(`${head.slice(0, -1)},"annotations":[`);
  for (const lines of [boxes, masks]) lines.write("[");
  let id = 0;
  for (const { id: image_id } of images) {
    const draws = uniform(fold(key(0), image_id), 64 * (truths + detections));
    let next = 0;
    const draw = () => draws[next++];
    const shown = Array.from({ length: truths }, () => thingOf(draw, K));
    for (const { category_id, polygon } of shown) {
      const { counts, box, area } = maskOf(polygon);
      const iscrowd = draw() < 0.01 ? 1 : 0;
      const segmentation = iscrowd ? { size: [HEIGHT, WIDTH], counts: [...counts] } : [polygon];
      const fields = { image_id, category_id, iscrowd, area, bbox: box, segmentation };
      annotations.record({ id: ++id, ...fields });
    }
    for (let d = 0; d < detections; d++) {
      const near = draw() < 0.6 ? shown[Math.floor(draw() * truths)] : undefined;
      const { category_id, polygon } = near ? moved(near, draw) : thingOf(draw, K);
      const { counts, box } = maskOf(polygon);
      const score = Math.round(1000 * draw()) / 1000; // with ties
      const found = { image_id, category_id, bbox: box.map((side) => side + 0.25), score };
      boxes.record(found);
      masks.record({
        ...found,
        segmentation: { size: [HEIGHT, WIDTH], counts: runString(counts) },
      });
    }
  }
  annotations.end("]}");
  for (const lines of [boxes, masks]) lines.end("]");
}

interface Drawn {
  readonly category_id: number;
  readonly polygon: readonly number[];
}

/** A rough disc. */
function thingOf(draw: () => number, categories: number): Drawn {
  const [x, y, radius] = [WIDTH * draw(), HEIGHT * draw(), 4 + 120 * draw() ** 3];
  const category_id = 1 + Math.floor(categories * draw());
  const polygon = Array.from({ length: 16 }, (_, i) => {
    const [angle, r] = [Math.PI * i / 8, radius * (0.7 + 0.6 * draw())];
    return [x + r * Math.cos(angle), y + r * Math.sin(angle)];
  }).flat();
  return { category_id, polygon: polygon.map((value, i) => clip(value, i % 2 ? HEIGHT : WIDTH)) };
}

/** The same elsewhere, a little. */
function moved({ category_id, polygon }: Drawn, draw: () => number): Drawn {
  const [x, y] = [12 * (draw() - 0.5), 12 * (draw() - 0.5)];
  const points = polygon.map((value, i) =>
    i % 2 ? clip(value + y, HEIGHT) : clip(value + x, WIDTH)
  );
  return { category_id, polygon: points };
}

function clip(value: number, side: number): number {
  return Math.round(100 * Math.max(0, Math.min(side, value))) / 100;
}

function maskOf(polygon: readonly number[]) {
  const counts = rasterise(polygon, HEIGHT, WIDTH);
  return { counts, area: areaOf(counts), box: boxOf(counts, HEIGHT) };
}

/** A file that is written piece by piece. */
class Lines {
  readonly #file: Deno.FsFile;
  #text = "";
  #separator = "";

  constructor(path: string) {
    this.#file = Deno.openSync(path, { write: true, create: true, truncate: true });
  }

  record(value: unknown): void {
    this.write(this.#separator + JSON.stringify(value));
    this.#separator = ",";
  }

  write(text: string): void {
    this.#text += text;
    if (this.#text.length > 1 << 20) this.#flush();
  }

  end(text: string): void {
    this.write(text);
    this.#flush();
    this.#file.close();
  }

  #flush(): void {
    const bytes = new TextEncoder().encode(this.#text);
    for (let at = 0; at < bytes.length;) at += this.#file.writeSync(bytes.subarray(at));
    this.#text = "";
  }
}

if (import.meta.main) writeCocoFiles(Deno.args[0]);
