/** Places in files, and what is wrong there: every load error names file, line and column. */

/** Line and column count from 1; columns count UTF-16 units. */
export type Place = { file: string; line: number; column: number };

/** A fault of the author's files. `place` is absent where the whole folder is at fault. */
export type LoadError = { message: string; file: string; line?: number; column?: number };

/** Finds places in one text; the lines are counted once, however many places are asked for. */
export const placesIn = (file: string, text: string): ((offset: number) => Place) => {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return (offset) => {
    let low = 0;
    let high = starts.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (starts[middle]! <= offset) low = middle;
      else high = middle - 1;
    }
    return { file, line: low + 1, column: offset - starts[low]! + 1 };
  };
};

/** Cedar counts bytes of UTF-8; texts here count UTF-16 units. */
export const offsetOfByte = (text: string, byte: number): number =>
  Buffer.from(text, "utf8").subarray(0, byte).toString("utf8").length;

export const loadErrorText = ({ file, line, column, message }: LoadError): string =>
  line === undefined ? `${file}: ${message}` : `${file}:${line}:${column ?? 1}: ${message}`;
