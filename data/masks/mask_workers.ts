import { type Figures, SourceWorkers } from "../source_workers.ts";
import { checkLabelRule } from "./label_rule.ts";
import type { Scale } from "./resize.ts";
import type { MaskSource } from "./source.ts"; // types only: the decoders stay in the workers
import type {
  MaskEvaluationSetup,
  MaskJob,
  MaskReading,
  MaskTrainingSetup,
  MaskView,
} from "./worker.ts";

/** What both loaders are told. */
export interface MaskOptions extends MaskReading {
  readonly source: MaskSource;
  readonly workers: number;
  /** Batches, or in evaluation pictures, made ahead of the one asked for; 2 unless given. */
  readonly prefetch?: number;
  /** Bad pairs to bear; any number unless given, as long as one is good. */
  readonly maxBad?: number;
  /** Module of the workers, for one that does more than the project's own. */
  readonly worker?: URL;
}

/** What loaders tell of all pairs so far. */
export type MaskFigures = Figures;

/** Workers that make views of a source's pairs. */
export function maskWorkers(
  { source: { images, masks }, workers, maxBad, worker }: MaskOptions,
  setup: MaskTrainingSetup | MaskEvaluationSetup,
): SourceWorkers<MaskJob, MaskView> {
  return new SourceWorkers<MaskJob, MaskView>({
    ...{ what: "masks", samples: "pairs", images, setup, workers, maxBad },
    jobOf: (index, key) => ({ image: images[index], mask: masks[index], key }),
    module: worker ?? new URL("./worker.ts", import.meta.url),
  });
}

/**
 * Checks what both loaders are told.
 *
 * @param positive Further numbers that must be one of 1, 2, 3 …
 * @param natural Further numbers that may be 0 as well.
 * @throws {RangeError} If an option is out of its range.
 */
export function checkMaskOptions(
  options: MaskOptions & { readonly scale: Scale | null },
  positive: Readonly<Record<string, number>> = {},
  natural: Readonly<Record<string, number>> = {},
): void {
  const { source: { length }, workers, prefetch = 2, channels, mean, std, rule, scale } = options;
  const counts = { length, workers, channels, ...scale, ...positive };
  for (const [least, values] of [[1, counts], [0, { prefetch, ...natural }]] as const) {
    for (const [name, value] of Object.entries(values)) {
      if (Number.isSafeInteger(value) && value >= least) continue;
      const kind = least === 1 ? "positive integer" : "natural number";
      throw new RangeError(`Cannot load masks: ${name} is ${value}, not a ${kind}`);
    }
  }
  if (mean.length !== channels || std.length !== channels) {
    throw new RangeError(
      `Cannot load ${channels} channels: mean has ${mean.length}, std has ${std.length}`,
    );
  }
  checkLabelRule(rule);
}
