/** Pictures of the reconstruction as it went on. */
import sharp, { type Sharp } from "sharp";

/** What a run is trained on. */
export type Samples = "images" | "clips";

/** A column of images: the same ones, in the same order, in every panel of a run. */
export interface Panel {
  /** Optimizer steps of a reconstruction; undefined for what it is to be compared with. */
  readonly step?: number;
  readonly name: string;
  /** Of clips a few frames stand side by side; of images unless it is said. */
  readonly samples?: Samples;
  readonly width: number;
  readonly height: number;
  /** The picture itself, as a `data:` address. */
  readonly address: string;
}

/** Panels that stand side by side. */
const MOST = 12;
/** Pixels of width that a page shows, about twice over for dense screens. */
const WIDEST: Readonly<Record<Samples, number>> = { images: 224, clips: 560 };

/**
 * Reads the panels of a run: originals, what was made of them (masked, or their true masks), and
 * results evenly over time, always with the first and the last. Files that are no pictures are passed over.
 */
export async function readPanels(
  folder: string,
  samples: Samples = "images",
): Promise<readonly Panel[]> {
  const names = await namesIn(folder);
  const inputs = ["original", "masked", "truth"].filter((name) => names.includes(`${name}.png`));
  const steps = names.flatMap((name) => {
    const digits = /^step-(\d+)\.png$/.exec(name)?.[1];
    return digits === undefined ? [] : [{ step: Number(digits), file: name }];
  }).sort((a, b) => a.step - b.step);
  const chosen = [
    ...inputs.map((name) => ({ step: undefined, name, file: `${name}.png` })),
    ...evenly(steps, MOST - inputs.length).map(({ step, file }) => ({
      step,
      name: `step ${step}`,
      file,
    })),
  ];
  const panels = chosen.map(async ({ step, name, file }) => {
    const picture = await pictureOf(`${folder}/${file}`, WIDEST[samples]);
    return picture ? [{ step, name, samples, ...picture }] : [];
  });
  return (await Promise.all(panels)).flat();
}

/** At most `count` items in their order, with the first and the last. */
export function evenly<Item>(items: readonly Item[], count: number): readonly Item[] {
  if (items.length <= count) return items;
  return Array.from(
    { length: count },
    (_, i) => items[Math.round(i * (items.length - 1) / (count - 1))],
  );
}

async function namesIn(folder: string): Promise<readonly string[]> {
  const names: string[] = [];
  try {
    for await (const { name } of Deno.readDir(folder)) names.push(name);
  } catch {
    return []; // a run that has drawn nothing yet
  }
  return names;
}

/** Makes a picture small enough to go into a page. */
async function pictureOf(path: string, width: number): Promise<Picture | undefined> {
  try {
    return await encoded(sharp(await Deno.readFile(path)), width);
  } catch {
    return undefined; // half written by a run that was killed
  }
}

type Picture = Pick<Panel, "width" | "height" | "address">;

async function encoded(picture: Sharp, widest: number): Promise<Picture> {
  const { data, info } = await picture
    .resize({ width: widest, withoutEnlargement: true })
    .webp({ quality: 85, effort: 2 })
    .toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  return { width, height, address: addressOf(data) };
}

function addressOf(webp: Uint8Array): string {
  return `data:image/webp;base64,${webp.toBase64()}`;
}

/** Clips in motion: original, masked, reconstructed. */
export interface Animation extends Picture {
  /** Address of a picture of the same size for those who want nothing to move. */
  readonly still: string;
}

/**
 * Reads the clips of a run in motion.
 *
 * @returns Undefined where there are none, or the file is damaged.
 */
export async function readAnimation(path: string): Promise<Animation | undefined> {
  try {
    const file = await Deno.readFile(path);
    const { pages = 1, width } = await sharp(file).metadata();
    const still = await encoded(sharp(file, { page: Math.floor(pages / 2) }), width);
    return { ...still, address: addressOf(file), still: still.address };
  } catch {
    return undefined;
  }
}
