// Makes views of single videos, for the loaders, and looks at them, for verifyClips().

import { fold, type Key, split } from "../../src/random.ts";
import { DataError } from "../dataset.ts";
import { serve } from "../pool.ts";
import { type ClipReading, shortSideOf, videoOpener } from "./cache.ts";
import { type Clip, takeFrames } from "./clip.ts";
import { type ClipIndices, type Sampling, testIndices, trainingIndices } from "./sampling.ts";
import { DecoderError, readClip, type Video } from "./video.ts";
import { type TestCrops, testViews, trainingView, type ViewSettings } from "./views.ts";

/** What every worker gets at its start, to make training views. */
export interface TrainingSetup extends ClipReading {
  readonly kind: "train";
  readonly sampling: Sampling;
  readonly view: ViewSettings;
  /** Views of each clip. */
  readonly repeats: number;
}

/** What every worker gets at its start, to make test views. */
export interface TestSetup extends ClipReading {
  readonly kind: "test";
  readonly sampling: Sampling;
  /** Clips of each video. */
  readonly clips: number;
  readonly crops: TestCrops;
}

/** What every worker gets at its start, to look at videos. */
export interface LookSetup extends ClipReading {
  readonly kind: "look";
  /** Whether to decode every frame. */
  readonly decode: boolean;
}

/** One video; `key` decides all draws of training views. */
export interface ClipJob {
  readonly path: string;
  readonly key?: Key;
}

/** Views of a video, or what it is. */
export interface ClipAnswer {
  /** Views `[V, T, H, W, 3]`, one after the other. */
  readonly views?: Uint8Array<ArrayBuffer>;
  /** Clips with repeated frames. */
  readonly padded?: number;
  readonly frames: number;
  readonly width: number;
  readonly height: number;
  readonly fps?: number;
  readonly warning?: string;
}

/** Why there is no answer. */
export type Refusal =
  /** The file is bad; `always` if it cannot even be opened, else where the key led. */
  | { readonly reason: string; readonly always: boolean }
  /** The decoder cannot be used. */
  | { readonly fault: string };

serve<TrainingSetup | TestSetup | LookSetup, ClipJob, ClipAnswer | Refusal>((setup) => {
  const open = videoOpener(setup);
  const make = maker(setup);
  return async ({ path, key }) => {
    let always = true;
    try {
      const { video, warning } = await open(path);
      const { frames, width, height, fps } = video;
      always = false;
      const made = await make(video, key);
      const transfer = made?.views ? [made.views.buffer] : [];
      return { answer: { frames, width, height, fps, warning, ...made }, transfer };
    } catch (error) {
      if (error instanceof DecoderError) return { answer: { fault: error.message } };
      // Bad data are for the loader to judge; anything else is a fault here and ends the worker.
      if (!(error instanceof DataError)) throw error;
      return { answer: { reason: error.message, always } };
    }
  };
});

type Made = Pick<ClipAnswer, "views" | "padded">;

function maker(
  setup: TrainingSetup | TestSetup | LookSetup,
): (video: Video, key?: Key) => Promise<Made | undefined> {
  switch (setup.kind) {
    case "train":
      return (video, key) => trainingViews(video, setup, key!);
    case "test":
      return (video) => viewsOf(video, setup);
    case "look":
      return (video) => decodeAll(video, setup);
  }
}

/** Decodes one clip, and makes each of its views with draws of its own. */
async function trainingViews(video: Video, setup: TrainingSetup, key: Key): Promise<Made> {
  const [clipKey, viewKey] = split(key, 2);
  const { indices, padded } = trainingIndices(video.frames, setup.sampling, clipKey);
  const clip = await readClip(video, indices, shortSideOf(video, setup));
  const views = Array.from(
    { length: setup.repeats },
    (_, repeat) => trainingView(clip, setup.view, fold(viewKey, repeat)),
  );
  return { views: join(views), padded: Number(padded) };
}

/** Makes all views of a video, clip by clip; frames that clips share are read once. */
async function viewsOf(video: Video, setup: TestSetup): Promise<Made> {
  const clips: ClipIndices[] = testIndices(video.frames, setup.sampling, setup.clips);
  const frames = [...new Set(clips.flatMap(({ indices }) => indices))].sort((a, b) => a - b);
  const place = new Map(frames.map((frame, i) => [frame, i]));
  const read = await readClip(video, frames, shortSideOf(video, setup));
  const crops = testViews(read, setup.crops);
  const views = clips.flatMap(({ indices }) => {
    const places = indices.map((frame) => place.get(frame)!);
    return crops.map((crop) => takeFrames(crop, places));
  });
  return { views: join(views), padded: clips.filter(({ padded }) => padded).length };
}

async function decodeAll(video: Video, { decode }: LookSetup): Promise<undefined> {
  if (!decode) return;
  const all = Array.from({ length: video.frames }, (_, i) => i);
  for await (const _ of video.decode(all, { width: 16, height: 16 }));
}

function join(views: readonly Clip[]): Uint8Array<ArrayBuffer> {
  const [{ pixels: { length } }] = views;
  const joined = new Uint8Array(views.length * length);
  views.forEach(({ pixels }, i) => joined.set(pixels, i * length));
  return joined;
}
