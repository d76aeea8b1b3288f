/** The description as a page for people: plain HTML without scripts that loads nothing, so that it can be read offline. */
import { createHash } from "node:crypto";
import { isObject, type JsonObject, type JsonValue } from "../../kit/json.ts";
import { version } from "../../kit/version.ts";
import { bodySchema, errorsOf, parametersIn, partsOf, rooms, type Room, sharedSchemas } from "./document.ts";
import { type Operation, shapeOf } from "./operation.ts";

/** The page, and the content security policy that it is sent with. */
export type Page = { html: string; policy: string };

const style = `
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--back:#fff;--box:#f5f6f8;--line:#d5d9de;--link:#0550ae}
@media (prefers-color-scheme:dark){:root{--ink:#e3e6ea;--dim:#a0a8b2;--back:#14171b;--box:#1f242a;--line:#3a414a;--link:#79b8ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1rem;max-width:62rem;font:1rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back)}
a{color:var(--link)}
a:focus-visible,summary:focus-visible,pre:focus-visible{outline:3px solid var(--link);outline-offset:2px}
h1,h2,h3,h4{line-height:1.25}
h2{margin-top:3rem;border-bottom:1px solid var(--line)}
h3{margin-top:2.5rem;overflow-wrap:anywhere}
h4{margin:1.25rem 0 .25rem}
code,pre{font:.875rem/1.45 ui-monospace,monospace}
pre{padding:.75rem;overflow:auto;background:var(--box);border:1px solid var(--line);border-radius:.25rem}
table{border-collapse:collapse;width:100%}
th,td{padding:.25rem .75rem .25rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
nav ul{columns:2 20rem;padding-left:1.25rem}
.skip{position:absolute;left:-100rem}
.skip:focus{position:static}
.dim{color:var(--dim)}
`;

const escapes: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (character) => escapes[character]!);

/** Text with code between backticks, in paragraphs. */
const prose = (text: string): string => escaped(text).replaceAll(/`([^`]+)`/g, "<code>$1</code>");

const anchorOf = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/-$/, "");

/** Wide text scrolls by itself, so the keyboard must reach it, and it must say what it is. */
const pre = (html: string, label: string): string =>
  `<pre role="group" tabindex="0" aria-label="${escaped(label)}"><code>${html}</code></pre>`;

/** A schema as JSON; references lead to where the schema stands. */
const schemaBlock = (schema: JsonObject, label: string): string =>
  pre(
    escaped(JSON.stringify(schema, null, 2)).replaceAll(
      /#\/components\/schemas\/(\w+)/g,
      '<a href="#$1">#/components/schemas/$1</a>',
    ),
    label,
  );

const typeOf = (schema: JsonValue | undefined): string => {
  if (!isObject(schema)) return "";
  const { type, enum: values, format, default: usual } = schema;
  const plain = [format, type].find((each) => typeof each === "string") ?? "any";
  const kind = Array.isArray(values) ? values.map(String).join(" | ") : plain;
  return usual === undefined ? kind : `${kind}; ${JSON.stringify(usual)} by default`;
};

const row = (cells: readonly string[]): string =>
  `<tr><th scope="row"><code>${cells[0]!}</code></th>${cells
    .slice(1)
    .map((cell) => `<td>${cell}</td>`)
    .join("")}</tr>`;

const table = (heads: readonly string[], rows: readonly string[]): string =>
  `<table><thead><tr>${heads.map((head) => `<th scope="col">${head}</th>`).join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;

const parameterTable = (path: string, { query, headers = [] }: Operation): string => {
  const { properties = {}, required = [] } = query ? shapeOf(query) : {};
  const needed = new Set(Array.isArray(required) ? required : []);
  const rows = [
    ...parametersIn(path).map((name) => row([name, "path", "string", "yes"])),
    ...Object.entries(isObject(properties) ? properties : {}).map(([name, schema]) =>
      row([name, "query", escaped(typeOf(schema)), needed.has(name) ? "yes" : "no"]),
    ),
    ...headers.map((name) => row([name, "header", "string", "no"])),
  ];
  if (rows.length === 0) return "";
  return `<h4>Parameters</h4>${table(["name", "in", "type", "required"], rows)}`;
};

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** The example as a command. */
const curlOf = (method: string, path: string, { scope, open, bodyType, example }: Operation): string => {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => {
    const value = example.path?.[name] ?? "";
    return name === "path" ? value : encodeURIComponent(value);
  });
  const query = new URLSearchParams(example.query ?? {}).toString();
  const { body } = example;
  const sent = typeof body === "string" ? body : JSON.stringify(body);
  const parts = [
    `curl -s${method === "GET" || (method === "POST" && body !== undefined) ? "" : ` -X ${method}`} ${quoted(`http://127.0.0.1:8181${filled}${query === "" ? "" : `?${query}`}`)}`,
    ...(scope === "none" || open === true ? [] : [`-H "Authorization: Bearer $REMIT_KEY"`]),
    ...(body === undefined
      ? []
      : [`-H 'Content-Type: ${bodyType ?? "application/json"}'`, `--data-binary ${quoted(sent)}`]),
  ];
  return parts.join(" \\\n  ");
};

const bodySection = ({ body, bodyType, bodyOptional = false }: Operation): string =>
  body === undefined
    ? ""
    : `<h4>Body <span class="dim">${escaped(bodyType ?? "application/json")}${bodyOptional ? ", may be left out" : ""}</span></h4>${schemaBlock(bodySchema(body), "JSON Schema of the body")}`;

const answersSection = (operation: Operation): string => {
  const answers = Object.entries(operation.answers).map(
    ([status, { description, schema, contentType, headers = [] }]) =>
      `<p><code>${status}</code> ${prose(description)}${headers.length === 0 ? "" : ` <span class="dim">Headers: ${headers.map((name) => `<code>${name}</code>`).join(", ")}.</span>`}</p>${schema ? schemaBlock(schema, `JSON Schema of ${status}, ${contentType ?? "application/json"}`) : ""}`,
  );
  const errors = errorsOf(operation).map((status) => `<code>${status}</code>`);
  return `<h4>Answers</h4>${answers.join("")}<p>Errors, as <a href="#Error">Error</a>: ${errors.join(", ")}.</p>`;
};

const operationSection = (name: string, operation: Operation): string => {
  const { method, path } = partsOf(name);
  const { summary, description, scope, orScope, open = false } = operation;
  const or = orScope ? ` or <code>${orScope}</code>` : "";
  const needs =
    scope === "none"
      ? "Whoever may reach the service may ask."
      : `Scope: <code>${scope}</code>${or}.${open ? " On a loopback address, without callers, no key is needed." : ""}`;
  return `<article aria-labelledby="${anchorOf(name)}"><h3 id="${anchorOf(name)}"><code>${escaped(name)}</code></h3>
<p><strong>${prose(summary)}.</strong>${description === undefined ? "" : ` ${prose(description)}`}</p><p>${needs}</p>
${parameterTable(path, operation)}${bodySection(operation)}${answersSection(operation)}
<h4>Example</h4>${pre(escaped(curlOf(method, path, operation)), `Example of ${name}`)}</article>`;
};

const roomSection = ({ name, description, operations }: Room): string =>
  `<section aria-labelledby="${anchorOf(name)}"><h2 id="${anchorOf(name)}">${escaped(name)}</h2><p>${prose(description)}</p>
${Object.entries(operations)
  .map(([each, operation]) => operationSection(each, operation))
  .join("\n")}</section>`;

const contents = (): string =>
  rooms
    .map(
      ({ name, operations }) =>
        `<h3><a href="#${anchorOf(name)}">${escaped(name)}</a></h3><ul>${Object.keys(operations)
          .map((each) => `<li><a href="#${anchorOf(each)}"><code>${escaped(each)}</code></a></li>`)
          .join("")}</ul>`,
    )
    .join("");

const schemaSections = (schemas: JsonObject): string =>
  Object.entries(schemas)
    .map(
      ([name, schema]) =>
        `<h3 id="${name}">${name}</h3>${isObject(schema) ? schemaBlock(schema, `JSON Schema of ${name}`) : ""}`,
    )
    .join("");

/** Writes the page. */
export const docsPage = (): Page => {
  const hash = createHash("sha256").update(style).digest("base64");
  return {
    html: `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Remit ${escaped(version())}: the API</title><style>${style}</style></head>
<body><a class="skip" href="#content">To the content</a>
<header><h1>Remit ${escaped(version())}: the API</h1>
<p>Everything that this service answers. For programs: <a href="/openapi.json"><code>/openapi.json</code></a>, OpenAPI 3.1.
Keys and tokens are sent as <code>Authorization: Bearer …</code>. Every answer bears <code>X-Request-ID</code>.</p></header>
<nav aria-label="Contents"><h2>Contents</h2>${contents()}</nav>
<main id="content">${rooms.map(roomSection).join("\n")}
<section aria-labelledby="schemas"><h2 id="schemas">Schemas</h2>${schemaSections(sharedSchemas)}</section></main></body></html>
`,
    policy: `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  };
};
