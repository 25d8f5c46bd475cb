/** Folders of runs that never were, with every file that a run may leave. */
import sharp from "sharp";
import { quickstart } from "../../pipelines/recipes/quickstart.ts";

/** What differs from one made-up run to another. */
export interface Story {
  readonly steps?: number;
  /** Steps that the run was to do. */
  readonly planned?: number;
  /** Height of the loss. */
  readonly level?: number;
  readonly recipe?: object;
  readonly details?: object;
  /** More columns of the metrics. */
  readonly more?: (step: number) => object;
  readonly faults?: readonly object[];
  readonly bad?: string;
  /** Side of an image, and how many there are in a panel. */
  readonly side?: number;
  readonly images?: number;
}

/** Evenly spread over 0–1, the same in every run. */
function noise(seed: number): number {
  const x = Math.sin(seed * 12.9898) * 43758.5453;
  return x - Math.floor(x);
}

/** A run whose loss grows beyond all bounds, until it ends at step 61. */
export const DIVERGING: Story = {
  steps: 60,
  more: (step) => ({
    loss: step > 57 ? null : 0.5 * 10 ** (Math.max(0, step - 20) / 1.9),
    grad_norm: 10 ** (step / 3),
    score: 71_986_697_528_168_940_000 * step,
    quite_a_long_name_for_a_metric: -123_456.789 * step,
    ...(step % 20 === 0 && { val_loss: step > 40 ? 7.198669e19 : 0.6 }),
  }),
  faults: [{ step: 61, stage: "encode", op: "mul", shape: [16, 25, 128], policy: "stop" }],
  details: {
    ended: { how: "failed", reason: "Loss or gradient is not finite at step 61", step: 60 },
  },
};

/** Writes the folder of a run. */
export async function writeRun(folder: string, story: Story = {}): Promise<void> {
  const { steps = 288, planned = 288, level = 1 } = story;
  await Deno.mkdir(folder, { recursive: true });
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
  const recipe = { ...quickstart, batch: { micro: 8, effective: 16 }, ...story.recipe };
  await write("recipe.json", JSON.stringify(recipe));
  await write("metrics.jsonl", metrics(steps, planned, level, story.more));
  await write("run.json", JSON.stringify({ ...details(planned), ...story.details }));
  await write(
    "faults.jsonl",
    (story.faults ?? FAULTS).map((fault) => `${JSON.stringify(fault)}\n`).join(""),
  );
  await write("bad_files.txt", story.bad ?? "photos/torn.jpg\tit ends in the middle\n");
  await writePanels(`${folder}/panels`, steps, story.side ?? 80, story.images ?? 6);
}

function metrics(steps: number, planned: number, level: number, more?: Story["more"]): string {
  return Array.from({ length: steps }, (_, i) => {
    const step = i + 1;
    const left = step / planned;
    const loss = level * (0.42 + 0.75 * Math.exp(-5 * left) + 0.06 * (noise(step) - 0.5));
    const isFault = step === 100;
    return JSON.stringify({
      step,
      epoch: step / 8,
      loss: isFault ? null : Number(loss.toPrecision(5)),
      lr: 1.5e-3 * Math.min(step / (0.08 * planned), 0.5 + 0.5 * Math.cos(Math.PI * left)),
      grad_norm: isFault ? null : (0.3 + 3 * Math.exp(-8 * left)) * (0.7 + 0.6 * noise(step + 0.5)),
      images_per_s: 41 + 3 * noise(step + 0.25) - (step % 48 === 1 ? 15 : 0),
      data_wait: 0.01 + 0.02 * noise(step + 0.75) ** 4,
      ...(step % 48 === 0 && { val_loss: level * (0.45 + 0.8 * Math.exp(-5 * left)) }),
      ...more?.(step),
    }) + "\n";
  }).join("");
}

const FAULTS = [
  { step: 100, stage: "encode", op: "mul", shape: [16, 25, 128], policy: "skip" },
  { step: 150, policy: "rewind", back_to: 96 },
];

const STAGES = ["decode data", "mask", "encode", "decode", "loss", "optimizer"];

function details(planned: number) {
  const stages = [...STAGES.slice(2), ...STAGES.slice(2, 5).map((stage) => `${stage} backward`)];
  return {
    command: "pretrain",
    adapter: "llvmpipe (LLVM 15.0.6, 256 bits)",
    deno: "2.9.6",
    started: "2026-11-23T08:20:00Z",
    seed: 0,
    images: 128,
    valImages: 0,
    parameters: { trained: 1_234_567, frozen: 12_800 },
    batch: { micro: 8, effective: 16, rate: 0.0015 },
    steps: planned,
    dispatches: 812,
    memory: {
      peakBytes: 123_456_789,
      parts: ["parameters", "optimizer state", "gradients", "activations", "batch"]
        .map((name, i) => ({ name, bytes: 5e6 * (i + 1) })),
      stages: stages.map((stage, i) => ({ stage, bytes: 9e6 + 8e6 * noise(i) })),
    },
    profile: {
      steps: 1,
      milliseconds: 301.2,
      stages: stages.map((stage, i) => ({ stage, milliseconds: 20 + 60 * noise(i + 7) })),
      ops: Array.from({ length: 30 }, (_, i) => ({
        op: ["matmul", "softmax", "layer_norm", "depthwise", "gelu · mul · add"][i % 5],
        stage: stages[i % stages.length],
        shape: [400, 64 * (i % 3 + 1)],
        count: i + 1,
        milliseconds: 33.1 / (i + 1),
      })),
    },
    warnings: ["The rate is high for a batch of 16: watch the loss"],
  };
}

async function writePanels(folder: string, steps: number, side: number, images: number) {
  await Deno.mkdir(folder, { recursive: true });
  const every = Math.max(1, Math.round(steps / 18)); // more than a page shows
  const names = ["original", "masked"];
  for (let step = every; step <= steps; step += every) {
    names.push(`step-${String(step).padStart(6, "0")}`);
  }
  await Promise.all(names.map(async (name, index) => {
    const pixels = new Uint8Array(side * side * images * 3);
    for (let y = 0; y < side * images; y++) {
      for (let x = 0; x < side; x++) {
        const image = Math.floor(y / side);
        const [u, v] = [x / side - 0.5, y % side / side - 0.5];
        const hidden = name === "masked" && noise(Math.floor(u * 5) * 7 + Math.floor(v * 5)) > 0.25;
        const sharpness = index < 2 ? 30 : 3 + 27 * index / names.length;
        const disc = 1 / (1 + Math.exp(sharpness * (Math.hypot(u, v) - 0.15 - image * 0.04)));
        for (let c = 0; c < 3; c++) {
          const colour = disc * noise(image * 3 + c) + (1 - disc) * (0.3 + v * 0.5);
          pixels[(y * side + x) * 3 + c] = hidden ? 128 : 255 * Math.min(1, Math.max(0, colour));
        }
      }
    }
    const raw = { width: side, height: side * images, channels: 3 } as const;
    await sharp(pixels, { raw }).png().toFile(`${folder}/${name}.png`);
  }));
}
