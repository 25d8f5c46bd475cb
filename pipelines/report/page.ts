/** The report of one run. */
import { chart, type Curve } from "./charts.ts";
import { type Html, html } from "./html.ts";
import { badFilesSection, faultsSection, machineSection } from "./lists.ts";
import { panelsSection } from "./panels_section.ts";
import { planSection } from "./plan_section.ts";
import { averagedSteps, chartNames, curveOf, quantityOf } from "./quantities.ts";
import { recipeSection } from "./recipe_table.ts";
import type { RunRecord } from "./record.ts";
import { lastMean } from "./series.ts";
import { shell } from "./shell.ts";
import {
  bytesText,
  durationText,
  numberText,
  rateText,
  startText,
  stateText,
  summarise,
  type Summary,
  timeText,
} from "./summary.ts";

/** One page about a run that needs nothing but itself. */
export function renderReport(run: RunRecord): string {
  const summary = summarise(run);
  return shell(
    `${run.name}: ${stateText(summary)}`,
    html`
      ${header(run, summary)}
      <main>
        ${curvesSection(run)} ${panelsSection(run.panels)} ${faultsSection(run.faults)}
        ${recipeSection(run)} ${planSection(run.details)} ${machineSection(run.details)}
        ${badFilesSection(run.badFiles)}
      </main>
      <footer>Written ${timeText(run.read)} from ${run.folder}</footer>
    `,
  );
}

function header({ name, recipe, details, read }: RunRecord, summary: Summary): Html {
  const state = stateText(summary);
  const asOf = summary.state === "running" && `when this was written, ${timeText(read)}`;
  const about = [recipe.name, recipe.source].filter((text) => typeof text === "string");
  return html`
    <header>
      <p class="over">${["mcmae", details.command, startText(details)].filter(Boolean).join(
        " · ",
      )}</p>
      <h1>${name}</h1>
      <p class="state">
        <strong class="${summary.state}">${state.charAt(0).toUpperCase() + state.slice(1)}</strong>
        <small>${asOf}</small>
      </p>
      <p class="lead">${about.join(" – ")}</p>
      ${facts(summary, details)} ${warnings(details)}
    </header>
  `;
}

function facts(summary: Summary, { parameters, memory }: RunRecord["details"]): Html {
  const { step, steps, epoch, loss, lossSpan, valLoss, seconds, imagesPerSecond } = summary;
  const ofSteps = steps === undefined ? "" : `of ${numberText(steps)}`;
  const epochs = epoch === undefined
    ? ""
    : `${epoch < 1000 ? epoch.toFixed(1) : numberText(Math.round(epoch))} epochs`;
  const all: (readonly [string, string, string])[] = [
    ["Loss", numberText(loss), `mean of the last ${lossSpan} steps`],
    ["Validation loss", numberText(valLoss), "latest"],
    ["Steps", numberText(step), [ofSteps, epochs].filter(Boolean).join(", ")],
    ["Training time", durationText(seconds), `${rateText(imagesPerSecond)} images/s`],
    ["Parameters", numberText(parameters?.trained), `and ${numberText(parameters?.frozen)} frozen`],
    ["Memory", bytesText(memory?.peakBytes), "on the device, at its peak"],
  ];
  const known = all.filter(([, value]) => value !== "–");
  return html`
    <dl class="facts">
      ${known.map(([name, value, more]) =>
        html`
          <div>
            <dt>${name}</dt>
            <dd>${value} <small>${more}</small></dd>
          </div>
        `
      )}
    </dl>
  `;
}

function warnings({ warnings = [] }: RunRecord["details"]): Html {
  if (warnings.length === 0) return html``;
  const items = warnings.map((warning) => html`<li>${warning}</li>`);
  return html`<ul class="warnings" aria-label="Warnings">${items}</ul>`;
}

function curvesSection({ metrics: { steps, columns }, faults }: RunRecord): Html {
  const names = chartNames([columns]);
  const curves = new Map(names.map((name) => [name, curveOf(name, steps, columns.get(name)!)]));
  const validation = curves.get("val_loss");
  // Where the loss is drawn, validation stands in the same chart.
  const shown = names.filter((name) => name !== "val_loss" || !curves.has("loss"));
  const charts = shown.map((name) => {
    const curve = curves.get(name)!;
    const quantity = quantityOf(name);
    const latest = lastMean(columns.get(name)!, curve.look === "noisy" ? 20 : 1);
    const more: Curve[] = name === "loss" && validation
      ? [{ ...validation, colour: "var(--second)" }]
      : [];
    return chart({
      ...quantity,
      ends: [steps[0], steps.at(-1)!],
      value: numberText(latest * (quantity.factor ?? 1)),
      note: noteOf(curve, steps.length, more[0]),
      marks: name === "loss" ? faults.slice(0, 50).map(({ step }) => step) : [],
    }, [curve, ...more]);
  });
  return html`
    <section>
      <h2>Curves</h2>
      <div class="grid">${charts}</div>
    </section>
  `;
}

/** How to read a chart. */
function noteOf(curve: Curve, steps: number, validation?: Curve): string {
  const span = averagedSteps(curve, steps);
  const isThinned = curve.points.some(({ low, high }) => low < high);
  const parts = [
    ...(curve.look === "noisy" && span > 1
      ? [
        `line: mean of ${numberText(span)} steps`,
        isThinned ? "band: lowest to highest" : "faint: every step",
      ]
      : []),
    ...(validation ? [`${validation.look === "dots" ? "dots" : "second line"}: validation`] : []),
  ];
  const note = parts.join("; ");
  return note.charAt(0).toUpperCase() + note.slice(1);
}
