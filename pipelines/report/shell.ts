/** What surrounds every page: its head and its looks. No script, no font, no address. */
import { Html, html } from "./html.ts";

/** A whole page. */
export function shell(title: string, body: Html): string {
  return html`
    <!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <link rel="icon" href="data:,">
        <title>${title}</title>
        <style>${STYLE}</style>
      </head>
      <body>
    ${body}
      </body>
    </html>
  `.text;
}

// The colours of series tell apart under the common kinds of colour blindness (Okabe and Ito).
const STYLE = new Html(`
:root {
  --page: #fafaf8; --card: #fff; --ink: #1d1f22; --muted: #666b73; --grid: #ecece8;
  --line: #e2e2dd; --accent: #1f66a8; --second: #c2540a; --bad: #b3261e; --mark: #fdf0d0;
  --good: #26734d; --shade: #0002;
  --series-1: #0072b2; --series-2: #d55e00; --series-3: #00876a; --series-4: #b0568c;
  --series-5: #9a7400; --series-6: #3a3f47;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131417; --card: #1a1c20; --ink: #e9e9e6; --muted: #9ca1aa; --grid: #282b30;
    --line: #2d3036; --accent: #6fb1ee; --second: #f2a057; --bad: #ff8577; --mark: #4a3a12;
    --good: #6fc79b; --shade: #000a;
    --series-1: #56b4e9; --series-2: #f28c4c; --series-3: #3cc79f; --series-4: #dd93bd;
    --series-5: #e0b93a; --series-6: #d5d8de;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; max-width: 1240px; padding: 48px 24px 96px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
h1, h2, h3, p, dl, dd, figure, ul { margin: 0; padding: 0; }
h1 { font-size: 34px; line-height: 1.15; font-weight: 650; letter-spacing: -0.02em;
  overflow-wrap: anywhere; }
h2 { font-size: 20px; font-weight: 620; letter-spacing: -0.01em; margin: 64px 0 4px; }
h3 { font-size: 15px; font-weight: 600; }
h2 + *, h2 + p.lead + * { margin-top: 20px; }
h2 + p { margin-top: 0; }
small, .note, .lead, figcaption span, dt { color: var(--muted); }
.lead { max-width: 72ch; overflow-wrap: anywhere; }
.over { color: var(--muted); font-size: 13px; margin-bottom: 8px; }
.state { margin: 12px 0 0; overflow-wrap: anywhere; }
.state + .lead { margin-top: 12px; }
.state strong { font-weight: 600; }
.state strong::before { content: ""; display: inline-block; width: 9px; height: 9px;
  border-radius: 50%; background: currentColor; margin-right: 8px; }
.finished { color: var(--good); } .running { color: var(--accent); } .stopped { color: var(--second); }
.interrupted { color: var(--second); } .failed { color: var(--bad); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr));
  gap: 24px; margin-top: 36px; }
.facts dt { font-size: 13px; }
.facts dd { overflow-wrap: anywhere; font-size: 22px; line-height: 1.3; font-weight: 600; letter-spacing: -0.01em; }
.facts small { display: block; font-size: 13px; font-weight: 400; letter-spacing: 0; }
.warnings { margin-top: 32px; padding: 14px 18px; border-left: 3px solid var(--second);
  background: var(--card); list-style: none; overflow-wrap: anywhere; }
.grid { display: grid; gap: 20px; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); }
.card, .chart { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 16px 18px; min-width: 0; }
.spaced { margin-top: 20px; }
.columns { columns: 350px; column-gap: 20px; }
.columns > * { break-inside: avoid; margin-bottom: 20px; }
.chart figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
  margin-bottom: 6px; }
.chart h3 { overflow-wrap: anywhere; }
.chart small { font-size: 12px; }
.plot { display: block; width: 100%; height: auto; font: 11px system-ui, sans-serif;
  overflow: visible; }
.plot text { fill: var(--muted); white-space: pre; }
.note { font-size: 13px; margin-top: 6px; }
/* A shade at the edge beyond which there is more; the first two layers cover it at either end. */
.scroll { overflow-x: auto; scrollbar-width: thin; background:
  linear-gradient(90deg, var(--card) 50%, transparent) 0 / 36px 100% local,
  linear-gradient(270deg, var(--card) 50%, transparent) 100% / 36px 100% local,
  linear-gradient(90deg, var(--shade), transparent) 0 / 14px 100%,
  linear-gradient(270deg, var(--shade), transparent) 100% / 14px 100%;
  background-repeat: no-repeat; }
.scroll:focus-visible, .strip:focus-visible { outline: 2px solid var(--accent); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; font-weight: 400;
  border-top: 1px solid var(--grid); }
th:last-child, td:last-child { padding-right: 0; }
thead th { color: var(--muted); font-size: 13px; border-top: 0; white-space: nowrap; }
tbody:first-child tr:first-child > * { border-top: 0; }
td.number, th.number { text-align: right; white-space: nowrap; }
.wide th, .wide td { white-space: nowrap; }
.wide tbody th, .fit thead th { white-space: normal; min-width: 130px; }
.fit { width: fit-content; max-width: 100%; min-width: min(100%, 640px); }
.short { max-width: 640px; }
.pairs th { color: var(--muted); width: 45%; }
.pairs td { overflow-wrap: anywhere; }
mark { background: var(--mark); color: inherit; padding: 1px 6px; margin-left: -6px;
  border-radius: 4px; }
.share { display: block; min-width: 64px; height: 8px; margin-top: 7px; border-radius: 2px;
  background: var(--grid); overflow: hidden; }
.share i { display: block; height: 100%; background: var(--accent); }
code { font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.strip { display: flex; align-items: flex-end; gap: 10px; overflow-x: auto; padding-bottom: 8px; }
.strip figure { flex: 1 0 84px; max-width: 140px; }
.strip figure.clips { flex-basis: 280px; max-width: 420px; }
.strip.double figure { flex-basis: 240px; max-width: 640px; }
.strip.triple figure { flex-basis: 160px; max-width: 480px; }
.strip img { display: block; width: 100%; height: auto; border-radius: 4px; }
.strip figcaption { font-size: 13px; color: var(--muted); margin-bottom: 6px; overflow-wrap: anywhere; }
.motion figcaption { font-size: 13px; color: var(--muted); margin-bottom: 6px; }
.motion img { display: block; width: min(100%, 480px); height: auto; }
.motion + .strip { margin-top: 28px; }
.legend { margin-top: 20px; display: flex; flex-wrap: wrap; gap: 6px 24px; list-style: none; }
.legend li { display: flex; align-items: center; gap: 8px; min-width: 0; overflow-wrap: anywhere; }
.legend svg { flex: none; width: 34px; height: 10px; }
footer { overflow-wrap: anywhere; margin-top: 72px; color: var(--muted); font-size: 13px; }
@media (max-width: 600px) {
  body { padding: 28px 16px 64px; }
  h1 { font-size: 27px; }
  h2 { margin-top: 48px; }
  .facts { grid-template-columns: 1fr 1fr; gap: 18px; }
}
@media print { body { max-width: none; } .card, .chart { break-inside: avoid; } }
`);
