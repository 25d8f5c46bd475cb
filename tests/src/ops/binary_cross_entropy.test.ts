import { binaryCrossEntropy } from "../../../src/ops/binary_cross_entropy.ts";
import { readAll } from "../../../src/plan/read.ts";
import { tensor } from "../../../src/tensor.ts";
import {
  checkOp,
  close,
  elementwiseReference,
  fill,
  sharedDevice,
  toTensor,
} from "../../check_op.ts";

Deno.test("binaryCrossEntropy() matches its float64 reference and gradient", () => {
  const targets = fill([3, 1, 5], (i, _, j) => (i + j) % 3 / 2);
  const reference = elementwiseReference((z, t) =>
    -t * Math.log(1 / (1 + Math.exp(-z))) - (1 - t) * Math.log(1 / (1 + Math.exp(z)))
  );
  return checkOp(
    (z) => binaryCrossEntropy(z, toTensor(targets)),
    (z) => reference(z, targets),
    [[3, 4, 5]],
    { draw: (z) => 4 * z },
  );
});

Deno.test("binaryCrossEntropy() is finite for logits of any size", async () => {
  const logits = tensor([-200, -200, 200, 200]);
  const [losses] = await readAll(await sharedDevice(), [
    binaryCrossEntropy(logits, tensor([0, 1, 0, 1])),
  ]);
  close(losses, [0, 200, 200, 0], 1e-6);
});
