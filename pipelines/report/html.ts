/** HTML as a template, in which every value is escaped unless it is HTML already. */

/** Text that is safe to stand in a page as it is. */
export class Html {
  constructor(readonly text: string) {}
}

type Value = Html | string | number | undefined | null | false | readonly Value[];

/**
 * Fills a template: strings and numbers are escaped, lists are joined, and `undefined`, `null` and
 * `false` leave nothing.
 */
export function html(strings: TemplateStringsArray, ...values: readonly Value[]): Html {
  return new Html(strings.map((part, i) => part + textOf(values[i])).join(""));
}

function textOf(value: Value): string {
  if (value instanceof Html) return value.text;
  if (Array.isArray(value)) return value.map(textOf).join("");
  if (value === undefined || value === null || value === false) return "";
  return String(value).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Text whose lines break after a slash, where they must: the path of a folder. */
export function breakable(path: string): Html {
  return html`${path.split(/(?<=\/)/).map((part, i) => i === 0 ? part : html`<wbr>${part}`)}`;
}

/** A cell of a table: text, a number that stands to the right, or something more. */
export type Cell = string | number | Html;

/**
 * A table that scrolls inside its own box where the page is narrow.
 *
 * @param label What the table holds, for screen readers.
 * @param rows The first cell of each names its row.
 */
export function table(
  label: string,
  columns: readonly (string | Html)[],
  rows: readonly (readonly Cell[])[],
): Html {
  const looks = columns.map((_, i) =>
    i > 0 && rows.every((row) => isNumeric(row[i])) ? "number" : "text"
  );
  return html`
    <div class="scroll" role="region" tabindex="0" aria-label="${label}">
      <table>
        <thead>
          <tr>${columns.map((column, i) =>
            html`<th scope="col" class="${looks[i]}">${column}</th>`
          )}</tr>
        </thead>
        <tbody>${rows.map(([name, ...cells]) =>
          html`<tr><th scope="row">${name}</th>${
            cells.map((cell, i) => html`<td class="${looks[i + 1]}">${cell}</td>`)
          }</tr>`
        )}</tbody>
      </table>
    </div>
  `;
}

/** A table of names and values that breaks its lines where the page is narrow. */
export function pairs(label: string, rows: readonly (readonly [string, Cell])[]): Html {
  return html`
    <table class="pairs" aria-label="${label}">
      <tbody>
    ${rows.map(([name, value]) =>
      html`
        <tr>
          <th scope="row">${name}</th>
          <td>${value}</td>
        </tr>
      `
    )}
      </tbody>
    </table>
  `;
}

/** Whether a cell is a number, perhaps with a unit: `12.3 MiB`, `3 min 05 s`. */
function isNumeric(cell: Cell): boolean {
  return typeof cell === "number" ||
    typeof cell === "string" &&
      /^([-+]?[\d.,]+(e[-+]?\d+)?|–)( ?[^\d\s]+( \d+ [a-z]+)?)?$/.test(cell);
}
