/** Lints: what is valid and yet most likely a mistake, or a trap. Each finding names its rule and place. */
import type { Attributes, SchemaModel } from "../entity/schema.ts";
import { type CedarEntity, type Uid, uidKey, uidText } from "../kit/cedar-json.ts";
import type { LoadError, Place } from "../kit/place.ts";
import { placesIn } from "../kit/place.ts";
import { budgetNamesIn } from "../policy/budget-names.ts";
import { failuresOf, type Promised } from "../policy/can-err.ts";
import type { Cedar } from "../policy/cedar.ts";
import { isJson, operatorOf, pathOf } from "../policy/policy-json.ts";
import type { Finding, Rule } from "../policy/finding.ts";
import { outlineOf } from "../policy/outline.ts";
import type { CompiledPolicy } from "../policy/policy-set.ts";
import type { SourceFile } from "../policy/schema-source.ts";
import {
  type Action,
  actionsIn,
  actionsOf,
  canBeIn,
  coveringKeys,
  covers,
  headKey,
  typesIn,
} from "./heads.ts";
import type { Snapshot } from "./snapshot.ts";

type Condition = { kind: string; body: unknown };

/** A policy as the lints look at it. */
type Subject = { policy: CompiledPolicy; conditions: readonly Condition[]; actions: readonly Action[] };

type World = {
  schema: SchemaModel;
  snapshot: Snapshot;
  actions: readonly Action[];
  /** Everything that is stored, or that something stored is in. */
  known: ReadonlySet<string>;
  schemas: readonly SourceFile[];
};

const placeAt = ({ place, text }: CompiledPolicy, offset: number): Place => {
  const { line, column } = placesIn(place.file, text)(offset);
  return line === 1
    ? { ...place, column: place.column + column - 1 }
    : { ...place, line: place.line + line - 1, column };
};

const warning = (rule: Rule, message: string, place: LoadError | Place): Finding => ({
  ...place,
  rule,
  severity: "warning",
  message,
});

const named = ({ id }: CompiledPolicy): string => `\`${id}\``;

/** Whether attributes at the end of a path of a record are required. */
const requiredIn = (attributes: Attributes | undefined, path: readonly string[]): boolean => {
  const [name, ...rest] = path;
  const attribute = name === undefined ? undefined : attributes?.get(name);
  if (!attribute) return false;
  if (rest.length === 0) return attribute.required;
  return attribute.type.kind === "record" && requiredIn(attribute.type.attributes, rest);
};

/**
 * What is there whenever the policy is evaluated: facts that Remit writes, and required attributes of entities that must be
 * stored. Required attributes of others may be left out by the request.
 */
export const promisedTo = (
  { policy, actions }: Pick<Subject, "policy" | "actions">,
  schema: SchemaModel,
): Promised => {
  const ofEntity = (
    scope: CompiledPolicy["principal"],
    types: readonly string[],
    path: readonly string[],
  ): boolean =>
    typesIn(schema, scope, types).every((name) => {
      const type = schema.types.get(name);
      const sure = type?.stored === true || name === schema.agentType;
      return sure && requiredIn(type?.attributes, path);
    });
  return {
    isPresent: ([root, ...path]) => {
      if (root === "context")
        return (
          path[0] === "remit" &&
          actions.every(({ uid }) => {
            const found = schema.actionNames.get(uid.id)?.find((each) => uidKey(each.uid) === uidKey(uid));
            return requiredIn(found?.context, path);
          })
        );
      if (root === "principal")
        return actions.every(({ principalTypes }) => ofEntity(policy.principal, principalTypes, path));
      return actions.every(({ resourceTypes }) => ofEntity(policy.resource, resourceTypes, path));
    },
  };
};

const forbidsThatErr = (subject: Subject, world: World): Finding[] => {
  const { policy, conditions } = subject;
  if (policy.effect !== "forbid") return [];
  const outline = outlineOf(policy.text);
  const found = failuresOf(conditions, promisedTo(subject, world.schema));
  return [...new Map(found.map((one) => [one.failure.why, one])).values()].map(
    ({ condition, failure: { why, word } }) => {
      const { start, end } = outline.conditions[condition]!;
      const at = policy.text.indexOf(word, policy.text.indexOf("{", start));
      const message = `${named(policy)} can fail: ${why}. Then every question that it concerns is denied; ask with \`has\` first`;
      return warning("forbid-can-err", message, placeAt(policy, at >= 0 && at < end ? at : start));
    },
  );
};

const openPermits = ({ policy, conditions }: Subject): Finding[] => {
  const { effect, principal, action, resource, place } = policy;
  const open = [principal, action, resource].every(({ kind }) => kind === "any");
  return effect === "permit" && open && conditions.length === 0
    ? [warning("open-permit", `${named(policy)} permits everything to everyone`, place)]
    : [];
};

/** Literal entities in an expression, and whether they stand on the right of `in`. */
const literalsIn = (value: unknown, group: boolean): { uid: Uid; group: boolean }[] => {
  if (!isJson(value)) return [];
  if (Array.isArray(value)) return value.flatMap((item) => literalsIn(item, group));
  return Object.entries(value).flatMap(([name, operand]) => {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- Cedar's parser wrote it
    if (name === "__entity") return [{ uid: operand as Uid, group }];
    if (name === "in" && isJson(operand) && !Array.isArray(operand))
      return [...literalsIn(operand["left"], false), ...literalsIn(operand["right"] ?? operand, true)];
    return literalsIn(operand, group && (name === "Value" || name === "Set"));
  });
};

const inHead = (scope: CompiledPolicy["principal"]): { uid: Uid; group: boolean }[] => {
  if (scope.kind === "equal") return [{ uid: scope.uid, group: false }];
  const uid = scope.kind === "in" ? scope.uid : scope.kind === "is" ? scope.in : undefined;
  return uid ? [{ uid, group: true }] : [];
};

const unknownEntities = ({ policy, conditions }: Subject, { schema, known }: World): Finding[] => {
  const literals = [
    ...inHead(policy.principal),
    ...inHead(policy.resource),
    ...conditions.flatMap(({ body }) => literalsIn(body, false)),
  ];
  const missing = literals.filter(({ uid, group }) => {
    const type = schema.types.get(uid.type);
    if (!type || type.ids || known.has(uidKey(uid))) return false;
    return group || type.stored || type.name === schema.agentType;
  });
  const texts = [...new Set(missing.map(({ uid }) => uidText(uid)))];
  return texts.map((text) => {
    const at = Math.max(0, policy.text.indexOf(text));
    return warning(
      "unknown-entity",
      `${named(policy)} names \`${text}\`, which isn't known`,
      placeAt(policy, at),
    );
  });
};

const hasNode = (value: unknown, wanted: (operator: string, operand: unknown) => boolean): boolean => {
  if (Array.isArray(value)) return value.some((item) => hasNode(item, wanted));
  const [operator, operand] = operatorOf(value) ?? [];
  if (operator === undefined) return false;
  if (wanted(operator, operand)) return true;
  return isJson(operand) && Object.values(operand).some((part) => hasNode(part, wanted));
};

const ofPrincipal = (operand: unknown): boolean =>
  isJson(operand) && pathOf(operand["left"])?.join() === "principal";

const inheritedPermits = ({ policy, conditions, actions }: Subject, { schema }: World): Finding[] => {
  const { effect, principal, place } = policy;
  const { agentType, userType } = schema;
  if (effect !== "permit" || agentType === undefined || userType === undefined) return [];
  const both = actions.some(({ principalTypes }) =>
    [agentType, userType].every((type) => principalTypes.includes(type)),
  );
  if (!both) return [];
  const groups: Uid[] = principal.kind === "in" ? [principal.uid] : [];
  const bodies = conditions.map(({ body }) => body);
  const told = hasNode(bodies, (operator, operand) => operator === "is" && ofPrincipal(operand));
  if (principal.kind === "any" && !told)
    hasNode(bodies, (operator, operand) => {
      if (operator === "in" && ofPrincipal(operand))
        groups.push(...literalsIn({ in: operand }, false).map(({ uid }) => uid));
      return false;
    });
  const group = groups.find(({ type }) => [agentType, userType].every((each) => canBeIn(schema, each, type)));
  if (!group) return [];
  const text = uidText(group);
  const message = `${named(policy)} permits to whoever is in \`${text}\`, people and agents alike; say \`is ${userType}\` or \`is ${agentType}\``;
  return [warning("inherited-permit", message, place)];
};

const uncountedBudgets = ({ policy, conditions, actions }: Subject, { snapshot }: World): Finding[] =>
  budgetNamesIn(conditions.map(({ body }) => body)).names.flatMap((name) => {
    const counted = snapshot.head.book.budgets.find(({ id }) => id === name)?.for.actions;
    if (!counted || actions.some(({ uid }) => counted.includes(uidKey(uid)))) return [];
    const at = Math.max(0, policy.text.indexOf(name));
    const message = `${named(policy)} reads the budget \`${name}\`, which counts none of the policy's actions: it is never there`;
    return [warning("budget-not-counted", message, placeAt(policy, at))];
  });

/** What a policy says, without its annotations. */
const meaning = ({ policy: { effect, principal, action, resource }, conditions }: Subject): string =>
  JSON.stringify({ effect, principal, action, resource, conditions });

/** Compares each policy with the ones without conditions: the others can't be told from their heads. */
const overlaps = (subjects: readonly Subject[], { actions }: World): Finding[] => {
  const first = new Map<string, CompiledPolicy>();
  const broad = new Map<string, Subject[]>();
  for (const subject of subjects) {
    if (subject.conditions.length > 0) continue;
    const key = headKey(subject.policy);
    const filed = broad.get(key) ?? [];
    broad.set(key, filed);
    filed.push(subject);
  }
  return subjects.flatMap((subject): Finding[] => {
    const { policy } = subject;
    const twin = first.get(meaning(subject));
    const where = (other: CompiledPolicy): string =>
      `${named(other)} (${other.place.file}:${other.place.line})`;
    if (twin)
      return [warning("duplicate-policy", `${named(policy)} says the same as ${where(twin)}`, policy.place)];
    first.set(meaning(subject), policy);
    const wider = coveringKeys(policy)
      .flatMap((key) => broad.get(key) ?? [])
      .filter((other) => other.policy !== policy && covers(other.policy, policy, actions));
    const forbid = wider.find((other) => other.policy.effect === "forbid");
    if (policy.effect === "permit" && forbid) {
      const message = `${named(policy)} can never permit: ${where(forbid.policy)} forbids all of it`;
      return [warning("never-applies", message, policy.place)];
    }
    if (policy.notes.obligation) return [];
    const cover = wider.find(
      (other) => other.policy.effect === policy.effect && meaning(other) !== meaning(subject),
    );
    if (!cover) return [];
    const message = `${named(policy)} changes nothing: ${where(cover.policy)} covers all of it`;
    return [warning("shadowed-policy", message, policy.place)];
  });
};

const placeOfAction = (schemas: readonly SourceFile[], { uid: { id } }: Action): Place => {
  for (const { file, text } of schemas) {
    const quoted = text.indexOf(JSON.stringify(id), Math.max(0, text.search(/\baction\b/)));
    const at = quoted >= 0 ? quoted : text.search(new RegExp(String.raw`(?<=\baction\b[^;{]*?)\b${id}\b`));
    if (at >= 0) return placesIn(file, text)(at);
  }
  return { file: schemas[0]!.file, line: 1, column: 1 };
};

/** What stands in the schema or in `budgets.yaml` and that policies leave alone. */
const unused = (subjects: readonly Subject[], { snapshot, actions, schema, schemas }: World): Finding[] => {
  const { budgets } = snapshot.head.book;
  const permitted = new Set(
    subjects
      .filter(({ policy }) => policy.effect === "permit")
      .flatMap((subject) => subject.actions.map(({ uid }) => uidKey(uid))),
  );
  const isCounted = (key: string): boolean =>
    budgets.some(({ for: { actions: counted } }) => !counted || counted.includes(key));
  const ofActions = actions.flatMap((action): Finding[] => {
    const key = uidKey(action.uid);
    const text = `\`${uidText(action.uid)}\``;
    const metered = schema.actionNames
      .get(action.uid.id)
      ?.some((each) => each.metered && uidKey(each.uid) === key);
    const place = placeOfAction(schemas, action);
    return [
      ...(permitted.has(key) ? [] : [warning("unused-action", `no policy permits ${text} to anyone`, place)]),
      ...(metered === true && !isCounted(key)
        ? [
            warning(
              "metered-without-budget",
              `${text} is metered, and no budget counts it: it is always denied`,
              place,
            ),
          ]
        : []),
    ];
  });
  const ofBudgets = budgets
    .filter(({ for: { actions: counted } }) =>
      counted ? !counted.some((key) => permitted.has(key)) : permitted.size === 0,
    )
    .map(({ id }) =>
      warning(
        "unused-budget",
        `the budget \`${id}\` counts nothing that any policy permits`,
        snapshot.placeOfBudget(id),
      ),
    );
  return [...ofActions, ...ofBudgets];
};

const knownOf = (entities: readonly CedarEntity[]): Set<string> =>
  new Set(entities.flatMap(({ uid, parents }) => [uidKey(uid), ...parents.map(uidKey)]));

/** Cedar's own warnings, by our rules. */
const ofValidator = ({ warnings }: Snapshot): Finding[] =>
  warnings.map((found) =>
    warning(/policy is impossible/.test(found.message) ? "never-applies" : "validator", found.message, found),
  );

const inOrder = (a: Finding, b: Finding): number =>
  a.file === b.file
    ? (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)
    : a.file < b.file
      ? -1
      : 1;

/** All findings about a snapshot, by file and place. */
export const lint = (cedar: Cedar, snapshot: Snapshot, schemas: readonly SourceFile[]): Finding[] => {
  const { schema } = snapshot.head;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `buildSnapshot`
  const source = JSON.parse(snapshot.source) as { schema: string };
  const json = cedar.call((module) => module.schemaToJsonWithResolvedTypes(source.schema));
  const actions = json.type === "success" ? actionsOf(json.json, snapshot.set.actions) : [];
  const world: World = { schema, snapshot, actions, known: knownOf(snapshot.entities), schemas };
  const subjects = snapshot.set.policies.map((policy): Subject => {
    const answer = cedar.call((module) => module.policyToJson(policy.text));
    const conditions = answer.type === "success" ? answer.json.conditions : [];
    return { policy, conditions, actions: actionsIn(schema, policy, actions) };
  });
  const single = [forbidsThatErr, openPermits, unknownEntities, inheritedPermits, uncountedBudgets];
  return [
    ...ofValidator(snapshot),
    ...subjects.flatMap((subject) => single.flatMap((rule) => rule(subject, world))),
    ...overlaps(subjects, world),
    ...unused(subjects, world),
  ].sort(inOrder);
};
