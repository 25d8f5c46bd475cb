/**
 * Runs as the strings of COCO's API: from the fourth on each as its difference to the one two before;
 * five bits a character, the lowest first, from "0" on; bit 5 says that more follow.
 *
 * @module
 */

/** Characters of a number at most, so that it is one of 30 bits. */
const LONGEST = 6;
/** Of an image whose runs a string can hold. */
export const MOST_PIXELS = 2 ** (5 * LONGEST - 1) - 1;

/** Encodes counts. */
export function runString(counts: ArrayLike<number>): string {
  const codes: number[] = [];
  for (let i = 0; i < counts.length; i++) {
    let rest = i > 2 ? counts[i] - counts[i - 2] : counts[i];
    for (let more = true; more;) {
      const bits = rest & 31;
      rest >>= 5;
      more = rest !== (bits & 16 ? -1 : 0); // what follows is all sign
      codes.push(48 + bits + (more ? 32 : 0));
    }
  }
  return text(codes);
}

const decoder = new TextDecoder();

function text(codes: readonly number[]): string {
  return decoder.decode(Uint8Array.from(codes));
}

/**
 * Decodes a string.
 *
 * @throws {RangeError} As {@linkcode decodeRuns}.
 */
export function runsOf(string: string): Uint32Array {
  const counts = new Uint32Array(string.length);
  return counts.slice(0, decodeRuns(string, counts, 0));
}

/**
 * Decodes a string to where there is room.
 *
 * @param counts Gets the counts from index `at` on; a count takes a character or more.
 * @returns The index after the last of them.
 * @throws {RangeError} If it is no such string; the message ends a sentence that names it.
 */
export function decodeRuns(string: string, counts: Uint32Array, at: number): number {
  const { length } = string;
  let next = at;
  for (let i = 0; i < length;) {
    const first = i;
    let value = 0;
    for (let shift = 0;; shift += 5) {
      const code = string.charCodeAt(i++) - 48; // NaN beyond the end
      if (!(code >= 0 && code < 64) || i - first > LONGEST) {
        throw new RangeError(`has a broken string of runs at character ${first}`);
      }
      value |= (code & 31) << shift;
      if (code & 32) continue;
      if (code & 16) value |= -1 << (shift + 5);
      break;
    }
    if (next > at + 2) value += counts[next - 2];
    if (value < 0) throw new RangeError(`has a run of negative length at character ${first}`);
    counts[next++] = value;
  }
  return next;
}
