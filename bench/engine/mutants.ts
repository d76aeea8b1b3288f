/**
 * Bugs that the compiled engine could have: each a change of its built text. Whatever doesn't notice one of them is no
 * proof that the engine is right.
 */

/** `find` stands in the file exactly once. */
export type Mutant = { file: string; find: string; replace: string };

const inFile = (file: string, changes: readonly (readonly [string, string])[]): Mutant[] =>
  changes.map(([find, replace]) => ({ file, find, replace }));

export const mutants: readonly Mutant[] = [
  ...inFile("compiled-engine", [
    ["if (forbids.length > 0)", "if (forbids.length > 0 && permits.length === 0)"],
    ["decision: permits.length > 0 ?", "decision: permits.length >= 0 ?"],
    ["determining: forbids,", "determining: [...permits, ...forbids],"],
    ["outcome.errors.push({ policy, message: error.message })", "undefined"],
    ["if (applies === false) {\n            outcome.left.push(position);", "if (applies === false) {"],
    [
      "else if (error instanceof Unrepresentable)\n                outcome.left.push(position);",
      "else if (error instanceof Unrepresentable);",
    ],
    ["[...both[effect], ...rest.determining]", "[...both[effect]]"],
    ["[...both[effect], ...rest.determining]", "[...rest.determining]"],
    ["[...outcome.errors, ...rest.errors]", "[...outcome.errors]"],
    ["[...outcome.errors, ...rest.errors]", "[...rest.errors]"],
    ['rest.decision === "allow" ? "permits" : "forbids"', '"permits"'],
    ["open.push(...entity.parents.map(uidKey));", ""],
  ]),
  ...inFile("known-entities", [
    ["for (const parent of find(ancestor)?.parents ?? [])", "for (const parent of [])"],
    ["entity.key === other.key || ", ""],
    ["parents.length === 0 ? none", "parents.length < 2 ? none"],
    ["tags ? lazyRecord(tags) : noRecord", "noRecord"],
  ]),
  ...inFile("index-by-scope", [
    ["for (const ancestor of ancestors)", "for (const ancestor of [])"],
    ["level.equals.get(key), level.groups.get(key)]", "level.equals.get(key)]"],
    ["level.types.get(uid.type), ", ""],
    ["level.equals.get(key), ", ""],
    [
      "scope.in ? madeIn(level.groups, uidKey(scope.in), make)",
      "scope.in ? madeIn(level.equals, uidKey(scope.in), make)",
    ],
    ["return bounds.map(", "return bounds.slice(0, 1).map("],
    ["candidates.sort((a, b) => a - b);", ""],
    ["return candidates.filter((position, at) => position !== candidates[at - 1]);", "return candidates;"],
    ["if (level.any !== undefined)\n        use(level.any);", ""],
  ]),
  ...inFile("compile-policy", [
    ["!asBool(evaluate(frame))", "asBool(evaluate(frame))"],
    ["(frame) => asBool(evaluate(frame))", "(frame) => Boolean(evaluate(frame))"],
    ["frame[variable].type === type && within(frame)", "within(frame)"],
    ["...conditions.map(compileCondition)", "...conditions.slice(0, 1).map(compileCondition)"],
    ["if (!part(frame))", "if (part !== parts[0] && !part(frame))"],
  ]),
  ...inFile("expression", [
    ['typeof value === "number" || typeof value === "bigint"', 'typeof value === "number"'],
    ['if (typeof value !== "string")\n        throw noString;', ""],
    ['if (typeof value !== "object" || value.kind !== "set")', 'if (typeof value !== "object")'],
  ]),
  ...inFile("operators", [
    ["if (asBool(term(frame)) === ends)", "if (term(frame) === ends)"],
    [
      "for (const term of terms)\n            if (asBool(term(frame)) === ends)",
      "for (const value of terms.map((term) => asBool(term(frame))))\n            if (value === ends)",
    ],
    ["return terms.reverse();", "return terms;"],
    ['"&&": junction("&&", false)', '"&&": junction("&&", true)'],
    ["!equal(left(frame), right(frame))", "equal(left(frame), right(frame))"],
    ['"<": comparison((left, right) => left < right)', '"<": comparison((left, right) => left <= right)'],
    ['">=": comparison((left, right) => left >= right)', '">=": comparison((left, right) => left > right)'],
    [
      'left.kind === "datetime" && right.kind === "datetime"',
      'left.kind === "datetime" && right.kind === "duration"',
    ],
    ['left.kind === "duration" && right.kind === "duration"', "left.kind === right.kind"],
    ["if (!attributes)\n            throw unknownEntity;", "if (!attributes)\n            return false;"],
    [
      "if (next === undefined)\n                return false;\n            value = next;",
      "if (next === undefined)\n                return false;",
    ],
    ["names.length === 0", "names.length === 2"],
    ["throw noRecord;", "return undefined;"],
    ["return entity !== undefined && fieldOf(entity.tags, tag) !== undefined", "return entity !== undefined"],
    [
      "if (found === undefined)\n            throw missing;",
      "if (found === undefined)\n            return 0;",
    ],
    ["other.items.map(asEntity)", 'other.items.filter((item) => item.kind === "entity")'],
    ["entities.some((group)", "entities.every((group)"],
    [
      "entity.type === type && isInAny(frame, entity, container(frame))",
      "isInAny(frame, entity, container(frame)) && entity.type === type",
    ],
    ["entity.type === type && isInAny(frame, entity, container(frame))", "entity.type === type"],
    [
      "(asBool(test(frame)) ? then(frame) : otherwise(frame))",
      "(test(frame) === true ? then(frame) : otherwise(frame))",
    ],
    [".every((key) => keys.has(key))", ".some((key) => keys.has(key))"],
    [".some((key) => keys.has(key))", ".every((key) => keys.has(key))"],
    [".items.length === 0", ".items.length < 2"],
    ["return holds(asSet(set), other);", "return asSet(set).items.length > 0 && holds(set, other);"],
    ["setOf(items.map((item) => item(frame)))", "setOf(items.slice(1).map((item) => item(frame)))"],
  ]),
  ...inFile("long", [
    ["const max = 9223372036854775807n", "const max = 9223372036854775808n"],
    ["const max = 9223372036854775807n", "const max = 9223372036854775806n"],
    ["const min = -9223372036854775808n", "const min = -9223372036854775809n"],
    ["const min = -9223372036854775808n", "const min = -9223372036854775807n"],
    ["Number.isSafeInteger(number) ? number : exact", "exact"],
    ["if (Number.isSafeInteger(sum))", "if (Math.abs(sum) < 2 ** 63)"],
    ["if (Number.isSafeInteger(difference))", "if (Math.abs(difference) <= 2 ** 53)"],
    ["if (Number.isSafeInteger(product))", "if (Math.abs(product) < 2 ** 60)"],
    ["longOf(-value)", "-value"],
    ["Math.trunc(value / divisor)", "Math.floor(value / divisor)"],
  ]),
  ...inFile("decimal", [
    ['padEnd(4, "0")', 'padStart(4, "0")'],
    ["{1,4}", "{1,5}"],
    ['match[1] === "-" ? -magnitude : magnitude', "magnitude"],
    ["return fitsLong(units) ?", "return fitsLong(units - 1n) ?"],
  ]),
  ...inFile("ip-range", [
    ["prefix >= 8 : address === 1n", "prefix >= 7 : address === 1n"],
    ["prefix === 128", "prefix >= 127"],
    ["address >> 24n === 127n", "address >> 24n >= 127n"],
    ["prefix >= 4 :", "prefix >= 3 :"],
    ["address >> 28n === 14n", "address >> 28n >= 14n"],
    ["address >> 120n === 255n && prefix >= 8", "address >> 120n === 255n && prefix >= 7"],
    ["Number(prefix) > bits", "Number(prefix) > bits + 1"],
    ["(?:0|[1-9]\\d{0,2})", "\\d{1,3}"],
    ["given > 7", "given > 8"],
    ["Number(part) > 255", "Number(part) > 256"],
    [" && lastOf(inner) <= lastOf(outer)", ""],
    ["inner.bits === outer.bits && ", ""],
    ["(address >> free) << free", "address"],
    ["(1n << BigInt(range.bits - range.prefix)) - 1n", "(1n << BigInt(range.prefix)) - 1n"],
  ]),
  ...inFile("datetime", [
    ["rest < 0 ? rest + dayMs : rest", "rest"],
    ["rest < 0 ? rest + dayMs : rest", "rest <= 0 ? rest + dayMs : rest"],
    ['match[8] === "-" ? -1 : 1', 'match[8] === "-" ? 1 : -1'],
    ["hour > 23 || minute", "hour > 24 || minute"],
    ["second > 59", "second > 60"],
    ["offsetHour > 23", "offsetHour > 24"],
    ["date.setUTCFullYear(year, month - 1, day)", "date.setTime(Date.UTC(year, month - 1, day))"],
    ["date.getUTCMonth() === month - 1 && date.getUTCDate() === day", "true"],
    ['if (match[1] === "-")', 'if (match[1] === "+")'],
    ["ms: add(ms, duration.ms)", "ms: ms + duration.ms"],
    ["ms: subtract(ms, other.ms)", "ms: subtract(other.ms, ms)"],
  ]),
  ...inFile("value", [
    ["[...keysOf(value)].sort()", "[...keysOf(value)]"],
    [
      ".map(([name, field]) => sized(name) + sized(keyOf(field)))",
      ".map(([name, field]) => name + keyOf(field))",
    ],
    ["!Object.hasOwn(raw, name)", "!(name in raw)"],
    ["return `l${value}`;", "return `s${value}`;"],
    [
      "return `i${value.bits}/${value.address}/${value.prefix}`;",
      "return `i${value.bits}/${value.address}`;",
    ],
    ["!Number.isSafeInteger(json)", "!Number.isInteger(json)"],
    [" && isScalar(value))", ")"],
    ["return left.key === right.key;", "return left.id === right.id;"],
    ["[...keysOf(value)].sort().map(sized)", "[...keysOf(value)].sort()"],
  ]),
  ...inFile("pattern", [
    ["text.length - at >= last.length && ", ""],
    ["text.indexOf(piece, at)", "text.indexOf(piece)"],
    ["text === first", "text.startsWith(first)"],
    ["if (!text.startsWith(first))\n            return false;", ""],
  ]),
  ...inFile("extension-operators", [
    [
      "lessThan: decimals((left, right) => left < right)",
      "lessThan: decimals((left, right) => left <= right)",
    ],
    [
      "greaterThanOrEqual: decimals((left, right) => left >= right)",
      "greaterThanOrEqual: decimals((left, right) => left > right)",
    ],
    ["if (!value)\n            throw malformed;", ""],
    ["operand.length !== count", "operand.length < count"],
    [
      'isInRange(asExtension(inner, "ip"), asExtension(outer, "ip"))',
      'isInRange(asExtension(outer, "ip"), asExtension(inner, "ip"))',
    ],
  ]),
];
