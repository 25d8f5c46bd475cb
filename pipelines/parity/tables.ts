/**
 * Golden checks that need no device: learning-rate schedules and position tables.
 *
 * Sizes and settings come from the file's own names and metadata, so files with other seeds and
 * sizes are checked too. Relative error is ‖a − b‖₂ / ‖b‖₂ over a tensor.
 */
import { interpolatePositions, sincos2d, sinusoid } from "../../src/pos_embed.ts";
import type { Safetensors } from "../../src/safetensors.ts";
import { scaledRate, warmupCosine } from "../../src/schedule.ts";
import { check, relativeError, type TensorCheck, unknown } from "./check.ts";
import { floats, json, tensorOf } from "./fixture.ts";

const EXACT = 1e-12; // float64 against float64
const RATE = 1e-6; // float64 against float32
const RATE_FLOOR = 1e-9; // below it a rate counts as zero: the cosine's end cancels
const TABLE = 2e-6;
const SUM = 1e-5;

/**
 * Compares {@linkcode warmupCosine} and {@linkcode scaledRate} with a `lr_schedule` file: the
 * float64 values and scaling examples of its metadata, and each float32 tensor.
 *
 * @throws {RangeError} If the file lacks a tensor or metadata that the case defines.
 */
export function* checkLrSchedule(file: Safetensors): Generator<TensorCheck> {
  const configs = json<RateConfig[]>(file, "cfgs");
  const values = json<Record<string, number[]>>(file, "values");
  const groupScale = json<number>(file, "lr_scale");
  for (const [name, { data }] of file.tensors) {
    const match = /^cfg(\d+)\.out\.(lr|lr_group_scaled)$/.exec(name);
    if (!match) {
      if (name.includes(".out")) yield unknown(name);
      continue;
    }
    const { lr, min_lr, warmup_epochs, epochs } = configs[Number(match[1])];
    const schedule = { lr, minLr: min_lr, warmupEpochs: warmup_epochs, epochs };
    const scale = match[2] === "lr" ? 1 : groupScale;
    const rates = values[`cfg${match[1]}.epoch`]
      .map((epoch) => warmupCosine(schedule, epoch) * scale);
    yield check(`${name} (float64)`, relativeError(rates, values[name]), EXACT);
    yield check(name, rateError(rates, data as Float32Array), RATE);
  }
  const examples = json<BatchExample[]>(file, "blr_examples");
  const scaled = examples.map((e) => scaledRate(e.blr, e.batch * e.accum * e.world));
  yield check("blr_examples", relativeError(scaled, examples.map(({ lr }) => lr)), EXACT);
}

/**
 * Compares {@linkcode sincos2d}, {@linkcode sinusoid} and {@linkcode interpolatePositions} with the
 * `sincos2d.*`, `sinusoid.*` and `interp.*` tensors of a `pos_embed` file; its other groups yield
 * nothing.
 *
 * @param prefix Only tensors whose names begin so.
 * @throws {RangeError} If the file lacks a tensor that the case defines.
 */
export function* checkPosEmbed(file: Safetensors, prefix = ""): Generator<TensorCheck> {
  for (const [name, { data }] of file.tensors) {
    if (!name.startsWith(prefix) || !/^(sin|interp).*\.out/.test(name)) continue;
    const expected = data as Float32Array;
    const [, whole, dim, grid, cls] = /^(sincos2d\.d(\d+)_g(\d+))_cls([01])\.out$/.exec(name) ?? [];
    const [, base, bigDim, bigGrid, part] =
      /^(sincos2d\.d(\d+)_g(\d+))\.out_(rows|colsum|rowsum)$/.exec(name) ?? [];
    const [, change] = /^interp\.(\w+)\.out$/.exec(name) ?? [];
    const [, n, width] = /^sinusoid\.n(\d+)_d(\d+)\.out$/.exec(name) ?? [];
    if (whole) {
      const table = sincos2d(Number(dim), Number(grid), Number(grid), cls === "1");
      yield check(name, relativeError(table, expected), TABLE);
    } else if (base) {
      const table = sincos2d(Number(bigDim), Number(bigGrid), Number(bigGrid), false);
      const rows = splitRows(table, Number(bigDim));
      if (part === "rows") {
        const picked = Array.from(
          tensorOf(file, `${base}.rows`).data as Int32Array,
          (row) => rows[row],
        );
        yield check(name, relativeError(picked.flatMap((row) => [...row]), expected), TABLE);
      } else if (part === "rowsum") {
        yield check(name, relativeError(rows.map(sum), expected), SUM);
      } else {
        const columns = Array.from(rows[0], (_, column) => sum(rows.map((row) => row[column])));
        yield check(name, relativeError(columns, expected), SUM);
      }
    } else if (change) {
      const { orig, new: side, extra_tokens } = json<Interpolation>(file, `interp_${change}`);
      const table = floats(file, `interp.${change}.in`);
      const moved = interpolatePositions(table, [orig, orig], [side, side], extra_tokens);
      yield check(name, relativeError(moved, expected), TABLE);
    } else if (n) {
      yield check(name, relativeError(sinusoid(Number(n), Number(width)), expected), TABLE);
    } else {
      yield unknown(name);
    }
  }
}

interface RateConfig {
  lr: number;
  min_lr: number;
  warmup_epochs: number;
  epochs: number;
}

interface BatchExample {
  blr: number;
  batch: number;
  accum: number;
  world: number;
  lr: number;
}

interface Interpolation {
  /** Sides of the square grids. */
  orig: number;
  new: number;
  extra_tokens: number;
}

/** Largest relative error of one rate, where it exceeds {@linkcode RATE_FLOOR}. */
function rateError(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length) return Infinity;
  const errors = Array.from(expected, (rate, i) => {
    const difference = Math.abs(actual[i] - rate);
    return difference <= RATE_FLOOR ? 0 : difference / Math.abs(rate);
  });
  return Math.max(0, ...errors);
}

function splitRows(table: Float32Array, dim: number): Float32Array[] {
  return Array.from(
    { length: table.length / dim },
    (_, row) => table.subarray(row * dim, (row + 1) * dim),
  );
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i];
  return total;
}
