/** What went wrong in a run, and where it ran. */
import { type Html, html, pairs, table } from "./html.ts";
import type { RunDetails, RunRecord } from "./record.ts";
import { countText, startText } from "./summary.ts";

/** Rows of a list that a page shows. */
const MOST = 50;

function listed(count: number): string {
  return count > MOST ? `; the first ${MOST} are listed` : "";
}

/** Steps whose loss or gradient was not finite. */
export function faultsSection(faults: RunRecord["faults"]): Html {
  if (faults.length === 0) return html``;
  const count = faults.length === 1 ? "One step" : `${countText(faults.length)} steps`;
  const rows = faults.slice(0, MOST).map(({ step, stage, op, shape, policy, back_to }) => [
    countText(step),
    [op, stage].filter(Boolean).join(" in ") || "unknown",
    shape?.join(" × ") ?? "–",
    `${policy ?? "–"}${back_to === undefined ? "" : ` to step ${back_to}`}`,
  ]);
  return html`
    <section>
      <h2>Faults</h2>
      <p class="lead">
        ${count} gave values that are not finite${listed(faults.length)}.
        Dotted lines mark them in the chart of the loss.
      </p>
      <div class="card wide fit">
        ${table("Faults", ["step", "where", "shape", "what was done"], rows)}
      </div>
    </section>
  `;
}

/** The machine, and what the run was given. */
export function machineSection(details: RunDetails): Html {
  const { adapter, deno, seed, images, valImages, batch } = details;
  const rows = Object.entries({
    adapter,
    Deno: deno,
    started: startText(details),
    seed,
    images: images && `${countText(images)} to train on`,
    "validation images": valImages && countText(valImages),
    batch: batch?.effective && `${batch.effective} an update, ${batch.micro ?? "?"} at once`,
    "peak rate": batch?.rate,
  }).flatMap(([name, value]) => value === undefined ? [] : [[name, value] as const]);
  if (rows.length === 0) return html``;
  return html`
    <section>
      <h2>Where it ran</h2>
      <div class="card short">${pairs("Where it ran", rows)}</div>
    </section>
  `;
}

/** Files that were left out. */
export function badFilesSection(files: RunRecord["badFiles"]): Html {
  if (files.length === 0) return html``;
  const count = files.length === 1 ? "One file was" : `${countText(files.length)} files were`;
  return html`
    <section>
      <h2>Bad files</h2>
      <p class="lead">${count} left out${listed(files.length)}.</p>
      <div class="card">${table("Bad files", ["file", "reason"], files.slice(0, MOST))}</div>
    </section>
  `;
}
