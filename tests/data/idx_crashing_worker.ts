// Answers with the number of the IDX image as its only pixel, but image 3 ends it.
import { serve } from "../../data/pool.ts";
import type { Answer, Job, Setup } from "../../data/worker.ts";

serve<Setup, Job, readonly Answer[]>(() => (job) =>
  Promise.resolve({
    answer: job.map(({ place }) => {
      if (place.idx!.index === 3) Deno.exit(1);
      return { view: Float32Array.of(place.idx!.index) };
    }),
  })
);
