/** Charts of a run's numbers, as SVG in the colours of the page. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { Html, html } from "./html.ts";
import { type Point, smooth } from "./series.ts";
import { exponentText, numberText } from "./summary.ts";

/** `log`; `auto`: log where values are more than three decades apart; `zero`: from zero. */
export type Scale = "log" | "auto" | "zero";

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
  readonly scale?: Scale;
  /** First and last step. */
  readonly ends: readonly [number, number];
  /** Beside the title: the latest value, and what it is: `last`. */
  readonly value?: readonly [string, string];
  /** Below the chart: how to read it. */
  readonly note?: string;
  /** Steps to mark with a vertical line. */
  readonly marks?: readonly number[];
}

const [WIDTH, HEIGHT] = [360, 214];

/** Draws curves on common axes, as a figure with its title. */
export function chart(axes: Axes, curves: readonly Curve[]): Html {
  const { title, value, note } = axes;
  return html`
    <figure class="chart">
    <figcaption><h3>${title}</h3>${value &&
      html`<span>${value[0]} <small>${value[1]}</small></span>`}</figcaption>
    ${draw(title, axes, curves)}
    ${note && html`<p class="note">${note}</p>`}
    </figure>
  `;
}

function draw(title: string, axes: Axes, curves: readonly Curve[]): Html {
  const log = isLog(axes, curves);
  const unit = log ? `${axes.unit}, log scale` : axes.unit;
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
    ariaLabel: `${title} by step, in ${unit}`,
    x: { domain: stepsOf(axes), label: "step" },
    y: { domain: range, type: log ? "log" : "linear", nice: !log, label: unit },
    marks: [
      Plot.gridY({ ticks: 4, stroke: "var(--grid)", strokeOpacity: 1 }),
      Plot.axisY({ ticks: 4, tickSize: 0, tickFormat: formatOf(range, log), labelArrow: "none" }),
      Plot.axisX({
        ticks: 5,
        tickSize: 4,
        tickFormat: (step: number) => Number.isInteger(step) ? stepText(step) : "",
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

function isLog({ scale }: Axes, curves: readonly Curve[]): boolean {
  if (scale !== "log" && scale !== "auto") return false;
  const positive = curves.flatMap(({ points }) =>
    points.flatMap(({ low, high }) => [low, high].filter((value) => value > 0))
  );
  if (scale === "log") return positive.length > 0;
  const [low, high] = extent(positive);
  return high > 1e3 * low;
}

/** First and last step, apart even for a single one. */
function stepsOf({ ends: [first, last] }: Axes): [number, number] {
  return first < last ? [first, last] : [first - 1, first + 1];
}

function extent(values: readonly number[]): [number, number] {
  return values.reduce(
    ([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity],
  );
}

/** Lowest and highest value, so far apart that four digits tell ticks from each other. */
function rangeOf(curves: readonly Curve[], { scale }: Axes): [number, number] {
  const values = curves.flatMap(({ points, look }) => {
    const drawn = look === "average" ? smooth(points) : points;
    return drawn.flatMap(({ value, low, high }) => look === "noisy" ? [low, high] : [value]);
  });
  if (values.length === 0) return [0, 1];
  if (scale === "zero") values.push(0);
  const [low, high] = extent(values);
  const apart = 0.02 * Math.max(Math.abs(low), Math.abs(high)) || 1;
  const more = Math.max(0, apart - (high - low)) / 2;
  return [low - more, high + more];
}

/** How an axis writes its numbers: all of them with exponents or none, unless it spans decades. */
function formatOf([low, high]: readonly [number, number], log: boolean): (value: number) => string {
  const size = Math.max(Math.abs(low), Math.abs(high));
  const isFar = !log && (size < 0.01 || size >= 1e5);
  return (value) => {
    if (isFar && value !== 0) return exponentText(value);
    const text = numberText(value);
    return text.includes(".") && !text.includes("e") ? String(Number(text)) : text;
  };
}

/** A step as an axis has room for it: `250`, `40k`. */
function stepText(step: number): string {
  if (step >= 1e6) return `${Number((step / 1e6).toPrecision(4))}M`;
  if (step >= 1e4) return `${Number((step / 1e3).toPrecision(4))}k`;
  return String(step);
}
