/**
 * The progress bar of a run.
 *
 * @module
 */
// @ts-types="@types/cli-progress"
import cliProgress from "cli-progress";
import type { StepMetrics } from "./train.ts";

/** What the bar shows besides the steps. */
export interface Progress {
  update(metrics: StepMetrics): void;
  stop(): void;
}

/**
 * Starts a bar on stderr; where that is no terminal, a line every ten seconds.
 *
 * @param steps Steps to reach.
 * @param samples Samples a step.
 * @param peakBytes Device memory that is planned.
 * @param unit What samples are.
 */
export function startProgress(
  start: number,
  steps: number,
  samples: number,
  peakBytes: number,
  unit: "images" | "clips" = "images",
): Progress {
  const bar = new cliProgress.SingleBar({
    format:
      `{bar} {value}/{total}  loss {loss}  {rate} ${unit}/s  data wait {wait}  {memory}  ETA {left}`,
    noTTYOutput: true,
    notTTYSchedule: 10_000,
  }, cliProgress.Presets.shades_classic);
  const memory = `${(peakBytes / 2 ** 20).toFixed(0)} MiB`;
  bar.start(steps, start, { loss: "–", rate: "–", wait: "–", memory, left: "–" });
  return {
    update: ({ step, loss, imagesPerSecond, dataWait }) =>
      bar.update(step, {
        loss: loss < 1e4 ? loss.toFixed(4) : loss.toExponential(2),
        rate: speed(imagesPerSecond),
        wait: `${(100 * dataWait).toFixed(1)} %`,
        memory,
        left: duration((steps - step) * samples / imagesPerSecond),
      }),
    stop: () => bar.stop(),
  };
}

/** Seconds as `1h20m` or `3m05s`. */
function duration(seconds: number): string {
  const [high, low, units] = seconds >= 3600 ? [3600, 60, "hm"] : [60, 1, "ms"];
  const rest = Math.floor(seconds % high / low);
  return `${Math.floor(seconds / high)}${units[0]}${String(rest).padStart(2, "0")}${units[1]}`;
}

/** Three digits, whether a model does 300 images a second or one in ten. */
function speed(imagesPerSecond: number): string {
  return imagesPerSecond >= 100 ? imagesPerSecond.toFixed(0) : imagesPerSecond.toPrecision(3);
}
