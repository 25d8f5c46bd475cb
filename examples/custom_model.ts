/**
 * Trains a model of your own on the bundled photos: a small convolutional autoencoder.
 *
 *     deno task example
 */
import * as m from "@mcmae/mcmae";

type Params = { encoder: m.Affine; mix: m.Affine; decoder: m.Affine };
type Batch = { images: m.Tensor };

const draw = m.initializer(m.random.key(0));
const params: Params = {
  encoder: m.initLinear(draw, 8 * 8 * 3, 48), // a bottleneck of 4 to 1
  mix: m.initConvolution(draw, 1, 48, 3),
  decoder: m.initLinear(draw, 48, 8 * 8 * 3),
};

const loss = m.stage("loss", ({ params, batch }: { params: Params; batch: Batch }) => {
  const { encoder, mix, decoder } = params;
  const patches = m.patchify(batch.images, 8); // [N, 8, 8, 192]
  const code = m.linear(patches, encoder.weight, encoder.bias);
  const mixed = m.add(code, m.gelu(m.depthwise(code, mix.weight, mix.bias)));
  const restored = m.linear(mixed, decoder.weight, decoder.bias);
  return m.mean(m.square(m.sub(restored, patches)));
});

const normal = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], workers: 1, maxBad: 0 };
const crop = { scale: [0.2, 1], flip: true, height: 64, width: 64 } as const;
const { train: source } = await m.openImages(m.findRecipe("quickstart").data);

async function* batches(start: number): AsyncGenerator<Batch, void, void> {
  const options = { source, crop, ...normal, seed: 0, batch: 16, start, channels: 3 } as const;
  for await (const { images } of m.loadBatches(options)) {
    yield { images: m.tensor(images, [16, 64, 64, 3]) };
  }
}

const trainer = await m.prepare(await m.openDevice(), {
  params,
  loss,
  optimizer: m.adamW({ betas: [0.9, 0.95], eps: 1e-8, weightDecay: 0.05 }),
  clipNorm: 1,
  ...{ batches, microBatch: 16, accumulate: 1, rate: () => 3e-3, steps: 60 },
});
for await (const metrics of trainer.run()) {
  for (const { step, loss } of metrics) if (step % 10 === 0) console.log(step, loss.toFixed(4));
}
