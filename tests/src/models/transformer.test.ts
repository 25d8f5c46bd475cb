import { mlp } from "../../../src/models/transformer.ts";
import { at, checkOp, fill, type Values } from "../../check_op.ts";

/** Abramowitz and Stegun's series 7.1.5, to double precision where |x| is small. */
function erf(x: number): number {
  let [term, total] = [x, x];
  for (let n = 1; n < 200; n++) {
    term *= -x * x / n;
    total += term / (2 * n + 1);
  }
  return 2 / Math.sqrt(Math.PI) * total;
}

const gelu = (x: number) => Math.abs(x) > 5 ? Math.max(0, x) : x * (1 + erf(x / Math.SQRT2)) / 2;

function mlpReference(x: Values, w1: Values, b1: Values, w2: Values, b2: Values): Values {
  const [hidden, inputs] = w1.shape;
  return fill(x.shape.with(-1, w2.shape[0]), (...index) => {
    const o = index.pop()!;
    let total = b2.data[o];
    for (let h = 0; h < hidden; h++) {
      let before = b1.data[h];
      for (let i = 0; i < inputs; i++) before += at(x, ...index, i) * at(w1, h, i);
      total += gelu(before) * at(w2, o, h);
    }
    return total;
  });
}

Deno.test("mlp() in any number of parts matches its float64 reference and gradient", async (t) => {
  const cases: [title: string, x: number[], mostBytes: number | undefined][] = [
    ["whole", [2, 7, 4], undefined],
    ["in two parts of 3 and 4 tokens", [2, 7, 4], 4 * 4 * 8],
    ["a token at a time", [1, 3, 4], 1],
    ["a map by its rows", [2, 5, 3, 4], 2 * 3 * 4 * 8],
  ];
  for (const [title, x, mostBytes] of cases) {
    await t.step(title, () =>
      checkOp(
        (x, w1, b1, w2, b2) => {
          const fc = { fc1: { weight: w1, bias: b1 }, fc2: { weight: w2, bias: b2 } };
          return mlp(x, fc, mostBytes);
        },
        mlpReference,
        [x, [8, 4], [8], [6, 8], [6]],
      ));
  }
});
