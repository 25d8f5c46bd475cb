/**
 * Trains a model of your own on the bundled photos: a small convolutional autoencoder.
 *
 *     deno run -A examples/custom_model.ts
 */
import {
  adamW,
  add,
  type Affine,
  depthwise,
  gelu,
  initConvolution,
  initializer,
  initLinear,
  linear,
  loadBatches,
  mean,
  openDevice,
  patchify,
  prepare,
  random,
  square,
  stage,
  sub,
  type Tensor,
  tensor,
  trainingImages,
} from "@mcmae/mcmae";

type Params = { encoder: Affine; mix: Affine; decoder: Affine };
type Batch = { images: Tensor };

const draw = initializer(random.key(0));
const params: Params = {
  encoder: initLinear(draw, 8 * 8 * 3, 48), // a bottleneck of 4 to 1
  mix: initConvolution(draw, 1, 48, 3),
  decoder: initLinear(draw, 48, 8 * 8 * 3),
};

const reconstruct = stage("reconstruct", ({ params, batch }: { params: Params; batch: Batch }) => {
  const patches = patchify(batch.images, 8); // [N, 8, 8, 192]
  const code = linear(patches, params.encoder.weight, params.encoder.bias);
  const mixed = add(code, gelu(depthwise(code, params.mix.weight, params.mix.bias)));
  return mean(square(sub(linear(mixed, params.decoder.weight, params.decoder.bias), patches)));
});

const photos = { source: "photos", path: null, crop: { scale: [0.2, 1], flip: true } } as const;
const normal = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], workers: 1, maxBad: 0 };
const source = await trainingImages({ ...photos, ...normal });
const crop = { ...photos.crop, height: 64, width: 64 };

async function* batches(start: number): AsyncGenerator<Batch, void, void> {
  const options = { source, crop, ...normal, seed: 0, batch: 16, start, channels: 3 } as const;
  for await (const { images } of loadBatches(options)) {
    yield { images: tensor(images, [16, 64, 64, 3]) };
  }
}

const task = {
  params,
  loss: reconstruct,
  optimizer: adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.05 }),
  clipNorm: 1,
  ...{ batches, microBatch: 16, accumulate: 1, rate: () => 3e-3, start: 0, steps: 60 },
};
const trainer = await prepare(await openDevice(), task);
for await (const metrics of trainer.run()) {
  for (const { step, loss } of metrics) if (step % 10 === 0) console.log(step, loss.toFixed(4));
}
