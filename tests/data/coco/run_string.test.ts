import assert from "node:assert/strict";
import { decodeRuns, MOST_PIXELS, runsOf, runString } from "../../../data/coco/run_string.ts";
import { fold, key, uniform } from "../../../src/random.ts";

Deno.test("runString() writes what pycocotools 2.0 writes", () => {
  const cases: [number[], string][] = [
    [[108], "\\3"],
    [[0, 108], "0\\3"],
    [[0, 7, 2, 95, 4], "072h22"],
    [[3, 1, 50, 20, 1, 30, 3], "31b1c0_N:2"],
    [[1000000, 1, 999, 1000000, 234567], "Pb`n01Wo0oa`n0PST7"],
  ];
  for (const [counts, string] of cases) assert.equal(runString(counts), string);
});

Deno.test("runsOf() restores counts of every length", () => {
  const all = [[0, 5], [MOST_PIXELS], [0, MOST_PIXELS - 1, 1], [15, 16, 31, 32, 1, 511, 512]];
  for (let i = 0; i < 50; i++) {
    const [length, ...draws] = uniform(fold(key(2), i), 41);
    const counts = draws.slice(0, 1 + Math.floor(40 * length));
    all.push(counts.map((draw, j) => Math.floor(draw * 2 ** (j % 25))));
  }
  for (const counts of all) assert.deepEqual([...runsOf(runString(counts))], counts);
});

Deno.test("decodeRuns() puts counts behind others, which do not change them", () => {
  const counts = new Uint32Array(12).fill(7);
  const string = runString([3, 4, 5, 6, 7]);
  assert.equal(decodeRuns(string, counts, 5), 10);
  assert.deepEqual([...counts], [7, 7, 7, 7, 7, 3, 4, 5, 6, 7, 7, 7]);
});

Deno.test("decodeRuns() says where a string is broken", () => {
  const cases: [string, string][] = [
    ["5 5", "has a broken string of runs at character 1"],
    ["5p", "has a broken string of runs at character 1"],
    ["55S", "has a broken string of runs at character 2"], // its next character is missing
    ["ooooooo5", "has a broken string of runs at character 0"],
    ["55é", "has a broken string of runs at character 2"],
    ["O5", "has a run of negative length at character 0"],
    ["555I", "has a run of negative length at character 3"], // 5 - 7
  ];
  for (const [string, message] of cases) {
    assert.throws(() => runsOf(string), { name: "RangeError", message }, string);
  }
});
