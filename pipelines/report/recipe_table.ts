/** The settings of runs, as tables. */
import { allRecipes, pretrainRecipes } from "../recipes/mod.ts";
import { type Cell, type Html, html, pairs } from "./html.ts";
import type { RunRecord, Settings } from "./record.ts";

/** Every field with its path, as on the command line: `batch.micro`, `16`. */
export function fieldsOf(settings: Settings, prefix = ""): readonly (readonly [string, string])[] {
  return Object.entries(settings).flatMap(([name, value]) => {
    const path = prefix + name;
    const isGroup = typeof value === "object" && value !== null && !Array.isArray(value);
    return isGroup ? fieldsOf(value as Settings, `${path}.`) : [[path, textOf(value)] as const];
  });
}

function textOf(value: unknown): string {
  if (!Array.isArray(value)) return String(value);
  if (value.length === 0) return "none";
  return value.map((item) => Array.isArray(item) ? item.join(":") : String(item)).join(", ");
}

/** The recipe of a run by group, with the fields marked that differ from the recipe of its name. */
export function recipeSection({ recipe }: RunRecord): Html {
  const standard = allRecipes.find(({ name }) => name === recipe.name);
  const isPreset = !pretrainRecipes.some(({ name }) => name === recipe.name); // a checkpoint completes it
  const defaults = new Map(standard && fieldsOf(standard as unknown as Settings));
  const groups = new Map<string, (readonly [string, Cell])[]>();
  const changed: string[] = [];
  for (const [path, value] of fieldsOf(recipe)) {
    const at = path.indexOf(".");
    const group = at < 0 ? "general" : path.slice(0, at);
    const isOwn = isPreset && !defaults.has(path);
    const differs = standard !== undefined && !isOwn && defaults.get(path) !== value;
    if (differs) changed.push(path);
    const cell = differs
      ? html`<mark>${value}</mark> <small>not ${defaults.get(path) ?? "there"}</small>`
      : html`${value}`;
    groups.set(group, [...groups.get(group) ?? [], [path.slice(at + 1), cell]]);
  }
  const cards = [...groups].map(([group, rows]) =>
    html`<div class="card"><h3>${group}</h3>${pairs(`Recipe: ${group}`, rows)}</div>`
  );
  return html`
    <section>
      <h2>Recipe</h2>
      <p class="lead">${leadOf(recipe, standard !== undefined, changed)}</p>
      <div class="columns">${cards}</div>
    </section>
  `;
}

function leadOf({ name }: Settings, isKnown: boolean, changed: readonly string[]): string {
  if (!isKnown) return `No recipe of this version is called ${name}.`;
  if (changed.length === 0) return `As ${name} has it; nothing was changed.`;
  return `Changed from ${name}: ${changed.join(", ")}.`;
}

/** The fields in which recipes differ: a row each, a column a run. */
export function differences(
  runs: readonly { readonly recipe: Settings }[],
): readonly (readonly [string, ...string[]])[] {
  const fields = runs.map(({ recipe }) => new Map(fieldsOf(recipe)));
  const paths = new Set(fields.flatMap((map) => [...map.keys()]));
  return [...paths]
    .map((path): [string, ...string[]] => [path, ...fields.map((map) => map.get(path) ?? "–")])
    .filter(([, ...values]) => new Set(values).size > 1);
}
