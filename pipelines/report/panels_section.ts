/** Panels side by side. */
import { breakable, type Html, html } from "./html.ts";
import type { Animation, Panel } from "./panels.ts";

/** Panels of one run over time, and its clips in motion if it has some. */
export function panelsSection(panels: readonly Panel[], animation?: Animation): Html {
  if (panels.length === 0 && !animation) return html``;
  const samples = animation ? "clips" : panels[0].samples ?? "images";
  const title = hasTruth(panels) ? "Predictions" : "Reconstructions";
  return html`
    <section>
      <h2>${title}</h2>
      <p class="lead">The same ${samples} over time; each row is one of them.</p>
      ${animation && inMotion(animation)} ${strip(panels)}
    </section>
  `;
}

/** Clips in motion; they stand still where the reader prefers that. */
function inMotion({ address, still, width, height }: Animation): Html {
  return html`
    <figure class="motion">
      <figcaption>Original, masked, reconstructed</figcaption>
      <picture><source media="(prefers-reduced-motion: reduce)" srcset="${still}"><img
          src="${address}" width="${width}" height="${height}"
          alt="Clips in motion: original, masked, reconstructed"></picture>
    </figure>
  `;
}

/** Whether panels are of masks that are known. */
function hasTruth(panels: readonly Panel[]): boolean {
  return panels.some(({ name }) => name === "truth");
}

/** Panels in a row that scrolls where the page is narrow. */
export function strip(panels: readonly Panel[]): Html {
  const result = hasTruth(panels) ? "Predictions" : "Reconstructions";
  const figures = panels.map(({ name, step, samples = "images", width, height, address }) => {
    const what = step !== undefined ? result : samples === "clips" ? "Clips" : "Images";
    const alt = `${what}, ${name}`;
    return html`<figure class="${samples}"><figcaption>${breakable(name)}</figcaption>
      <img src="${address}" width="${width}" height="${height}" alt="${alt}"></figure>`;
  });
  return html`<div class="strip" role="region" tabindex="0" aria-label="Panels">${figures}</div>`;
}
