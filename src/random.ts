/**
 * Random numbers as a pure function of a key: Threefry-2x32 with 20 rounds (Salmon et al., Parallel
 * random numbers: as easy as 1, 2, 3, SC 2011), the generator of Random123 and JAX.
 *
 * A key never changes and using it twice gives the same numbers, so draw from each key once and
 * derive others with {@linkcode fold} or {@linkcode split}.
 */

/** Two u32 words. */
export type Key = readonly [number, number];

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];
const PARITY = 0x1bd11bda;

// First word of the counter. Folded data stay below 2^21 there, so a key's folds, splits and
// draws never meet.
const SPLIT = 0xffffffff;
const DRAW = 0xfffffffe;

/**
 * Enciphers one counter: the Threefry-2x32-20 bijection itself.
 *
 * @returns Two u32 words.
 */
export function threefry2x32(key: Key, counter: Key): Key {
  const schedule = [key[0], key[1], PARITY ^ key[0] ^ key[1]];
  let x = (counter[0] + schedule[0]) | 0;
  let y = (counter[1] + schedule[1]) | 0;
  for (let round = 0; round < 20; round++) {
    const rotation = ROTATIONS[round % 8];
    x = (x + y) | 0;
    y = ((y << rotation) | (y >>> (32 - rotation))) ^ x;
    if (round % 4 === 3) {
      const injection = (round + 1) / 4;
      x = (x + schedule[injection % 3]) | 0;
      y = (y + schedule[(injection + 1) % 3] + injection) | 0;
    }
  }
  return [x >>> 0, y >>> 0];
}

/**
 * Makes a key of a seed.
 *
 * @throws {RangeError} If `seed` is not an integer in [0, 2^53).
 */
export function key(seed: number): Key {
  return words(seed, "seed");
}

/**
 * Derives a key from data, one after the other: `fold(key, a, b)` is `fold(fold(key, a), b)`.
 *
 * @param data Integers in [0, 2^53), such as an epoch or the index of a sample.
 * @throws {RangeError} If a datum is none of these.
 */
export function fold(key: Key, ...data: number[]): Key {
  return data.reduce((folded, datum) => threefry2x32(folded, words(datum, "datum")), key);
}

/** Derives `n` independent keys; the first ones do not depend on `n`. */
export function split(key: Key, n: number): Key[] {
  return Array.from({ length: n }, (_, i) => threefry2x32(key, [SPLIT, i]));
}

/** Draws `count` uniform numbers in [0, 1), multiples of 2^-24; the first do not depend on `count`. */
export function uniform(key: Key, count: number): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry2x32(key, [DRAW, i / 2]);
    numbers[i] = (a >>> 8) / 2 ** 24;
    if (i + 1 < count) numbers[i + 1] = (b >>> 8) / 2 ** 24;
  }
  return numbers;
}

/** Draws `count` standard normal numbers, by the transform of Box and Muller. */
export function normal(key: Key, count: number): Float32Array<ArrayBuffer> {
  const numbers = new Float32Array(count);
  for (let i = 0; i < count; i += 2) {
    const [a, b] = threefry2x32(key, [DRAW, i / 2]);
    const radius = Math.sqrt(-2 * Math.log((a + 0.5) / 2 ** 32)); // never log(0)
    const angle = 2 * Math.PI * b / 2 ** 32;
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < count) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}

/** Shuffles 0 … n - 1, by Fisher and Yates. */
export function permutation(key: Key, n: number): Uint32Array<ArrayBuffer> {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  for (let i = n - 1; i > 0; i--) {
    const [a, b] = threefry2x32(key, [DRAW, i]);
    const unit = (a * 2 ** 21 + (b >>> 11)) / 2 ** 53; // 53 bits: no visible bias at any n
    const j = Math.floor(unit * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** High and low word of an integer in [0, 2^53). */
function words(value: number, name: string): Key {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`Cannot make a key: ${name} is ${value}, not an integer in [0, 2^53)`);
  }
  return [Math.floor(value / 2 ** 32), value >>> 0];
}
