/** The report of one run. */
import { chart, type Curve } from "./charts.ts";
import { breakable, type Html, html } from "./html.ts";
import { badFilesSection, faultsSection, machineSection } from "./lists.ts";
import type { Samples } from "./panels.ts";
import { panelsSection } from "./panels_section.ts";
import { planSection } from "./plan_section.ts";
import { averagedSteps, chartNames, curveOf, quantityOf } from "./quantities.ts";
import { recipeSection } from "./recipe_table.ts";
import { type RunRecord, samplesOf } from "./record.ts";
import { lastMean } from "./series.ts";
import { shell } from "./shell.ts";
import {
  bytesText,
  countText,
  durationText,
  leftOutText,
  numberText,
  percentText,
  rateText,
  RECENT,
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
        ${curvesSection(run)} ${panelsSection(run.panels, run.animation)} ${faultsSection(
          run.faults,
        )}
        ${recipeSection(run)} ${planSection(run.details)} ${machineSection(run.details)}
        ${badFilesSection(run.badFiles)}
      </main>
      <footer>Written ${timeText(run.read)} from ${breakable(run.folder)}</footer>
    `,
  );
}

function header({ name, folder, recipe, details, read }: RunRecord, summary: Summary): Html {
  const { state, leftOut } = summary;
  const text = stateText(summary);
  const reason = state === "failed" && details.ended?.reason ? `: ${details.ended.reason}` : "";
  const more = state === "running"
    ? html`when this was written, ${timeText(read)}`
    : state === "interrupted" && html`continue with
      <code>deno task ${details.command ?? "pretrain"} --resume --out ${breakable(folder)}</code>`;
  const about = [recipe.name, recipe.source].filter((text) => typeof text === "string");
  return html`
    <header>
      <p class="over">${["mcmae", details.command, startText(details)].filter(Boolean).join(
        " · ",
      )}</p>
      <h1>${name}</h1>
      <p class="state">
        <strong class="${state}">${text.charAt(0).toUpperCase() +
          text.slice(1)}${reason}</strong>${state === "interrupted" && ";"}
        <small>${more}</small>
      </p>
      ${leftOut > 0 &&
        html`<p class="state"><strong class="stopped">${leftOutText(summary)}</strong>
        <small>loss or gradient not finite</small></p>`}
      <p class="lead">${about.join(" – ")}</p>
      ${facts(summary, { ...details, samples: samplesOf(recipe) })} ${warnings(details)}
    </header>
  `;
}

function facts(
  summary: Summary,
  { parameters, memory, samples }: RunRecord["details"] & { readonly samples: Samples },
): Html {
  const {
    step,
    steps,
    epoch,
    loss,
    lossSpan,
    valLoss,
    valTop1,
    valMiou,
    valBoxAp,
    seconds,
    imagesPerSecond,
  } = summary;
  const ofSteps = steps === undefined ? "" : `of ${countText(steps)}`;
  const epochs = epoch === undefined
    ? ""
    : `${epoch < 1000 ? epoch.toFixed(1) : countText(Math.round(epoch))} epochs`;
  const all: (readonly [string, string, string])[] = [
    [
      "Loss",
      numberText(loss),
      lossSpan === 1 ? "of one step" : `mean of the last ${lossSpan} steps`,
    ],
    ["Validation loss", numberText(valLoss), "latest"],
    ["Validation top-1", percentText(valTop1), "latest"],
    ["Validation mIoU", percentText(valMiou), "latest"],
    ["Validation AP of boxes", percentText(valBoxAp), "latest"],
    ["Steps", countText(step), [ofSteps, epochs].filter(Boolean).join(", ")],
    ["Training time", durationText(seconds), `${rateText(imagesPerSecond)} ${samples}/s`],
    ["Parameters", countText(parameters?.trained), `and ${countText(parameters?.frozen)} frozen`],
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

function curvesSection({ recipe, metrics: { steps, columns }, faults }: RunRecord): Html {
  const marked = faults.slice(0, 50).map(({ step }) => step);
  // A run that ends with a fault has logged no step so far.
  const ends = [Math.min(steps[0], ...marked), Math.max(steps.at(-1)!, ...marked)] as const;
  const names = chartNames([columns]);
  const curves = new Map(names.map((name) => [name, curveOf(name, steps, columns.get(name)!)]));
  const validation = curves.get("val_loss");
  // Where the loss is drawn, validation stands in the same chart.
  const shown = names.filter((name) => name !== "val_loss" || !curves.has("loss"));
  const charts = shown.map((name) => {
    const curve = curves.get(name)!;
    const quantity = quantityOf(name);
    const known = columns.get(name)!.filter(Number.isFinite);
    const span = curve.look === "noisy" ? Math.min(RECENT, known.length) : 1;
    const latest = numberText(lastMean(known, span) * (quantity.factor ?? 1));
    const more: Curve[] = name === "loss" && validation
      ? [{ ...validation, colour: "var(--second)" }]
      : [];
    return chart({
      ...quantity,
      unit: quantity.unit.replace("images", samplesOf(recipe)),
      ends,
      value: [latest, span === 1 ? "last" : `mean of last ${span}`],
      note: noteOf(curve, known.length, more[0]),
      marks: name === "loss" ? marked : [],
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
function noteOf(curve: Curve, known: number, validation?: Curve): string {
  const span = averagedSteps(curve, known);
  const isThinned = curve.points.some(({ low, high }) => low < high);
  const parts = [
    ...(curve.look === "noisy" && span > 1
      ? [
        `line: mean of ${countText(span)} steps`,
        isThinned ? "band: lowest to highest" : "faint: every step",
      ]
      : []),
    ...(validation ? [`${validation.look === "dots" ? "dots" : "second line"}: validation`] : []),
  ];
  const note = parts.join("; ");
  return note.charAt(0).toUpperCase() + note.slice(1);
}
