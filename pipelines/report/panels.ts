/** Pictures of the reconstruction as it went on. */
import sharp from "sharp";

/** A column of images: the same ones, in the same order, in every panel of a run. */
export interface Panel {
  /** Optimizer steps of a reconstruction; undefined for what it is to be compared with. */
  readonly step?: number;
  readonly name: string;
  readonly width: number;
  readonly height: number;
  /** The picture itself, as a `data:` address. */
  readonly address: string;
}

/** Panels that stand side by side. */
const MOST = 12;
/** Pixels of width that a page shows, twice over for dense screens. */
const WIDEST = 224;

/**
 * Reads the panels of a run: original, masked, and reconstructions evenly over time, always with
 * the first and the last. Files that are no pictures are passed over.
 */
export async function readPanels(folder: string): Promise<readonly Panel[]> {
  const names = await namesIn(folder);
  const inputs = ["original", "masked"].filter((name) => names.includes(`${name}.png`));
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
    const picture = await pictureOf(`${folder}/${file}`);
    return picture ? [{ step, name, ...picture }] : [];
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
async function pictureOf(path: string): Promise<Omit<Panel, "name"> | undefined> {
  try {
    const { data, info } = await sharp(await Deno.readFile(path))
      .resize({ width: WIDEST, withoutEnlargement: true })
      .webp({ quality: 85, effort: 2 })
      .toBuffer({ resolveWithObject: true });
    const { width, height } = info;
    return { width, height, address: `data:image/webp;base64,${data.toString("base64")}` };
  } catch {
    return undefined; // half written by a run that was killed
  }
}
