/** Charts of a run's numbers, as SVG in the colours of the page. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { Html, html } from "./html.ts";
import { type Point, smooth } from "./series.ts";

/** A curve over the steps of a run. */
export interface Curve {
  readonly points: readonly Point[];
  /** CSS: `var(--accent)`. */
  readonly colour: string;
  readonly dash?: string;
  /**
   * `noisy`: the points faint, with their range where several are one, and a moving average over
   * them. `average`: the moving average alone. `dots`: points that are far apart.
   */
  readonly look: "plain" | "noisy" | "average" | "dots";
}

/** What a chart says besides its curves. */
export interface Axes {
  readonly title: string;
  /** What the numbers are: `images/s`. */
  readonly unit: string;
  readonly scale?: "log" | "zero";
  /** First and last step. */
  readonly ends: readonly [number, number];
  /** Beside the title: the latest value. */
  readonly value?: string;
  /** Below the chart: how to read it. */
  readonly note?: string;
  /** Steps to mark with a vertical line. */
  readonly marks?: readonly number[];
}

const [WIDTH, HEIGHT] = [360, 214];

/** Draws curves on common axes, as a figure with its title. */
export function chart(axes: Axes, curves: readonly Curve[]): Html {
  const { title, unit, value, note } = axes;
  return html`
    <figure class="chart">
    <figcaption><h3>${title}</h3>${value !== undefined && html`<span>${value}</span>`}</figcaption>
    ${draw(`${title} by step, in ${unit}`, axes, curves)}
    ${note && html`<p class="note">${note}</p>`}
    </figure>
  `;
}

function draw(label: string, axes: Axes, curves: readonly Curve[]): Html {
  const log = axes.scale === "log" &&
    curves.some(({ points }) => points.some(({ value }) => value > 0));
  const { document } = parseHTML("<html></html>") as unknown as Pick<Plot.PlotOptions, "document">;
  const shown = log
    ? curves.map((curve) => ({ ...curve, points: curve.points.filter(({ low }) => low > 0) }))
    : curves;
  const range = rangeOf(shown, axes);
  const svg = Plot.plot({
    document,
    className: "plot",
    width: WIDTH,
    height: HEIGHT,
    marginLeft: 46,
    marginRight: 10,
    marginTop: 26,
    marginBottom: 34,
    ariaLabel: label,
    x: { domain: stepsOf(axes), label: "step" },
    y: { domain: range, type: log ? "log" : "linear", nice: !log, label: axes.unit },
    marks: [
      Plot.gridY({ ticks: 4, stroke: "var(--grid)", strokeOpacity: 1 }),
      Plot.axisY({ ticks: 4, tickSize: 0, tickFormat: formatOf(range), labelArrow: "none" }),
      Plot.axisX({
        ticks: 5,
        tickSize: 4,
        tickFormat: (step: number) => Number.isInteger(step) ? short(step) : "",
        labelArrow: "none",
      }),
      Plot.ruleX(axes.marks ?? [], { stroke: "var(--bad)", strokeDasharray: "2 3" }),
      ...shown.flatMap(marksOf),
    ],
  });
  svg.setAttribute("role", "img");
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.querySelector("style")?.remove(); // the page has its own
  return new Html(svg.outerHTML);
}

function marksOf({ points, colour, dash, look }: Curve): Plot.Markish[] {
  const line = (data: readonly Point[], options: object) =>
    Plot.lineY(data, {
      x: "step",
      y: "value",
      stroke: colour,
      strokeWidth: 1.8,
      strokeDasharray: dash,
      strokeLinejoin: "round",
      ...options,
    });
  const dots = Plot.dot(points, {
    x: "step",
    y: "value",
    r: 3,
    fill: colour,
    stroke: "var(--card)",
  });
  if (look === "dots") return [line(points, { strokeWidth: 1, strokeOpacity: 0.6 }), dots];
  if (points.length === 1) return [dots];
  if (look === "average") return [line(smooth(points), {})];
  if (look === "plain") return [line(points, {})];
  const isThinned = points.some(({ low, high }) => low < high);
  const raw = isThinned
    ? Plot.areaY(points, { x: "step", y1: "low", y2: "high", fill: colour, fillOpacity: 0.2 })
    : line(points, { strokeWidth: 1, strokeOpacity: 0.4 });
  return [raw, line(smooth(points), {})];
}

/** First and last step, apart even for a single one. */
function stepsOf({ ends: [first, last] }: Axes): [number, number] {
  return first < last ? [first, last] : [first - 1, first + 1];
}

/** Lowest and highest value, apart even if all are equal. */
function rangeOf(curves: readonly Curve[], { scale }: Axes): [number, number] {
  const values = curves.flatMap(({ points, look }) => {
    const drawn = look === "average" ? smooth(points) : points;
    return drawn.flatMap(({ value, low, high }) => look === "noisy" ? [low, high] : [value]);
  });
  if (values.length === 0) return [0, 1];
  let low = values.reduce((a, b) => Math.min(a, b));
  let high = values.reduce((a, b) => Math.max(a, b));
  if (scale === "zero") low = Math.min(0, low);
  if (low === high) {
    const apart = high === 0 ? 1 : Math.abs(high) / 2;
    [low, high] = [low - apart, high + apart];
  }
  return [low, high];
}

/** How an axis writes its numbers: all of them with exponents, or none. */
function formatOf([low, high]: readonly [number, number]): (value: number) => string {
  const isSmall = Math.max(Math.abs(low), Math.abs(high)) < 0.01;
  return (value) =>
    isSmall && value !== 0
      ? Number(value.toPrecision(4)).toExponential().replace("-", "−")
      : short(value);
}

/** A number as an axis has room for it: `0.25`, `40k`. */
function short(value: number): string {
  const size = Math.abs(value);
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
  return String(Number(value.toPrecision(6)));
}
