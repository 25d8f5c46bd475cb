/**
 * The page of a segmentation's evaluation: figures by class, and images beside their masks.
 *
 * @module
 */
import sharp from "sharp";
import { writeWhole } from "../run_folder.ts";
import { type Html, html, table } from "../report/html.ts";
import { shell } from "../report/shell.ts";
import { percent } from "../eval/result.ts";
import type { SegmentationCount } from "./metrics.ts";
import { classColour, type Legend } from "./overlay.ts";

/** What a page shows. */
export interface SegmentationPage {
  readonly checkpoint: string;
  readonly data: string;
  /** Number of images. */
  readonly n: number;
  readonly count: SegmentationCount;
  readonly names?: readonly string[];
  readonly legend: Legend;
  /** Image, truth and prediction, RGB `[H, W, 3]` each. */
  readonly pictures: readonly {
    readonly name: string;
    readonly size: readonly [height: number, width: number];
    readonly columns: readonly Uint8Array[];
  }[];
}

/** Pixels of width that a picture has in the page, at most. */
const WIDEST = 480;

/** Writes the page; it holds its pictures and needs no other file. */
export async function writeSegmentationPage(path: string, page: SegmentationPage): Promise<void> {
  const pictures = await Promise.all(page.pictures.map(async ({ name, size, columns }) => ({
    name,
    figures: await Promise.all(columns.map((colours) => encoded(colours, size))),
  })));
  await writeWhole(path, shell(`Segmentation of ${page.data}`, body(page, pictures)));
}

interface Figure {
  readonly address: string;
  readonly width: number;
  readonly height: number;
}

async function encoded(
  colours: Uint8Array,
  [height, width]: readonly [number, number],
): Promise<Figure> {
  const { data, info } = await sharp(colours, { raw: { width, height, channels: 3 } })
    .resize({ width: WIDEST, withoutEnlargement: true })
    .webp({ quality: 88, effort: 2 })
    .toBuffer({ resolveWithObject: true });
  const address = `data:image/webp;base64,${new Uint8Array(data).toBase64()}`;
  return { address, width: info.width, height: info.height };
}

function body(
  { checkpoint, data, n, count, names, legend }: SegmentationPage,
  pictures: readonly { readonly name: string; readonly figures: readonly Figure[] }[],
): Html {
  const { mIoU, mAcc, aAcc } = count.figures();
  const facts = [
    ["Mean IoU", percent(mIoU), "over classes"],
    ["Mean accuracy", percent(mAcc), "over classes"],
    ["Accuracy", percent(aAcc), "of all pixels"],
    ["Images", String(n), data],
  ];
  return html`
    <header>
      <p class="over">Segmentation</p>
      <h1>${data}</h1>
      <p class="lead">${checkpoint}</p>
      <dl class="facts">${facts.map(([name, value, more]) =>
        html`
          <div>
            <dt>${name}</dt>
            <dd>${value} <small>${more}</small></dd>
          </div>
        `
      )}</dl>
    </header>
    <section>
      <h2>Pictures</h2>
      <p class="lead">Image, true mask and prediction; pixels without a label are dark.</p>
      ${pictures.map(({ name, figures }) =>
        html`
          <figure class="card spaced">
            <figcaption><span>${name}</span></figcaption>
            <div class="strip triple">${figures.map(({ address, width, height }, i) =>
              html`<figure><img src="${address}" width="${width}" height="${height}" alt="${name}, ${
                ["image", "true mask", "prediction"][i]
              }"></figure>`
            )}</div>
          </figure>
        `
      )}
    </section>
    <section>
      <h2>Classes</h2>
      <div class="card wide fit">${classTable(count, legend, names)}</div>
    </section>
  `;
}

function classTable(count: SegmentationCount, legend: Legend, names?: readonly string[]): Html {
  const { iou, accuracy } = count.figures();
  const total = count.labelled.reduce((sum, pixels) => sum + pixels, 0);
  const share = (value: number) => Number.isNaN(value) ? "–" : percent(value);
  const rows = iou.map((value, k) => [
    html`${swatch(k, legend)} ${names?.[k] ?? String(k)}`,
    ...[share(value), share(accuracy[k]), percent(count.labelled[k] / total)],
  ]);
  return table("Classes", ["class", "IoU", "accuracy", "of all pixels"], rows);
}

/** A square in the colour of a class. */
function swatch(label: number, { hasBackground }: Legend): Html {
  if (label === 0 && hasBackground) return html``;
  const colour = classColour(label + Number(!hasBackground)).join(",");
  return html`
    <svg width="12" height="12" aria-hidden="true">
      <rect width="12" height="12" rx="2"
        fill="rgb(${colour})" />
    </svg>
  `;
}
