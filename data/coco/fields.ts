/** Fields of a JSON file: what they must be, and the sentence where they are not. */
import { DataError } from "../dataset.ts";
import type { Box } from "./box.ts";

/** The error of a field, named as in `annotations[3].bbox`. */
export function wrongField(path: string, field: string, wanted: string, found: unknown): DataError {
  const verdict = found === undefined ? "is missing" : `must be ${wanted}, got ${show(found)}`;
  return new DataError(`Cannot use ${path}: ${field} ${verdict}`);
}

const LONGEST = 40;

function show(value: unknown): string {
  const text = typeof value === "object" ? JSON.stringify(value) : String(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** What {@linkcode isBox} takes. */
export const A_BOX = "[x, y, width, height] of finite numbers, the sides 0 or more";

/** Whether a value is a box; it may be empty, or lie outside the image. */
export function isBox(value: unknown): value is Box {
  return Array.isArray(value) && value.length === 4 && value.every(Number.isFinite) &&
    value[2] >= 0 && value[3] >= 0;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Index of each id of a list, `name[i].id`. @throws {DataError} If one is no integer, or twice. */
export class Ids {
  readonly #indices = new Map<unknown, number>();

  constructor(readonly path: string, readonly name: string) {}

  add(id: unknown, index: number): void {
    if (!Number.isSafeInteger(id)) {
      throw wrongField(this.path, `${this.name}[${index}].id`, "an integer", id);
    }
    const first = this.#indices.get(id);
    if (first !== undefined) {
      throw new DataError(
        `Cannot use ${this.path}: ${this.name}[${first}] and [${index}] have the same id ${id}`,
      );
    }
    this.#indices.set(id, index);
  }

  /** @returns Undefined if there is none. */
  get(id: unknown): number | undefined {
    return this.#indices.get(id);
  }
}
