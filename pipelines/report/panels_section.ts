/** Panels side by side. */
import { breakable, type Html, html } from "./html.ts";
import type { Panel } from "./panels.ts";

/** Panels of one run over time. */
export function panelsSection(panels: readonly Panel[]): Html {
  if (panels.length === 0) return html``;
  return html`
    <section>
      <h2>Reconstructions</h2>
      <p class="lead">The same images over time; each row is one of them.</p>
      ${strip(panels)}
    </section>
  `;
}

/** Panels in a row that scrolls where the page is narrow. */
export function strip(panels: readonly Panel[]): Html {
  const figures = panels.map(({ name, step, width, height, address }) => {
    const what = step === undefined ? "Images" : "Reconstructions";
    const alt = `${what}, ${name}`;
    return html`<figure><figcaption>${breakable(name)}</figcaption>
      <img src="${address}" width="${width}" height="${height}" alt="${alt}"></figure>`;
  });
  return html`<div class="strip" role="region" tabindex="0" aria-label="Panels">${figures}</div>`;
}
