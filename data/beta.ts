import { fold, type Key, normal, split, uniform } from "../src/random.ts";

/** Draws from Beta(α, α), as X / (X + Y) with X and Y from Gamma(α). */
export function beta(key: Key, alpha: number): number {
  const [x, y] = split(key, 2).map((key) => logGamma(key, alpha));
  return 1 / (1 + Math.exp(y - x));
}

/**
 * Logarithm of a draw from Gamma(α), by Marsaglia and Tsang (ACM TOMS 26, 2000); a logarithm, since
 * draws for small α underflow.
 */
function logGamma(key: Key, alpha: number): number {
  if (alpha < 1) {
    const [gammaKey, powerKey] = split(key, 2);
    return logGamma(gammaKey, alpha + 1) + Math.log(1 - uniform(powerKey, 1)[0]) / alpha;
  }
  const d = alpha - 1 / 3;
  for (let tries = 0;; tries++) { // 1 in 20 fails at most
    const [normalKey, uniformKey] = split(fold(key, tries), 2);
    const x = normal(normalKey, 1)[0];
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    const u = 1 - uniform(uniformKey, 1)[0]; // never log(0)
    if (v > 0 && Math.log(u) < x * x / 2 + d * (1 - v + Math.log(v))) return Math.log(d * v);
  }
}
