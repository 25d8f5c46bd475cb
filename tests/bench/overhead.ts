/** What logging, checks, checkpoints and reports cost a run: quickstart with them and without. */
import { openImages } from "../../pipelines/images.ts";
import { fit } from "../../pipelines/fit.ts";
import { preparePanels } from "../../pipelines/panels.ts";
import { pretrainTask } from "../../pipelines/pretrain.ts";
import { override } from "../../pipelines/recipe.ts";
import { findRecipe } from "../../pipelines/recipes/mod.ts";
import { writeReport } from "../../pipelines/report/report.ts";
import { writeRecipe } from "../../pipelines/run_folder.ts";
import { runInfo, writeRunInfo } from "../../pipelines/run_info.ts";
import { prepare } from "../../pipelines/train.ts";
import type { Device } from "../../src/device.ts";

const STEPS = 96; // a third of the run: two reports and a checkpoint
const PAIRS = 5;

/** Times runs in pairs, one bare and one with all that `deno task pretrain` does besides. */
export async function* overhead(device: Device) {
  const recipe = override(findRecipe("quickstart"), [`schedule.steps=${STEPS}`]);
  const images = await openImages(recipe.data);
  const task = pretrainTask(recipe, images.train);
  const bare = await prepare(device, { ...task, checks: false });
  const whole = await prepare(device, task);
  const about = runInfo("pretrain", device, recipe, images, task, whole);
  await Array.fromAsync(bare.run({ signal: AbortSignal.timeout(5000) })); // compiles the shaders
  const pairs: { off: number; on: number }[] = [];
  const timeOff = () => time(() => Array.fromAsync(bare.run()));
  const timeOn = async () => {
    const folder = await Deno.makeTempDir();
    await writeRecipe(folder, recipe);
    await writeRunInfo(folder, about, whole);
    const milliseconds = await time(async () => {
      const panels = await preparePanels(device, recipe, whole.params, images.train, folder);
      await fit(task, whole, {
        ...{ folder, recipe, images: images.train.length, draw: panels.draw },
        onProfile: () => writeRunInfo(folder, about, whole),
        report: () => writeReport(folder),
      });
      panels.destroy();
    });
    await Deno.remove(folder, { recursive: true });
    return milliseconds;
  };
  for (let pair = 0; pair < PAIRS; pair++) {
    // A machine's speed drifts, so neither is always the first.
    const first = pair % 2 === 0 ? await timeOff() : await timeOn();
    const second = pair % 2 === 0 ? await timeOn() : await timeOff();
    const [off, on] = pair % 2 === 0 ? [first, second] : [second, first];
    pairs.push({ off, on });
  }
  const shares = pairs.map(({ off, on }) => 100 * (on - off) / off).sort((a, b) => a - b);
  const median = shares[PAIRS >> 1];
  const mean = (name: "off" | "on") => pairs.reduce((sum, pair) => sum + pair[name], 0) / PAIRS;
  yield {
    case: "overhead-quickstart",
    ms: mean("on") / STEPS,
    off_ms: mean("off") / STEPS,
    percent: median,
    percent_least: shares[0],
    percent_most: shares[PAIRS - 1],
  };
}

async function time(run: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await run();
  return performance.now() - start;
}
