/**
 * Parameters from a file of weights of another model, or of another image size.
 *
 * @module
 */
import { CheckpointError } from "./checkpoint.ts";
import { type Grid, interpolatePositions } from "./pos_embed.ts";
import { sameShape, type Shape, sizeOf, type Tensor, tensor } from "./tensor.ts";
import { entries, map, type Tree } from "./tree.ts";
import type { WeightFile } from "./weights.ts";

/** What of a file a model takes. */
export interface Match<T extends Tree<Tensor>> {
  /** Parameters with the file's values; what it lacks is as it was. */
  readonly params: T;
  /** Names of the parameters that the file gave, reshaped ones too. */
  readonly loaded: readonly string[];
  /** Parameters that it does not have. */
  readonly missing: readonly Named[];
  /** Tensors that the model does not have. */
  readonly unexpected: readonly Named[];
  /** Those that were brought to the parameter's shape. */
  readonly reshaped: readonly Reshaped[];
  /** Those that no reshaping fits: the parameter is as it was. */
  readonly mismatched: readonly Reshaped[];
}

export interface Named {
  readonly name: string;
  readonly shape: Shape;
}

export interface Reshaped {
  readonly name: string;
  /** Shape in the file. */
  readonly from: Shape;
  readonly to: Shape;
  /** Whether position embeddings were interpolated. */
  readonly isInterpolated?: boolean;
  /** Whether they were left out of the file: the parameter is as it was. */
  readonly isOwn?: boolean;
}

export interface MatchOptions {
  /** Tokens of the model, where they are no square. */
  readonly grid?: Grid;
  /** Tokens of the file's model, where they are no square. */
  readonly fileGrid?: Grid;
  /**
   * Whether positions of another number of tokens stay as the model has them, as fixed tables over one
   * index do, which no interpolation over rows and columns fits.
   */
  readonly ownPositions?: boolean;
}

const POSITIONS = ["pos_embed", "decoder_pos_embed"];

/**
 * Compares a file with parameters and reads what fits.
 *
 * Position embeddings of another grid are interpolated, behind a class token if there is a
 * `cls_token`. Other tensors are reshaped where they have as many values, and as many rows.
 *
 * @param like Parameters of the model, for their names and shapes, and for what the file lacks.
 * @throws {CheckpointError} If positions are of a grid that is neither square nor given.
 */
export async function matchWeights<T extends Tree<Tensor>>(
  { tensors }: Pick<WeightFile, "tensors">,
  like: T,
  options: MatchOptions = {},
): Promise<Match<T>> {
  const wanted = new Map(entries<Tensor>(like));
  const found = new Map<string, Tensor>();
  const [missing, reshaped, mismatched]: [Named[], Reshaped[], Reshaped[]] = [[], [], []];
  const extra = Number(wanted.has("cls_token"));
  for (const [name, { shape }] of wanted) {
    const weight = tensors.get(name);
    if (!weight) {
      missing.push({ name, shape });
      continue;
    }
    const change = { name, from: weight.shape, to: shape };
    const isTable = POSITIONS.includes(name);
    const grids = isTable && !options.ownPositions && gridsOf(change, extra, options);
    if (isTable && options.ownPositions && hasOtherLength(change)) {
      reshaped.push({ ...change, isOwn: true });
    } else if (grids) {
      const moved = interpolatePositions(await weight.values(), ...grids, extra);
      found.set(name, tensor(moved, shape));
      reshaped.push({ ...change, isInterpolated: true });
    } else if (sameShape(weight.shape, shape) || hasSameRows(weight.shape, shape)) {
      found.set(name, tensor(await weight.values(), shape));
      if (!sameShape(weight.shape, shape)) reshaped.push(change);
    } else {
      mismatched.push(change);
    }
  }
  const unexpected = [...tensors].filter(([name]) => !wanted.has(name))
    .map(([name, { shape }]) => ({ name, shape }));
  const params = map<Tensor, Tensor>(like, (own, path) => found.get(path) ?? own);
  return { params, loaded: [...found.keys()], missing, unexpected, reshaped, mismatched };
}

/** The grids to interpolate between; `undefined` if they are the same. */
function gridsOf(
  { name, from, to }: Reshaped,
  extra: number,
  { grid, fileGrid }: MatchOptions,
): [Grid, Grid] | undefined {
  const side = ([tokens]: Shape) => Math.sqrt(tokens - extra);
  const [old, now] = [from.slice(-2), to.slice(-2)];
  if (old[1] !== now[1] || old.length < 2) return undefined; // of another width
  const isWhole = Number.isInteger(side(old));
  // As many tokens are taken for the same grid, unless it is known to be another.
  if (old[0] === now[0] && !(grid && (fileGrid || isWhole))) return undefined;
  const source = fileGrid ?? [side(old), side(old)];
  const target = grid ?? [side(now), side(now)];
  for (const [[tokens], [rows, columns]] of [[old, source], [now, target]] as const) {
    if (Number.isInteger(rows) && rows * columns === tokens - extra) continue;
    throw new CheckpointError(
      `${name} has ${tokens - extra} positions, which are no grid of ${
        Number.isInteger(rows) ? `${rows} × ${columns}` : "equal sides"
      }`,
    );
  }
  return sameShape(source, target) ? undefined : [source, target];
}

/** Whether a table has another number of rows. */
function hasOtherLength({ from, to }: Reshaped): boolean {
  return from.length === to.length && from.at(-1) === to.at(-1) && !sameShape(from, to);
}

/** Whether values may be taken as they lie: a transposed matrix has as many of them too. */
function hasSameRows(from: Shape, to: Shape): boolean {
  const rows = (shape: Shape) => shape.find((length) => length !== 1) ?? 1;
  return sizeOf(from) === sizeOf(to) && rows(from) === rows(to);
}

/** A match in a few lines: what was loaded, and by groups of names what was not. */
export function describeMatch(match: Match<Tree<Tensor>>): string {
  const { loaded, missing, unexpected, reshaped, mismatched } = match;
  const interpolated = reshaped.filter(({ isInterpolated }) => isInterpolated);
  const own = reshaped.filter(({ isOwn }) => isOwn);
  const others = reshaped.filter(({ isInterpolated, isOwn }) => !isInterpolated && !isOwn);
  const total = loaded.length + missing.length + mismatched.length + own.length;
  const lines = [`${loaded.length} of ${total} parameters are loaded`];
  if (interpolated.length > 0) lines.push(`Interpolated: ${interpolated.map(change).join(", ")}`);
  if (own.length > 0) lines.push(`Computed anew: ${own.map(change).join(", ")}`);
  if (others.length > 0) lines.push(`Reshaped: ${grouped(others)}`);
  if (mismatched.length > 0) {
    const [first, ...more] = mismatched.map(change);
    lines.push(`Of another shape: ${first}${more.length > 0 ? ` and ${more.length} more` : ""}`);
  }
  if (missing.length > 0) lines.push(`Not in the file: ${grouped(missing)}`);
  if (unexpected.length > 0) lines.push(`Left out of the file: ${grouped(unexpected)}`);
  return lines.join("\n");
}

function change({ name, from, to }: Reshaped): string {
  return `${name} [${from}] → [${to}]`;
}

/** `decoder_blocks.*: 96, mask_token`: names by their first part, 12 groups at most. */
function grouped(list: readonly { readonly name: string }[]): string {
  const groups = Map.groupBy(list, ({ name }) => name.split(".")[0]);
  const texts = [...groups].map(([group, { length, 0: only }]) =>
    length === 1 ? only.name : `${group}.*: ${length}`
  );
  const rest = texts.length - 12;
  return rest > 0 ? `${texts.slice(0, 12).join(", ")} and ${rest} more` : texts.join(", ");
}
