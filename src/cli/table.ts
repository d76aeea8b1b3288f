/** Tables and JSON for a terminal. What comes from outside can't move the cursor or colour the screen. */

const unprintable = /[\p{Cc}\p{Cf}\u2028\u2029]/gu;

/** Control and format characters, shown as what they are. */
export const printable = (text: string): string =>
  text.replaceAll(unprintable, (found) => `\\u{${found.codePointAt(0)!.toString(16)}}`);

const hexUnit = (unit: number): string => `\\u${unit.toString(16).padStart(4, "0")}`;

/** JSON on one line, the same value to every reader, with control and format characters escaped. */
export const printableJson = (value: unknown): string =>
  JSON.stringify(value).replaceAll(unprintable, (found) =>
    Array.from({ length: found.length }, (_, at) => hexUnit(found.charCodeAt(at))).join(""),
  );

/** Columns as wide as their widest cell; the last one is not padded. */
export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const cells = [head, ...rows.map((row) => row.map(printable))];
  const widths = head.map((_, column) =>
    cells.reduce((widest, row) => Math.max(widest, row[column]!.length), 0),
  );
  return cells
    .map((row) =>
      row
        .map((cell, column) => (column === head.length - 1 ? cell : cell.padEnd(widths[column]!)))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
};

export const formats = ["table", "json", "ndjson"] as const;
export type Format = (typeof formats)[number];

/** Lists items: as a table of rows, as one JSON array (an item a line), or as a line of JSON each. */
export const listing = <T>(
  items: readonly T[],
  format: Format,
  head: readonly string[],
  rowOf: (item: T) => readonly string[],
): string => {
  if (format === "table") return table(head, items.map(rowOf));
  if (format === "ndjson") return items.map((item) => `${printableJson(item)}\n`).join("");
  return items.length === 0
    ? "[]\n"
    : `[\n${items.map((item) => `  ${printableJson(item)}`).join(",\n")}\n]\n`;
};
