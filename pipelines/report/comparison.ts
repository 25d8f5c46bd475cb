/** Several runs on one page. */
import { chart } from "./charts.ts";
import { breakable, type Html, html, table } from "./html.ts";
import type { Panel } from "./panels.ts";
import { strip } from "./panels_section.ts";
import { chartNames, curveOf, quantityOf } from "./quantities.ts";
import { differences } from "./recipe_table.ts";
import type { RunRecord } from "./record.ts";
import { spanOf } from "./series.ts";
import { shell } from "./shell.ts";
import {
  bytesText,
  countText,
  durationText,
  leftOutText,
  numberText,
  rateText,
  stateText,
  summarise,
} from "./summary.ts";

/** A run as the page tells it from the others. */
interface Member extends RunRecord {
  readonly colour: string;
  readonly dash: string | undefined;
}

const COLOURS = 6;
// Another number than that of the colours, so that the two together repeat late.
const DASHES = [undefined, "7 3", "2 3", "9 3 2 3", "12 4"];

/** One page that shows runs side by side and needs nothing but itself. */
export function renderComparison(runs: readonly RunRecord[]): string {
  const members = runs.map((run, i): Member => ({
    ...run,
    name: runs.some((other, j) => j !== i && other.name === run.name) ? run.folder : run.name,
    colour: `var(--series-${i % COLOURS + 1})`,
    dash: DASHES[i % DASHES.length],
  }));
  const names = members.map(({ name }) => name);
  return shell(
    `Comparison of ${names.join(", ")}`,
    html`
      <header>
        <p class="over">mcmae · compare</p>
        <h1>${names.length} runs compared</h1>
        ${legend(members)}
      </header>
      <main>
        ${curvesSection(members)} ${numbersSection(members)} ${recipesSection(members)}
        ${panelsSection(members)}
      </main>
    `,
  );
}

function legend(members: readonly Member[]): Html {
  const items = members.map(({ name, colour, dash }) =>
    html`<li><svg viewBox="0 0 34 10" aria-hidden="true"><line x1="0" x2="34" y1="5" y2="5"
      stroke="${colour}" stroke-width="2.5" stroke-dasharray="${dash ?? "none"}"/></svg><span>${
      breakable(name)
    }</span></li>`
  );
  return html`<ul class="legend" aria-label="Runs">${items}</ul>`;
}

function curvesSection(members: readonly Member[]): Html {
  const ends = [
    Math.min(...members.map(({ metrics }) => metrics.steps[0])),
    Math.max(...members.map(({ metrics }) => metrics.steps.at(-1)!)),
  ] as const;
  const charts = chartNames(members.map(({ metrics }) => metrics.columns)).map((name) => {
    const curves = members.flatMap(({ metrics, colour, dash }) => {
      const values = metrics.columns.get(name);
      if (!values) return [];
      const curve = curveOf(name, metrics.steps, values);
      const look = curve.look === "noisy" ? "average" as const : curve.look;
      return [{ ...curve, look, colour, dash }];
    });
    const isAverage = curves.some(({ look, points }) => look === "average" && spanOf(points) > 1);
    const note = isAverage ? "Moving averages" : "";
    return chart({ ...quantityOf(name), ends, note }, curves);
  });
  return html`
    <section>
      <h2>Curves</h2>
      <div class="grid">${charts}</div>
    </section>
  `;
}

function numbersSection(members: readonly Member[]): Html {
  const rows = members.map((run) => {
    const summary = summarise(run);
    const { parameters, memory } = run.details;
    return [
      breakable(run.name),
      String(run.recipe.name),
      [stateText(summary), leftOutText(summary)].filter(Boolean).join(", "),
      numberText(summary.loss),
      numberText(summary.valLoss),
      durationText(summary.seconds),
      rateText(summary.imagesPerSecond),
      countText(parameters?.trained),
      bytesText(memory?.peakBytes),
    ];
  });
  const columns = [
    "run",
    "recipe",
    "state",
    "loss",
    "validation loss",
    "training time",
    "images/s",
    "parameters",
    "memory",
  ];
  return html`
    <section>
      <h2>Final numbers</h2>
      <p class="lead">Loss and images/s: means of the last 20 steps; validation loss: the latest.</p>
      <div class="card wide">${table("Final numbers", columns, rows)}</div>
    </section>
  `;
}

function recipesSection(members: readonly Member[]): Html {
  const rows = differences(members);
  const columns = ["field", ...members.map(({ name }) => breakable(name))];
  return html`
    <section>
      <h2>Recipes</h2>
      <p class="lead">${rows.length > 0
        ? "The fields in which they differ."
        : "The recipes are equal."}</p>
      ${rows.length > 0 &&
        html`<div class="card wide fit">${table("Recipes", columns, rows)}</div>`}
    </section>
  `;
}

/** The last reconstructions; what they are of stands before them, once if it is the same. */
function panelsSection(members: readonly Member[]): Html {
  const shown: Panel[] = [];
  for (const { name, panels } of members) {
    const last = panels.findLast(({ step }) => step !== undefined);
    const original = panels.find(({ name }) => name === "original");
    if (!last) continue;
    if (original && !shown.some(({ address }) => address === original.address)) {
      shown.push(original);
    }
    shown.push({ ...last, name: `${name}, ${last.name}` });
  }
  if (shown.length === 0) return html``;
  return html`
    <section>
      <h2>Last reconstructions</h2>
      <p class="lead">Each run’s column stands to the right of what it is to be compared with.</p>
      ${strip(shown)}
    </section>
  `;
}
