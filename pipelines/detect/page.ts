/**
 * The page of a detector's evaluation: COCO's figures, and images beside what was found.
 *
 * @module
 */
import sharp from "sharp";
import { percent } from "../eval/result.ts";
import { type Html, html, table } from "../report/html.ts";
import { shell } from "../report/shell.ts";
import { writeWhole } from "../run_folder.ts";
import type { CocoEvaluation } from "./coco_curves.ts";
import { FIGURES, figuresOf } from "./coco_figures.ts";

/** What a page shows. */
export interface DetectionPage {
  readonly checkpoint: string;
  readonly data: string;
  /** Number of images. */
  readonly n: number;
  readonly evaluations: { readonly bbox: CocoEvaluation; readonly segm: CocoEvaluation };
  readonly names: readonly string[];
  /** Annotations of each category. */
  readonly counts: ArrayLike<number>;
  /** What is annotated and what was found, PNGs. */
  readonly pictures: readonly { readonly name: string; readonly columns: readonly Uint8Array[] }[];
  /** What the paper reports. */
  readonly published?: string;
}

/** Pixels of width that a picture has in the page, at most. */
const WIDEST = 640;

/** Writes the page; it holds its pictures and needs no other file. */
export async function writeDetectionPage(path: string, page: DetectionPage): Promise<void> {
  const pictures = await Promise.all(page.pictures.map(async ({ name, columns }) => ({
    name,
    figures: await Promise.all(columns.map(encoded)),
  })));
  await writeWhole(path, shell(`Detection on ${page.data}`, body(page, pictures)));
}

interface Figure {
  readonly address: string;
  readonly width: number;
  readonly height: number;
}

async function encoded(png: Uint8Array): Promise<Figure> {
  const { data, info } = await sharp(png)
    .resize({ width: WIDEST, withoutEnlargement: true })
    .webp({ quality: 88, effort: 2 })
    .toBuffer({ resolveWithObject: true });
  const address = `data:image/webp;base64,${new Uint8Array(data).toBase64()}`;
  return { address, width: info.width, height: info.height };
}

const share = (value: number) => value < 0 ? "–" : percent(value);

function body(
  { checkpoint, data, n, evaluations, names, counts, published }: DetectionPage,
  pictures: readonly { readonly name: string; readonly figures: readonly Figure[] }[],
): Html {
  const [boxes, masks] = [evaluations.bbox, evaluations.segm].map((all) => figuresOf(all));
  const facts = [
    ["Boxes", share(boxes.AP), `AP; ${share(boxes.AP50)} at IoU 0.50`],
    ["Masks", share(masks.AP), `AP; ${share(masks.AP50)} at IoU 0.50`],
    ["Images", String(n), data],
    ...published ? [["Paper", "", published]] : [],
  ];
  const rows = names.map((name, k) => {
    const [box, mask] = [evaluations.bbox, evaluations.segm].map((all) => figuresOf(all, k));
    return [name, counts[k], share(box.AP), share(box.AP50), share(mask.AP), share(mask.AP50)];
  });
  return html`
    <header>
      <p class="over">Detection</p>
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
      <p class="lead">What is annotated, and what was found with a score of at least 50 %.</p>
      ${pictures.map(({ name, figures }) =>
        html`
          <figure class="card spaced">
            <figcaption><span>${name}</span></figcaption>
            <div class="strip double">${figures.map(({ address, width, height }, i) =>
              html`<figure><img src="${address}" width="${width}" height="${height}" alt="${name}, ${
                ["annotated", "found"][i]
              }"></figure>`
            )}</div>
          </figure>
        `
      )}
    </section>
    <section>
      <h2>Figures</h2>
      <div class="card wide fit">${table(
        "COCO's figures",
        ["figure", "boxes", "masks"],
        FIGURES.map(({ name }) => [
          ...[name, share(boxes[name]), share(masks[name])],
        ]),
      )}</div>
      <h2>Categories</h2>
      <div class="card wide fit">${table(
        "Categories",
        ["category", "annotations", "box AP", "box AP50", "mask AP", "mask AP50"],
        rows,
      )}</div>
    </section>
  `;
}
