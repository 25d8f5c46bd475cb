/** Where a step's memory and time go. */
import { type Cell, type Html, html, table } from "./html.ts";
import type { Profile } from "../profile.ts";
import type { RunDetails } from "./record.ts";
import { bytesText, countText } from "./summary.ts";

/** Ops that are listed, the slowest first. */
const OPS = 15;

/** The plan of a run: memory by part and stage, time by stage and op. */
export function planSection({ memory, profile, dispatches }: RunDetails): Html {
  if (!memory && !profile) return html``;
  const parts = memory?.parts ?? [];
  const stages = memory?.stages ?? [];
  const lead = [
    ...(memory?.peakBytes ? [`${bytesText(memory.peakBytes)} on the device at its peak`] : []),
    ...(dispatches ? [`${countText(dispatches)} dispatches a step`] : []),
  ];
  return html`
    <section>
      <h2>Plan</h2>
      <p class="lead">${lead.join("; ")}</p>
      <div class="grid">
        ${memoryCard("part", parts.map(({ name, bytes }) => [name, bytes]))}
        ${memoryCard("stage", stages.map(({ stage, bytes }) => [stage, bytes]))}
        ${profile ? timeCard(profile) : UNTIMED}
      </div>
      ${profile && opsCard(profile)}
    </section>
  `;
}

const UNTIMED = html`
  <div class="card">
    <h3>Time by stage</h3>
    <p class="note">Not measured: <code>deno task pretrain --profile N</code> times N steps</p>
  </div>
`;

function memoryCard(what: string, sizes: readonly (readonly [string, number])[]): Html {
  if (sizes.length === 0) return html``;
  const most = Math.max(...sizes.map(([, bytes]) => bytes));
  const rows = sizes.map(([name, bytes]) => [name, bytesText(bytes), bar(bytes / most)]);
  return card(`Memory by ${what}`, [what, "memory", ""], rows);
}

function timeCard({ steps, milliseconds, stages }: Profile): Html {
  const most = Math.max(...stages.map((stage) => stage.milliseconds));
  const rows = stages.map(({ stage, milliseconds }) => [
    stage,
    `${milliseconds.toFixed(1)} ms`,
    bar(milliseconds / most),
  ]);
  const over = steps === 1 ? "1 step" : `${steps} steps`;
  const note = `${milliseconds.toFixed(1)} ms a step, over ${over}`;
  return card("Time by stage", ["stage", "time", ""], rows, note);
}

function opsCard({ ops, milliseconds: total }: Profile): Html {
  const slowest = ops.toSorted((a, b) => b.milliseconds - a.milliseconds).slice(0, OPS);
  const rows = slowest.map(({ op, stage, shape, count, milliseconds }) => [
    op,
    stage,
    shape.join(" × "),
    count,
    `${milliseconds.toFixed(1)} ms`,
    `${(100 * milliseconds / total).toFixed(1)} %`,
    bar(milliseconds / slowest[0].milliseconds),
  ]);
  const columns = ["op", "stage", "shape", "count", "time", "share", ""];
  return html`<div class="wide spaced">${card("Slowest operations", columns, rows)}</div>`;
}

function card(
  title: string,
  columns: readonly string[],
  rows: readonly (readonly Cell[])[],
  note?: string,
): Html {
  return html`
    <div class="card">
      <h3>${title}</h3>
      ${table(title, columns, rows)} ${note && html`<p class="note">${note}</p>`}
    </div>
  `;
}

/** A share of the largest, as a bar that says nothing new to screen readers. */
function bar(share: number): Html {
  const width = (100 * share).toFixed(1);
  return html`<span class="share" aria-hidden="true"><i style="width:${width}%"></i></span>`;
}
