import assert from "node:assert/strict";
import sharp from "sharp";
import { html, table } from "../../pipelines/report/html.ts";
import { renderReport } from "../../pipelines/report/page.ts";
import { evenly } from "../../pipelines/report/panels.ts";
import { fieldsOf } from "../../pipelines/report/recipe_table.ts";
import { readRun, type RunRecord } from "../../pipelines/report/record.ts";
import { writeReport } from "../../pipelines/report/report.ts";
import { lastMean, smooth, thin } from "../../pipelines/report/series.ts";
import { countText, numberText, summarise } from "../../pipelines/report/summary.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { checkPage, openBrowser } from "./browser.ts";
import { DIVERGING, writeRun } from "./made_up_run.ts";

const CHARTS = ["Loss", "Learning rate", "Gradient norm", "Throughput", "Waiting for data"];

Deno.test("writeReport() makes a page that is whole on every screen", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, {
    more: (step) => step % 30 === 0 ? { accuracy: step / 300 } : {},
  });
  const path = await writeReport(folder.path);
  assert.equal(path, `${folder.path}/report.html`);
  assert.ok((await Deno.stat(path)).size < 500_000);
  await checkPage(path, [...CHARTS, "Accuracy"], 12);
});

Deno.test("writeReport() keeps a run that diverges within its cards", async () => {
  await using folder = await temporaryFolder();
  const run = `${folder.path}/diverging`;
  await writeRun(run, DIVERGING);
  const path = await writeReport(run);
  await checkPage(path, [...CHARTS, "Quite a long name for a metric", "Score"], 12);
  const page = await Deno.readTextFile(path);
  assert.ok(page.includes("7.199e19"));
  // Without the names of folders, which may hold any digits.
  const own = folder.path.split("/").slice(1).reduce(
    (text, name) => text.replaceAll(name, ""),
    page,
  );
  assert.doesNotMatch(own, />[^<]*(\d{7}|,\d{3},\d{3},\d{3}|\de\+)/);
  assert.ok(page.includes('aria-label="Loss by step, in loss, log scale"'));
  await using browser = await openBrowser();
  const { evaluate } = await browser.open(path, { width: 360, scheme: "light" });
  const heights = await evaluate<number[]>(
    `[...document.querySelectorAll("h3")].map((title) => title.getBoundingClientRect().height)`,
  );
  assert.ok(Math.max(...heights) < 60, "a title takes two lines at most");
  const [mark, ...frame] = await evaluate<number[]>(`(() => {
    const [chart] = document.querySelectorAll(".chart svg");
    const { left, right } = chart.getBoundingClientRect();
    const mark = chart.querySelector("[aria-label=rule] line").getBoundingClientRect();
    return [mark.left, left, right];
  })()`);
  assert.ok(frame[0] < mark && mark < frame[1], "the fault after the last step is in the chart");
});

Deno.test("renderReport() says how a run ended", () => {
  const metrics = { steps: [3, 4], columns: new Map([["loss", [2, 1]]]) };
  const stateOf = (ended: RunRecord["details"]["ended"]) => {
    const page = renderReport(record({ metrics, details: { steps: 12, ended }, folder: "runs/a" }));
    return textOf(/<p class="state">.*?<\/p>/s.exec(page)![0]).replace(/\s+/g, " ").trim();
  };
  const reason = "Loss or gradient is not finite at step 5";
  assert.equal(
    stateOf({ how: "failed", reason, step: 4 }),
    "Stopped at step 4 of 12: Loss or gradient is not finite at step 5",
  );
  assert.equal(stateOf({ how: "failed", step: 4 }), "Stopped at step 4 of 12");
  assert.equal(
    stateOf({ how: "interrupted", step: 4 }),
    "Interrupted at step 4 of 12; continue with deno task pretrain --resume --out runs/a",
  );
  assert.equal(stateOf({ how: "finished", step: 12 }), "Finished after 12 steps");
  assert.match(stateOf(undefined), /^At step 4 of 12 when this was written/);
});

Deno.test("renderReport() counts steps that were left out, and tells means from last values", () => {
  const page = (loss: number[]) => {
    const steps = loss.map((_, i) => i + 1);
    const lr = steps.map((step) => step / 100);
    return textOf(renderReport(record({
      metrics: { steps, columns: new Map([["loss", loss], ["lr", lr]]) },
    })));
  };
  const four = page([4, NaN, NaN, 2]);
  assert.ok(four.includes("2 steps left out"));
  assert.match(four, /3\s+mean of last 2/);
  assert.match(four, /0\.04000\s+last/);
  assert.ok(!four.includes("Line: mean"), "nothing is smoothed");
  assert.ok(!page([4, 3]).includes("left out"));
  assert.ok(page(Array(60).fill(1)).includes("Line: mean of 3 steps"));
});

/** What a page says, without its looks. */
function textOf(page: string): string {
  return page.replace(/<style>.*?<\/style>/gs, "").replace(/<[^>]*>/g, "");
}

Deno.test("numberText() takes four digits, with exponents far from 1; countText() takes all", () => {
  assert.deepEqual(
    [71986697528168940000, 99_999, -123456.7, 12_345, 12.3456, 0.42, 3, 0, 0.0015, 1.5e-4, NaN]
      .map(numberText),
    [
      "7.199e19",
      "1e5",
      "-1.235e5",
      "12,350",
      "12.35",
      "0.4200",
      "3",
      "0",
      "0.001500",
      "1.5e-4",
      "–",
    ],
  );
  assert.deepEqual([1_234_567, undefined].map(countText), ["1,234,567", "–"]);
});

Deno.test("writeReport() takes names for text, whatever is in them", async () => {
  await using folder = await temporaryFolder();
  const evil = `<script>alert(1)</script>"'&<img src=x onerror=alert(2)>`;
  const run = `${folder.path}/<script>throw 1<!--`;
  await writeRun(run, {
    steps: 10,
    recipe: { name: evil, source: evil, data: { path: evil }, [evil]: evil },
    details: {
      adapter: evil,
      started: evil,
      warnings: [evil],
      memory: { parts: [{ name: evil, bytes: 1 }] },
      profile: {
        steps: 1,
        milliseconds: 1,
        stages: [{ stage: evil, milliseconds: 1 }],
        ops: [{ op: evil, stage: evil, shape: [1], count: 1, milliseconds: 1 }],
      },
    },
    more: (step) => ({ [evil]: step }),
    bad: `${evil}\t${evil}\n`,
  });
  await Deno.writeTextFile(`${run}/faults.jsonl`, `${JSON.stringify({ step: 2, op: evil })}\n`);
  const path = await writeReport(run);
  await checkPage(path, [...CHARTS, evil], 12);
  await using browser = await openBrowser();
  const page = await browser.open(path, { width: 800, scheme: "light" });
  const text = await page.evaluate<string>("document.body.textContent");
  assert.ok(text.split(evil).length > 15, "it stands there as it is, wherever it was");
  assert.equal(await page.evaluate("document.title"), "<script>throw 1<!--: at step 10 of 288");
});

Deno.test("writeReport() does with a recipe and one step", async () => {
  await using folder = await temporaryFolder();
  await Deno.writeTextFile(`${folder.path}/recipe.json`, "{}");
  await Deno.writeTextFile(
    `${folder.path}/metrics.jsonl`,
    '{"step":1,"loss":1.5,"lr":0,"grad_norm":0}\n{"step":2,"lo',
  );
  await checkPage(await writeReport(folder.path), ["Loss", "Learning rate", "Gradient norm"], 0);
});

Deno.test("writeReport() leaves no other file, and is quick after the first time", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 300, planned: 300 });
  await writeReport(folder.path);
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    await writeReport(folder.path);
    times.push(performance.now() - start);
  }
  // About 60 ms on two cores; other tests may be using them.
  assert.ok(Math.min(...times) < 400, `${times}`);
  const names = (await Array.fromAsync(Deno.readDir(folder.path))).map(({ name }) => name);
  assert.ok(names.includes("report.html") && !names.some((name) => name.endsWith(".tmp")));
});

Deno.test("renderReport() keeps a run of 400 000 steps small", () => {
  const steps = Array.from({ length: 400_000 }, (_, i) => i + 1);
  const columns = new Map(
    ["loss", "val_loss", "lr", "grad_norm", "images_per_s", "data_wait"].map((name) =>
      [name, steps.map((step) => 2 + Math.sin(step))] as const
    ),
  );
  const start = performance.now();
  const page = renderReport(record({ metrics: { steps, columns } }));
  assert.ok(performance.now() - start < 5000);
  assert.ok(page.length < 400_000, `${page.length}`);
});

Deno.test("renderReport() marks what was changed in the recipe, with the value it had", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path);
  const page = renderReport(await readRun(folder.path));
  assert.deepEqual(page.match(/<mark>.*?<\/small>/gs), ["<mark>8</mark> <small>not 16</small>"]);
  assert.ok(page.includes("Changed from quickstart: batch.micro."));
});

Deno.test("renderReport() says how to get times that were not measured", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 3, details: { profile: null } });
  const page = renderReport(await readRun(folder.path));
  assert.ok(page.includes("<code>deno task pretrain --profile N</code>"));
});

Deno.test("renderReport() lists 50 bad files and counts the others", async () => {
  await using folder = await temporaryFolder();
  const bad = Array.from({ length: 1234 }, (_, i) => `${i}.jpg\ttorn\n`).join("");
  await writeRun(folder.path, { steps: 3, bad });
  const page = renderReport(await readRun(folder.path));
  assert.ok(page.includes("1,234 files were left out; the first 50 are listed."));
  assert.equal(page.match(/>\d+\.jpg</g)!.length, 50);
});

function record(parts: Partial<RunRecord>): RunRecord {
  const metrics = { steps: [1], columns: new Map([["loss", [1]]]) };
  const lists = { faults: [], badFiles: [], panels: [] };
  return {
    name: "run",
    folder: "run",
    recipe: {},
    metrics,
    ...lists,
    details: {},
    written: 0,
    read: 0,
    ...parts,
  };
}

Deno.test("summarise() tells a run that is done from one that goes on or has ended early", () => {
  const metrics = { steps: [9, 10], columns: new Map([["loss", [1, 2]]]) };
  const stateOf = (steps: number | undefined, minutes: number) =>
    summarise(record({ metrics, details: { steps }, read: minutes * 60_000 })).state;
  assert.deepEqual([stateOf(10, 0), stateOf(10, 100)], ["finished", "finished"]);
  assert.deepEqual([stateOf(11, 1), stateOf(11, 100)], ["running", "stopped"]);
  assert.deepEqual([stateOf(undefined, 1), stateOf(undefined, 100)], ["running", "stopped"]);
});

Deno.test("summarise() adds up the time of all steps from their throughput", () => {
  const metrics = { steps: [1, 2, 3], columns: new Map([["images_per_s", [8, 4, 8]]]) };
  assert.equal(summarise(record({ metrics, recipe: { batch: { effective: 16 } } })).seconds, 8);
  assert.equal(summarise(record({ metrics })).seconds, NaN);
});

Deno.test("readRun() passes over a torn last line and counts a repeated step as done last", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 1 });
  const lines = [
    '{"step":1,"loss":1}',
    '{"step":2,"loss":2,"val_loss":7}',
    '{"step":3,"loss":null}',
    '{"step":2,"loss":5}',
    '{"step":3,"lo',
  ];
  await Deno.writeTextFile(`${folder.path}/metrics.jsonl`, lines.join("\n"));
  const { metrics } = await readRun(folder.path);
  assert.deepEqual(metrics, { steps: [1, 2], columns: new Map([["loss", [1, 5]]]) });
});

Deno.test("readRun() names the file that is missing or damaged", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const fails = (message: string | RegExp) => assert.rejects(readRun(path), { message });
  await fails(`Cannot read ${path}/recipe.json: there is no such file`);
  await Deno.writeTextFile(`${path}/recipe.json`, "[1]");
  await fails(`Cannot read ${path}/recipe.json: it holds no settings`);
  await Deno.writeTextFile(`${path}/recipe.json`, '{"na');
  await fails(/^Cannot read .*recipe\.json: [^\n]*JSON[^\n]*$/);
  await Deno.writeTextFile(`${path}/recipe.json`, "{}");
  await fails(`Cannot read ${path}/metrics.jsonl: there is no such file`);
  await Deno.writeTextFile(`${path}/metrics.jsonl`, '{"st');
  await fails(`Cannot read ${path}/metrics.jsonl: it holds no step`);
  await Deno.writeTextFile(`${path}/metrics.jsonl`, '{"step":1}\n{"st\n{"step":3}\n');
  await fails(/^Cannot read .*metrics\.jsonl, line 2: /);
});

Deno.test("readRun() warns of a damaged run.json and passes over panels that are none", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 20 });
  await Deno.writeTextFile(`${folder.path}/run.json`, "{");
  const before = (await readRun(folder.path)).panels.length;
  await Deno.writeTextFile(`${folder.path}/panels/masked.png`, "torn");
  const { details, panels } = await readRun(folder.path);
  assert.match(details.warnings![0], /^Cannot read run\.json: /);
  assert.equal(panels.length, before - 1);
});

Deno.test("readRun() shrinks panels to what a page shows, with the first and last step", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 36, side: 448, images: 2 });
  const { panels } = await readRun(folder.path);
  assert.deepEqual([panels.length, panels[2].step, panels[11].step], [12, 2, 36]);
  for (const { address, width, height } of panels) {
    const { format, ...size } = await sharp(Buffer.from(address.split(",")[1], "base64"))
      .metadata();
    assert.deepEqual([format, size.width, size.height], ["webp", 224, 448]);
    assert.deepEqual([width, height], [224, 448]);
  }
});

Deno.test("evenly() keeps the first and the last", () => {
  assert.deepEqual(evenly([1, 2, 3], 3), [1, 2, 3]);
  assert.deepEqual(evenly([0, 1, 2, 3, 4, 5, 6, 7, 8], 5), [0, 2, 4, 6, 8]);
});

Deno.test("thin() gives means with their range, and leaves out what is not there", () => {
  assert.deepEqual(thin([1, 2, 3, 4, 5], [4, NaN, 6, 1, 3], 2), [
    { step: 2, value: 5, low: 4, high: 6 },
    { step: 4.5, value: 2, low: 1, high: 3 },
  ]);
  assert.deepEqual(thin([1, 2], [NaN, 3]), [{ step: 2, value: 3, low: 3, high: 3 }]);
  assert.deepEqual(thin([1], [NaN]), []);
});

Deno.test("smooth() keeps a straight line up to where it ends, and a constant everywhere", () => {
  const line = thin([...Array(100).keys()], [...Array(100).keys()]);
  assert.deepEqual(smooth(line).slice(0, 98), line.slice(0, 98));
  const constant = thin([...Array(100).keys()], Array(100).fill(3));
  assert.deepEqual(smooth(constant), constant);
});

Deno.test("smooth() keeps what comes after a huge value", () => {
  const values = Array.from({ length: 100 }, (_, i) => i === 50 ? 1e30 : 1);
  assert.equal(smooth(thin([...values.keys()], values))[80].value, 1);
});

Deno.test("lastMean() takes the last finite values", () => {
  assert.equal(lastMean([9, 1, NaN, 3, NaN], 2), 2);
  assert.equal(lastMean([NaN], 2), NaN);
});

Deno.test("html`` escapes text and numbers but not HTML", () => {
  assert.equal(
    html`<p title="${`"'`}">${"<b>&"} ${3} ${html`<i>${"<"}</i>`} ${[
      html`<u></u>`,
      "<",
    ]}${undefined}</p>`
      .text,
    '<p title="&#34;&#39;">&#60;b&#62;&#38; 3 <i>&#60;</i> <u></u>&#60;</p>',
  );
});

Deno.test("table() puts columns of numbers to the right", () => {
  const page = table("t", ["a", "b", "c"], [["1", "3 min 05 s", "x"], ["2", "12.3 MiB", "4"]]).text;
  assert.deepEqual(page.match(/class="(number|text)"/g)!.map((match) => match.slice(7, -1)), [
    ...["text", "number", "text"],
    ...["number", "text", "number", "text"],
  ]);
});

Deno.test("fieldsOf() writes fields as the command line does", () => {
  const rates = [["patch_embed*", 0], ["blocks1.*", 0.5]];
  assert.deepEqual(fieldsOf({ a: { b: [1, 2], c: null }, rates, none: [] }), [
    ["a.b", "1, 2"],
    ["a.c", "null"],
    ["rates", "patch_embed*:0, blocks1.*:0.5"],
    ["none", "none"],
  ]);
});
