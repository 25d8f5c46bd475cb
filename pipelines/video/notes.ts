/**
 * What goes wrong with the clips of a run without stopping it.
 *
 * @module
 */
import type { ClipBatch } from "../../data/clips/loader.ts";
import { leastFrames, type Sampling } from "../../data/clips/sampling.ts";
import type { Notes } from "../training_command.ts";

/** Notes of every batch: bad files, warnings, and once that videos are too short. */
export function noteClips(notes: Notes, sampling: Sampling): (batch: ClipBatch) => void {
  return (batch) => {
    notes.onBatch(batch);
    if (batch.padded === 0) return;
    const least = leastFrames(sampling);
    notes.warn(`Some videos have fewer than ${least} frames: their last ones are repeated`);
  };
}
