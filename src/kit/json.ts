/**
 * Strict JSON (I-JSON, RFC 7493): what one reader takes one way and the next another is refused, because an
 * authorization question must mean the same to everyone. Duplicate names, lone surrogates, integers that a double
 * can't hold, `__proto__` and deep nesting are errors that name the place.
 */

export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export type JsonObject = { [key: string]: JsonValue };

/** What is wrong with a JSON text, and where: `field` is a dotted path such as `evaluations.3.subject.id`. */
export class JsonError extends Error {
  override readonly name = "JsonError";
  readonly field: string;
  /** Offset in UTF-16 units. */
  readonly at: number;

  constructor(message: string, path: readonly (string | number)[], at: number) {
    super(message);
    this.field = path.join(".");
    this.at = at;
  }
}

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

type Reader = { text: string; at: number; path: (string | number)[]; depthMax: number };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const numberPattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const literals: readonly (readonly [string, null | boolean])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

const fail = (reader: Reader, message: string): never => {
  throw new JsonError(message, reader.path, reader.at);
};

const skipSpace = (reader: Reader): void => {
  const { text } = reader;
  let at = reader.at;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break;
    at++;
  }
  reader.at = at;
};

/** The character at the cursor, for a message; `end of text` past the last one. */
const found = (reader: Reader): string =>
  reader.at >= reader.text.length
    ? "the text ends"
    : `unexpected \`${String.fromCodePoint(reader.text.codePointAt(reader.at)!)}\``;

const readString = (reader: Reader): string => {
  const { text } = reader;
  const start = reader.at;
  let at = start + 1;
  let plain = true;
  for (;;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) break;
    if (Number.isNaN(code)) {
      reader.at = at;
      fail(reader, "unterminated string");
    }
    if (code < 0x20) {
      reader.at = at;
      fail(reader, "control character in a string");
    }
    if (code === BACKSLASH) {
      plain = false;
      at++;
    } else if (code >= 0xd800) plain = false;
    at++;
  }
  reader.at = at + 1;
  if (plain) return text.slice(start + 1, at);
  let value: string;
  try {
    value = JSON.parse(text.slice(start, at + 1)) as string;
  } catch {
    reader.at = start;
    return fail(reader, "invalid escape in a string");
  }
  if (!value.isWellFormed()) {
    reader.at = start;
    fail(reader, "lone surrogate in a string");
  }
  return value;
};

const readNumber = (reader: Reader): number => {
  numberPattern.lastIndex = reader.at;
  const match = numberPattern.exec(reader.text);
  if (!match) return fail(reader, found(reader));
  const value = Number(match[0]);
  if (!Number.isFinite(value)) fail(reader, "number beyond the range of a double");
  if (Number.isInteger(value) && !Number.isSafeInteger(value))
    fail(reader, "integer beyond ±(2^53 − 1), which JSON numbers can't carry exactly");
  reader.at += match[0].length;
  return value;
};

const readArray = (reader: Reader): JsonValue[] => {
  const items: JsonValue[] = [];
  reader.at++;
  skipSpace(reader);
  if (reader.text[reader.at] === "]") {
    reader.at++;
    return items;
  }
  for (;;) {
    reader.path.push(items.length);
    items.push(readValue(reader));
    reader.path.pop();
    skipSpace(reader);
    const next = reader.text[reader.at];
    if (next !== "," && next !== "]") fail(reader, `expected \`,\` or \`]\`, but ${found(reader)}`);
    reader.at++;
    if (next === "]") return items;
  }
};

const readObject = (reader: Reader): JsonObject => {
  const object: JsonObject = {};
  reader.at++;
  skipSpace(reader);
  if (reader.text[reader.at] === "}") {
    reader.at++;
    return object;
  }
  for (;;) {
    skipSpace(reader);
    if (reader.text[reader.at] !== '"') fail(reader, `expected a name in quotes, but ${found(reader)}`);
    const name = readString(reader);
    reader.path.push(name);
    if (name === "__proto__") fail(reader, "the name `__proto__` is refused");
    if (Object.hasOwn(object, name)) fail(reader, "duplicate name");
    skipSpace(reader);
    if (reader.text[reader.at] !== ":") fail(reader, `expected \`:\`, but ${found(reader)}`);
    reader.at++;
    object[name] = readValue(reader);
    reader.path.pop();
    skipSpace(reader);
    const next = reader.text[reader.at];
    if (next !== "," && next !== "}") fail(reader, `expected \`,\` or \`}\`, but ${found(reader)}`);
    reader.at++;
    if (next === "}") return object;
  }
};

const readNested = (reader: Reader, read: (reader: Reader) => JsonValue): JsonValue => {
  if (reader.depthMax === 0) fail(reader, "nested too deeply");
  reader.depthMax--;
  const value = read(reader);
  reader.depthMax++;
  return value;
};

const readValue = (reader: Reader): JsonValue => {
  skipSpace(reader);
  const { text, at } = reader;
  switch (text.charCodeAt(at)) {
    case 0x7b:
      return readNested(reader, readObject);
    case 0x5b:
      return readNested(reader, readArray);
    case QUOTE:
      return readString(reader);
    default:
      for (const [word, value] of literals) {
        if (!text.startsWith(word, at)) continue;
        reader.at += word.length;
        return value;
      }
      return readNumber(reader);
  }
};

/**
 * Parses a JSON text strictly. `depthMax` is how many arrays and objects may stand inside one another.
 * @throws JsonError
 */
export const parseJson = (text: string, depthMax = 64): JsonValue => {
  const reader: Reader = { text, at: 0, path: [], depthMax };
  const value = readValue(reader);
  skipSpace(reader);
  if (reader.at < text.length) fail(reader, `expected the end of the text, but ${found(reader)}`);
  return value;
};
