import assert from "node:assert/strict";
import { parity } from "../pipelines/parity.ts";
import { UsageError } from "../pipelines/usage.ts";
import { encodeSafetensors, loadSafetensors, type Safetensor } from "../src/safetensors.ts";
import { temporaryFolder } from "./data/temporary_folder.ts";

const GOLDEN = new URL("./golden", import.meta.url).pathname;

/** Runs parity; its exit code and what it said. */
async function run(...args: string[]) {
  const printed: string[] = [];
  const warned: string[] = [];
  const code = await parity(args, {
    print: (line) => printed.push(line),
    warn: (line) => warned.push(line),
  });
  return { code, printed, warned };
}

/** Writes a changed copy of a golden file, also under another name. */
async function change(
  folder: string,
  name: string,
  edit: (tensors: Map<string, Safetensor>) => void,
  as = name,
) {
  const { tensors, metadata } = await loadSafetensors(`${GOLDEN}/${name}.safetensors`);
  edit(tensors);
  const bytes = encodeSafetensors(tensors, metadata);
  await Deno.writeFile(`${folder}/${as}.safetensors`, bytes);
}

/** A change of one value of a tensor. */
function setFirst(name: string, value: (old: number) => number) {
  return (tensors: Map<string, Safetensor>) => {
    const data = tensors.get(name)!.data as Float32Array;
    data[0] = value(data[0]);
  };
}

Deno.test("parity() finds every golden tensor here within its bound", async () => {
  const { code, printed, warned } = await run(GOLDEN, "--json");
  const checks = printed.map((line) => JSON.parse(line));
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  assert.equal(code, 0);
  assert.match(warned.at(-1)!, /^All \d+ tensors are within their bounds$/);

  const names = new Set(checks.map(({ case: name, tensor }) => `${name}/${tensor}`));
  assert.equal(names.size, checks.length, "no tensor is printed twice");
  for (
    const file of [
      ...["pretrain_mcmae_a", "block_units", "pretrain_steps", "mae_vit"],
      ...["seg_backbone", "seg_slide", "seg_upernet"],
    ]
  ) {
    const { tensors } = await loadSafetensors(`${GOLDEN}/${file}.safetensors`);
    const expected = tensors.keys().filter((name) =>
      /^(out|grad)\.|\.(out\d?|grad_in|norm)$/.test(name)
    );
    for (const name of expected) {
      assert.ok(
        names.has(`${file}/${name.replace(/^out\./, "")}`),
        `${file}/${name} is not compared`,
      );
    }
  }
  for (const name of ["E1", "latent", "loss", "grad.blocks1.0.attn.weight"]) {
    assert.ok(names.has(`pretrain_mcmae_a/visible:${name}`), `visible:${name} is not compared`);
  }
});

Deno.test("parity() reports a changed value, in a case that it knows by its metadata", async () => {
  await using folder = await temporaryFolder();
  await change(folder.path, "mae_vit", setFirst("out.latent", (x) => x + 1e-3), "another");
  const { code, printed } = await run(folder.path, "--only", "another/latent,another/loss");
  assert.equal(code, 1);
  const [latent, loss] = printed;
  assert.match(latent, /^another +latent .* OUT OF BOUNDS$/);
  assert.match(loss, /^another +loss .* ok$/);
  assert.equal(printed.at(-1), "1 of 2 tensors are out of bounds");
});

Deno.test("parity() fails where a value is not finite or a tensor is not computed", async () => {
  await using folder = await temporaryFolder();
  await change(folder.path, "lr_schedule", (tensors) => {
    setFirst("cfg0.out.lr", () => NaN)(tensors);
    tensors.set("cfg0.out.other", tensors.get("cfg0.epoch")!);
    tensors.set("grad.other", tensors.get("cfg0.epoch")!);
  });
  const { code, printed } = await run(folder.path, "--json");
  assert.equal(code, 1);
  const wrong = printed.map((line) => JSON.parse(line)).filter(({ ok }) => !ok);
  assert.deepEqual(
    new Set(wrong.map(({ tensor }) => tensor)),
    new Set(["cfg0.out.lr", "cfg0.out.other", "grad.other"]),
  );
});

Deno.test("parity() names what is missing, broken or unknown, and checks the rest", async () => {
  await using folder = await temporaryFolder();
  await change(folder.path, "lr_schedule", () => {});
  await change(
    folder.path,
    "mae_vit",
    (tensors) => tensors.delete("param.patch_embed.proj.weight"),
  );
  const bytes = await Deno.readFile(`${GOLDEN}/pos_embed.safetensors`);
  await Deno.writeFile(`${folder.path}/pos_embed.safetensors`, bytes.subarray(0, 5000));
  await Deno.writeFile(`${folder.path}/strange.safetensors`, encodeSafetensors([]));
  const only = "lr_shedule,lr_schedule/cfg0.out,lr_schedule/nothing,mae_vit,pos_embed,strange";
  const { code, printed, warned } = await run(folder.path, "--only", only);
  assert.equal(code, 1);
  assert.ok(printed.some((line) => /^lr_schedule +cfg0\.out\.lr .* ok$/.test(line)));
  const said = warned.map((line) => line.replaceAll(folder.path, "DIR"));
  assert.deepEqual(said.slice(0, 3), [
    "Cannot check lr_shedule: DIR has no lr_shedule.safetensors: did you mean lr_schedule?",
    "Cannot check lr_schedule: no tensor begins with nothing",
    "Cannot check mae_vit: Tensor param.patch_embed.proj.weight is missing",
  ]);
  assert.match(
    said[3],
    /^Cannot check pos_embed: Cannot read DIR\/pos_embed.safetensors: .* bytes/,
  );
  assert.equal(said[4], "Cannot check strange: it is not implemented");
  assert.equal(printed.at(-1), "5 of 5 cases could not be checked");
});

Deno.test("parity() needs a folder with cases", async () => {
  await using folder = await temporaryFolder();
  const nothing = await run(folder.path);
  assert.equal(nothing.code, 1);
  assert.equal(
    nothing.printed.at(-1),
    `Found no golden case in ${folder.path} that is implemented here`,
  );
  const missing = await run(`${folder.path}/none`);
  assert.equal(missing.code, 1);
  assert.deepEqual(missing.warned, [`Cannot read ${folder.path}/none: No such folder`]);
});

Deno.test("parity() explains itself", async () => {
  const { code, printed } = await run("--help");
  assert.equal(code, 0);
  assert.match(printed[0], /--only .*prefix/);
});

Deno.test("parity() refuses arguments that it does not know", async () => {
  for (const args of [["--fast"], ["a", "b"], ["--only", "a,,b"], ["--only"]]) {
    await assert.rejects(run(...args), UsageError);
  }
});
