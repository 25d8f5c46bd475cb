/**
 * `deno task data verify`: looks at every image before a run does.
 *
 * @module
 */
import { type Audit, audit, type Range, type Sample, type Splits } from "../data/audit.ts";
import { startCount } from "./count.ts";
import { openImages } from "./images.ts";
import { listing, shorten, table } from "./table.ts";
import { parseWords, UsageError } from "./usage.ts";
import { verifyVideos } from "./video/verify.ts";

const HELP = `Look for images or videos that would harm training.

  deno task data verify PATH [options]
  deno task data verify PATH --clips 16x4 [options]

PATH is what --data of pretrain takes: class folders, a list file, tar shards or IDX files. The
mean and standard deviation of pixels are those of up to 1,000 images; all images count alike.

With --clips, PATH is of videos: a folder, a list, or annotations of Kinetics or Something-Something.
Every frame is decoded; missing, unreadable and too short videos are counted and listed.

Options:
  --val PATH     Images to validate on; files that are in both are called leaks
  --min-side N   Shorter sides below N pixels count as tiny (default 32)
  --clips TxS    Videos, for clips of T frames, S apart; or T, one frame of each of T segments
  --root DIR     Where the paths of an annotation begin (default: its folder)
  --decoder NAME node-av or ffmpeg
  --json         Everything, for programs
  --help

Exit code: 1 if a file cannot be read, else 0.`;

const EXTENSIONS = ".jpg, .jpeg, .png, .webp, .gif, .avif, .tif, .tiff and .npy";
const count = new Intl.NumberFormat("en");

/**
 * Runs the command.
 *
 * @returns The exit code.
 * @throws {UsageError} If the arguments make no sense or a path holds no images.
 */
export async function dataCommand(args: readonly string[]): Promise<number> {
  const side = args[args.indexOf("--min-side") + 1];
  if (args.includes("--min-side") && side?.startsWith("-")) throw badSide(side); // parseArgs calls it ambiguous
  const { values, positionals } = parseWords(args, {
    val: { type: "string" },
    "min-side": { type: "string", default: "32" },
    clips: { type: "string" },
    root: { type: "string" },
    decoder: { type: "string", default: "node-av" },
    json: { type: "boolean" },
  }, "see deno task data --help");
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const [task, path, ...rest] = positionals;
  if (task !== "verify") throw new UsageError("Choose what to do: deno task data verify PATH");
  if (path === undefined || rest.length > 0) {
    throw new UsageError(
      `Expected one path, got ${positionals.length - 1}: deno task data verify PATH`,
    );
  }
  if (values.clips !== undefined) {
    const { clips, root, decoder, json = false } = values;
    return await verifyVideos(path, { clips, root, decoder, json });
  }
  const minSide = Number(values["min-side"]);
  if (!(Number.isSafeInteger(minSide) && minSide > 0)) throw badSide(values["min-side"]);
  const { train, val } = await openImages({ path, valPath: values.val ?? null });
  const splits: Splits = val ? { train, val } : { train };
  const found = await audit(splits, {
    ...{ minSide, workers: Math.max(1, navigator.hardwareConcurrency) },
    onProgress: startCount(train.length + (val?.length ?? 0)),
  });
  console.log(values.json ? JSON.stringify(found, null, 2) : describe(found, minSide));
  return found.unreadable.length > 0 ? 1 : 0;
}

function badSide(found: string): UsageError {
  return new UsageError(`Option --min-side expects a positive integer, got ${found}`);
}

/** An audit in words. */
export function describe(found: Audit, minSide: number): string {
  const { splits, unreadable, tiny, duplicates, leaks } = found;
  const range = (range?: Range) => range ? `${range.min} – ${range.median} – ${range.max}` : "";
  const figures = Object.entries(splits).map(([split, { images, channels, width, height }]) => [
    ...[split, count.format(images), range(width), range(height)],
    Object.entries(channels).map(([bands, n]) => `${bands} (${count.format(n)})`).join(", "),
  ]);
  const names = [...new Set(Object.values(splits).flatMap((s) => Object.keys(s.classes ?? {})))];
  const classes = names.map((name) => [
    name,
    ...Object.values(splits).map((split) => count.format(split.classes?.[name] ?? 0)),
  ]);
  const nameOf = ({ split, file }: Sample) =>
    Object.keys(splits).length > 1 ? `${split}: ${file}` : file;
  const groups = (all: Audit["duplicates"]) => all.map((group) => group.map(nameOf).join(" = "));
  return [
    ...table([["", "images", "width: least – median – most", "height", "channels"], ...figures]),
    ...notes(found),
    ...(names.length === 0
      ? []
      : ["", ...shorten(table([["class", ...Object.keys(splits)], ...classes]), 21)]),
    ...listing(
      "unreadable",
      unreadable.map(({ split, reason }) => nameOf({ split, file: reason })),
    ),
    ...listing(
      `with a side below ${minSide} pixels`,
      tiny.map(({ width, height, ...sample }) => `${nameOf(sample)}: ${width} × ${height}`),
    ),
    ...listing(`${noun("group", duplicates.length)} of equal files`, groups(duplicates)),
    ...(Object.keys(splits).length > 1
      ? listing(`${noun("leak", leaks.length)}: equal files in train and val`, groups(leaks))
      : []),
  ].join("\n");
}

/** What else to know, a line each. */
function notes({ splits, ignored, pixels }: Audit): string[] {
  const lines: string[] = [];
  for (const [split, { pages, stray }] of Object.entries(splits)) {
    const where = Object.keys(splits).length > 1 ? `${split}: ` : "";
    if (stray !== undefined) lines.push(`${where}no classes: ${stray} lies in no subfolder`);
    for (const [channels, n] of Object.entries(pages)) {
      const others = ["1", "3"].filter((other) => other !== channels).join(" or ");
      lines.push(
        `${where}${count.format(n)} ${noun("TIFF", n)} of ${channels} pages: ` +
          `model.channels=${channels} takes each page as a channel, ${others} the first page alone`,
      );
    }
  }
  const kinds = Object.entries(ignored).sort(([, a], [, b]) => b - a)
    .map(([extension, n]) => `${count.format(n)} ${extension || "without extension"}`);
  if (kinds.length > 0) lines.push(`ignored: ${kinds.join(", ")}; images are ${EXTENSIONS}`);
  if (pixels) {
    const short = (values: readonly number[]) => values.map((x) => Number(x.toPrecision(3))).join();
    const { images, mean, std } = pixels;
    lines.push(
      `pixels of ${count.format(images)} ${noun("image", images)}: ` +
        `data.mean=${short(mean)} data.std=${short(std)}`,
    );
  }
  return lines.length > 0 ? ["", ...lines] : [];
}

function noun(singular: string, n: number): string {
  return n === 1 ? singular : `${singular}s`;
}
