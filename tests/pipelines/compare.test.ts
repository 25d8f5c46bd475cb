import assert from "node:assert/strict";
import { compareCommand, reportCommand } from "../../pipelines/compare_command.ts";
import { readRun } from "../../pipelines/report/record.ts";
import { renderComparison } from "../../pipelines/report/comparison.ts";
import { writePage } from "../../pipelines/report/report.ts";
import { UsageError } from "../../pipelines/usage.ts";
import { temporaryFolder } from "../data/temporary_folder.ts";
import { checkPage, openBrowser } from "./browser.ts";
import { DIVERGING, writeRun } from "./made_up_run.ts";

/** Two runs, of which the second was stopped and had another seed and width. */
async function twoRuns(folder: string): Promise<[string, string]> {
  const [a, b] = [`${folder}/base`, `${folder}/<script>alert(1)</script>`];
  await writeRun(a, { more: (step) => step % 30 === 0 ? { accuracy: step / 300 } : {} });
  await writeRun(b, { steps: 120, level: 1.2, recipe: { seed: 3, maskRatio: 0.6 } });
  return [a, b];
}

/** Runs a command and gives what it printed. */
async function printed(act: () => Promise<number>): Promise<string[]> {
  const { log } = console;
  const lines: string[] = [];
  console.log = (line) => lines.push(line);
  try {
    assert.equal(await act(), 0);
  } finally {
    console.log = log;
  }
  return lines;
}

Deno.test("compare prints the path of a page that is whole on every screen", async () => {
  await using folder = await temporaryFolder();
  const runs = await twoRuns(folder.path);
  const out = `${folder.path}/page.html`;
  assert.deepEqual(await printed(() => compareCommand([...runs, "--out", out])), [out]);
  const charts = ["Loss", "Validation loss", "Learning rate", "Gradient norm", "Throughput"];
  // The images are the same, so that their originals stand there once.
  await checkPage(out, [...charts, "Waiting for data", "Accuracy"], 3);
});

Deno.test("renderComparison() shows the fields in which recipes differ, and the final numbers", async () => {
  await using folder = await temporaryFolder();
  const [a, b] = await Promise.all((await twoRuns(folder.path)).map(readRun));
  const cells = (page: string, label: string) => {
    const [, part] = page.split(`aria-label="${label}"`);
    return part.split("</tbody>")[0].split("<tbody>")[1].split("</tr>").slice(0, -1)
      .map((row) => row.split(/<[^>]*>/).filter((text) => text.trim() !== ""));
  };
  const page = renderComparison([a, b]);
  assert.deepEqual(cells(page, "Recipes"), [["maskRatio", "0.75", "0.6"], ["seed", "0", "3"]]);
  const [first, second] = cells(page, "Final numbers");
  assert.deepEqual(first.slice(0, 3), [
    "base",
    "quickstart",
    "finished after 288 steps, 1 step left out",
  ]);
  assert.equal(second[2], "at step 120 of 288, 1 step left out");
  assert.ok(Number(first[3]) < Number(second[3]), "the loss");
  assert.ok(renderComparison([a, a]).includes("The recipes are equal."));
});

Deno.test("renderComparison() gives each of thirty runs a look of its own", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 2 });
  const run = await readRun(folder.path);
  const page = renderComparison(Array.from({ length: 30 }, (_, i) => ({ ...run, name: `${i}` })));
  const looks = page.match(
    /stroke="var\(--series-\d\)" stroke-width="2\.5" stroke-dasharray="[^"]*"/g,
  )!;
  assert.equal(new Set(looks).size, 30);
});

Deno.test("renderComparison() tells runs of the same name by their folders", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 2 });
  const run = await readRun(folder.path);
  const runs = ["x/base", "y/base"].map((folder) => ({ ...run, name: "base", folder }));
  const page = renderComparison(runs);
  assert.match(page, /<title>Comparison of x\/base, y\/base<\/title>/);
  assert.ok(page.includes("<span>x/<wbr>base</span>"), "lines break at slashes");
  assert.ok(!page.includes("Moving averages"), "two steps are drawn as they are");
});

Deno.test("compare keeps runs that diverge, and have long names, within their cards", async () => {
  await using folder = await temporaryFolder();
  const name = "experiments-of-november/vit-small-patch16-with-more-regularisation";
  const runs = [`${folder.path}/${name}/base`, `${folder.path}/${name}-2/base`];
  for (const run of runs) await writeRun(run, DIVERGING);
  const out = `${folder.path}/page.html`;
  await printed(() => compareCommand([...runs, "--out", out]));
  const charts = ["Loss", "Validation loss", "Learning rate", "Gradient norm", "Throughput"];
  const more = ["Waiting for data", "Quite a long name for a metric", "Score"];
  await checkPage(out, [...charts, ...more], 3);
  await using browser = await openBrowser();
  const page = await browser.open(out, { width: 390, scheme: "light" });
  const [scrolls, sticksOut] = await page.evaluate<boolean[]>(`(() => {
    const box = document.querySelector(".scroll");
    const card = box.closest(".card").getBoundingClientRect();
    return [box.scrollWidth > box.clientWidth, box.getBoundingClientRect().right > card.right];
  })()`);
  assert.deepEqual([scrolls, sticksOut], [true, false]);
});

Deno.test("report writes a run's page again and prints its path", async () => {
  await using folder = await temporaryFolder();
  await writeRun(folder.path, { steps: 5 });
  const path = `${folder.path}/report.html`;
  assert.deepEqual(await printed(() => reportCommand([folder.path])), [path]);
  assert.ok((await Deno.stat(path)).isFile);
});

Deno.test("compare and report refuse what makes no sense, in one sentence", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await writeRun(`${path}/a`, { steps: 2 });
  const refuses = async (act: Promise<number>, message: string | RegExp) => {
    await assert.rejects(act, (error: Error) => {
      assert.ok(error instanceof UsageError);
      if (typeof message === "string") assert.equal(error.message, message);
      else assert.match(error.message, message);
      return !error.message.includes("\n");
    });
  };
  const missing = `Cannot read ${path}/b/recipe.json: there is no such file`;
  await refuses(compareCommand([`${path}/a`, `${path}/b`]), missing);
  await refuses(reportCommand([`${path}/b`]), missing);
  await refuses(compareCommand([]), "Expected two or more run folders, got none");
  await refuses(compareCommand(["a"]), "Expected two or more run folders, got a");
  await refuses(reportCommand([]), "Expected one run folder, got none");
  await refuses(reportCommand(["a", "b"]), "Expected one run folder, got a and b");
  await refuses(
    compareCommand(["--wide"]),
    "Unknown option '--wide': see deno task compare --help",
  );
  await refuses(
    reportCommand(["a", "--out", "b"]),
    "Unknown option '--out': see deno task report --help",
  );
  const nowhere = ["--out", `${path}/no/page.html`];
  await refuses(
    compareCommand([`${path}/a`, `${path}/a`, ...nowhere]),
    /^Cannot write .*page\.html: /,
  );
  const onto = (out: string) => compareCommand([`${path}/a`, `${path}/a`, "--out", out]);
  await refuses(onto(path), `Cannot write ${path}: it is a folder, and --out takes a file`);
  const report = `${path}/a/report.html`;
  await refuses(onto(report), `Cannot write ${report}: it is the report of a run`);
  assert.deepEqual((await Array.fromAsync(Deno.readDir(path))).map(({ name }) => name), ["a"]);
});

Deno.test("writePage() leaves nothing behind where it cannot write", async () => {
  await using folder = await temporaryFolder();
  await Deno.mkdir(`${folder.path}/page.html`);
  await assert.rejects(
    writePage(`${folder.path}/page.html`, ""),
    /^Error: Cannot write .*page\.html: /,
  );
  assert.equal((await Array.fromAsync(Deno.readDir(folder.path))).length, 1);
});

Deno.test("compare and report explain themselves", async () => {
  assert.match((await printed(() => compareCommand(["--help"])))[0], /deno task compare RUN RUN/);
  assert.match((await printed(() => reportCommand(["-h"])))[0], /deno task report RUN/);
});
