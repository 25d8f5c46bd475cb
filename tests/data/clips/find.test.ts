import assert from "node:assert/strict";
import { findClips, type FindOptions, lineOf } from "../../../data/clips/find.ts";
import { holdOut } from "../../../data/split.ts";
import { sampleName } from "../../../data/place.ts";
import { temporaryFolder } from "../temporary_folder.ts";

/** Writes empty files, as these are found by name, and texts. */
async function write(root: string, files: readonly string[], texts: Record<string, string> = {}) {
  const all = { ...Object.fromEntries(files.map((file) => [file, ""])), ...texts };
  for (const [name, text] of Object.entries(all)) {
    const path = `${root}/${name}`;
    await Deno.mkdir(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    await Deno.writeTextFile(path, text);
  }
}

async function found(path: string, options?: FindOptions) {
  const source = await findClips(path, options);
  const names = source.files.map((_, i) => sampleName(source, i));
  return [names, source.labels && [...source.labels], source.classes];
}

async function rejects(path: string, message: RegExp, options?: FindOptions): Promise<void> {
  await assert.rejects(findClips(path, options), { name: "DataError", message });
}

Deno.test("findClips() reads class folders of videos and of folders of frames", async () => {
  await using folder = await temporaryFolder();
  const root = `${folder.path}/data`;
  await write(root, [
    ...["1 dive/b.mp4", "1 dive/a.webm", "0 swim/c/img_1.jpg", "0 swim/c/img_2.jpg"],
    ...["0 swim/.hidden.mp4", "0 swim/notes.txt", "1 dive/deep/d.avi"],
  ]);
  assert.deepEqual(await found(`${root}/`), [
    ["0 swim/c", "1 dive/a.webm", "1 dive/b.mp4", "1 dive/deep/d.avi"],
    [0, 1, 1, 1],
    ["0 swim", "1 dive"],
  ]);
  await write(root, ["stray.mp4"]);
  assert.deepEqual((await found(root)).slice(1), [undefined, undefined]);
  await write(folder.path, ["none/a.txt"]);
  await rejects(`${folder.path}/none`, /holds no video and no folder of frames/);
  await rejects(`${folder.path}/missing`, /^Cannot read .*missing: no such file$/);
});

Deno.test("findClips() reads lists with spaces, commas and TABs", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  await write(path, ["videos/a.mp4", "videos/b c.mp4", "frames/d/img_1.jpg"], {
    "space.csv": "videos/a.mp4 3\r\nvideos/b c.mp4 0\n\n# none\nvideos/gone.mp4 -1\n",
    "comma.csv": 'path,label\nvideos/a.mp4,3\n"videos/b c.mp4", 0\nvideos/gone.mp4,-1',
    "tab.txt": "videos/a.mp4\tswim\nvideos/b c.mp4\tdive\n",
    "frames.csv": "frames/d 12 3\nvideos/a.mp4 1\n",
    "bare.txt": "videos/a.mp4\nvideos/b c.mp4\n",
  });
  const three = ["videos/a.mp4", "videos/b c.mp4", "videos/gone.mp4"];
  for (const name of ["space.csv", "comma.csv"]) {
    assert.deepEqual(await found(`${path}/${name}`), [three, [3, 0, -1], undefined]);
  }
  assert.deepEqual(await found(`${path}/tab.txt`), [three.slice(0, 2), [1, 0], ["dive", "swim"]]);
  assert.deepEqual(await found(`${path}/frames.csv`), [
    ["frames/d", "videos/a.mp4"],
    [3, 1],
    undefined,
  ]);
  assert.deepEqual(await found(`${path}/bare.txt`), [three.slice(0, 2), undefined, undefined]);
  await write(path, [], { "names.csv": "a.mp4 1\nb c.mp4 2" });
  const source = await findClips(`${path}/names.csv`, { root: `${path}/videos`, classes: 3 });
  assert.deepEqual(source.files, [`${path}/videos/a.mp4`, `${path}/videos/b c.mp4`]);
  assert.equal(lineOf(source, source.files[1]), ` (line 2 of ${path}/names.csv)`);
  const { train, val } = holdOut(source, 0.5); // as images are held out
  assert.equal(train.length + val.length, 2);
});

Deno.test("findClips() says what is wrong with a list, and where", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const lists: [string, RegExp, FindOptions?][] = [
    ["a.mp4 0\nb.mp4 7\n", /Cannot read .*: line 2 has the label 7, not in 0 … 4$/, { classes: 5 }],
    ["a.mp4 0\nb.mp4 -2\n", /line 2 has the label -2, not -1 or more$/],
    ["a.mp4 0\nb.mp4 dog\n", /line 2 has the label "dog", not a number below 5$/, { classes: 5 }],
    ["a.mp4 0\nb.mp4\n", /line 2 has no label, unlike others$/],
    ["a.mp4 0\n\na.mp4,\n", /line 3 is no path and label: a\.mp4,$/],
    ["# nothing\n", /it lists no video$/],
    [
      "x/a.mp4 0\nx/b.mp4 1\n",
      /none of its 2 videos is there, such as .*x\/a\.mp4 \(line 1 of .*list\.csv\); give the folder/,
    ],
    ["a\0b", /it is no list of videos$/],
  ];
  await write(path, ["a.mp4", "b.mp4"]);
  for (const [text, message, options] of lists) {
    await Deno.writeTextFile(`${path}/list.csv`, text);
    await rejects(`${path}/list.csv`, message, options);
  }
});

Deno.test("findClips() reads Kinetics' own lists", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const header = "label,youtube_id,time_start,time_end,split\n";
  await write(path, ["v/abseiling/-abc_000010_000020.mp4", "v/x_y.mkv"], {
    "train.csv": `${header}abseiling,-abc,10,20,train\n` +
      '"passing American football, ""in game""",x_y,0,10,train\nabseiling,gone,3,13,train\n',
    "bad.csv": `${header}abseiling,-abc,ten,20,train\n`,
    "none.csv": header,
  });
  const root = `${path}/v`;
  assert.deepEqual(await found(`${path}/train.csv`, { root }), [
    ["abseiling/-abc_000010_000020.mp4", "x_y.mkv", "gone_000003_000013.mp4"],
    [0, 1, 0],
    ["abseiling", 'passing American football, "in game"'],
  ]);
  await rejects(`${path}/train.csv`, /by their YouTube id; also give the folder that holds them$/);
  await rejects(`${path}/bad.csv`, /line 2 is no clip of Kinetics: abseiling,-abc,ten/, { root });
  await rejects(`${path}/none.csv`, /it lists no video/, { root });
});

Deno.test("findClips() reads Something-Something's lists", async () => {
  await using folder = await temporaryFolder();
  const { path } = folder;
  const labels = { "Pushing something": "1", "Holding something next to something": "0" };
  const entry = (id: string, template: string) => ({ id, label: "…", template, placeholders: [] });
  const lists = {
    "train.json": [
      entry("12", "Holding [something] next to [something]"),
      entry("7", "Pushing [something]"),
    ],
    "test.json": [{ id: "7" }],
    "odd.json": [entry("12", "Eating [something]")],
    "bare.json": [{ template: "Pushing [something]" }],
    "empty.json": [],
    "labels.json": labels,
    "gap.json": { "Pushing something": "1", "Pulling something": "1" },
  };
  const texts = Object.fromEntries(
    Object.entries(lists).map(([name, value]) => [name, JSON.stringify(value)]),
  );
  await write(path, ["v/7.webm", "v/12.webm"], { ...texts, "broken.json": "[{" });
  const root = `${path}/v`;
  assert.deepEqual(await found(`${path}/train.json`, { root }), [
    ["12.webm", "7.webm"],
    [0, 1],
    ["Holding something next to something", "Pushing something"],
  ]);
  assert.deepEqual(await found(`${path}/test.json`, { root }), [["7.webm"], undefined, undefined]);
  const cases: [string, RegExp, FindOptions?][] = [
    ["odd.json", /template of video 12, "Eating something", is not in .*\/labels\.json$/],
    ["bare.json", /entry 1 has no id$/],
    ["empty.json", /no list of videos as Something-Something's$/],
    ["broken.json", /^Cannot read .*broken\.json: /],
    [
      "train.json",
      /gap\.json: the number of "Pulling something" is 1, not one of its own in 0 … 1$/,
      {
        labels: `${path}/gap.json`,
      },
    ],
    ["train.json", /^Cannot read .*gone\.json: no such file$/, { labels: `${path}/gone.json` }],
  ];
  for (const [name, message, options] of cases) {
    await rejects(`${path}/${name}`, message, { root, ...options });
  }
});
