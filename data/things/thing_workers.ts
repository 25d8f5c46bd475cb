import { SourceWorkers } from "../source_workers.ts";
import type { ThingSource } from "./source.ts";
import type {
  ThingEvaluationSetup,
  ThingJob,
  ThingReading,
  ThingSample,
  ThingTrainingSetup,
} from "./worker.ts"; // types only: the decoders stay in the workers

/** What both loaders are told. */
export interface ThingOptions extends ThingReading {
  readonly source: Pick<ThingSource, "images" | "sizes" | "things" | "categories" | "length">;
  readonly workers: number;
  /** Batches, or in evaluation pictures, made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad images to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
}

/** Workers that make views of a source's images. */
export function thingWorkers(
  options: ThingOptions,
  setup: ThingTrainingSetup | ThingEvaluationSetup,
): SourceWorkers<ThingJob, ThingSample> {
  const { source: { images, sizes, things }, workers, maxBad, channels, mean, std } = options;
  const { canvas: { width, height } } = setup.kind === "train" ? setup.view : setup.scale;
  for (const [name, value] of Object.entries({ images: images.length, workers, channels })) {
    if (Number.isSafeInteger(value) && value > 0) continue;
    throw new RangeError(
      `Cannot load annotated images: ${name} is ${value}, not a positive integer`,
    );
  }
  if (width % 32 !== 0 || height % 32 !== 0 || !(width > 0 && height > 0)) {
    throw new RangeError(
      `Cannot load annotated images: ${height} × ${width} are not multiples of 32`,
    );
  }
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `Cannot load ${channels} channels: mean has ${mean.length}, std has ${std.length}`,
    );
  }
  return new SourceWorkers<ThingJob, ThingSample>({
    ...{ what: "annotated images", samples: "images", images, setup, workers, maxBad },
    jobOf: (index, key) => ({
      ...{ image: images[index], size: sizes[index] ?? null, key },
      things: setup.kind === "train" ? things[index] : [],
    }),
    module: new URL("./worker.ts", import.meta.url),
  });
}
