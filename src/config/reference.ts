/** The configuration's reference, made from its schema: a page for people, a JSON Schema for editors. */
import { z } from "zod";
import {
  bundleSettings,
  callerSettings,
  certificateSettings,
  configShape,
  introspectionSettings,
  issuerSettings,
  ledgerSettings,
  recordingSettings,
  oauthSettings,
  rateSettings,
  sinkSettings,
  streamSinkSettings,
  settings,
  tlsSettings,
  traceSettings,
  trustDomainSettings,
} from "./schema.ts";
import { type Setting } from "./settings.ts";

const notes = ({ key, kind, default: usual, range }: Setting): string[] => [
  ...(usual === undefined || kind === "structured" ? [] : [`default \`${JSON.stringify(usual)}\``]),
  ...(range ? [`${range[0]} to ${range[1]}`] : []),
  kind === "structured" ? "only in the file" : `\`REMIT_${key.toUpperCase()}\``,
];

const line = (setting: Setting): string =>
  `- \`${setting.key}\`: ${setting.description} (${notes(setting).join("; ")})`;

const fieldLine = ({ key, description, required, default: usual }: Setting): string => {
  const note = required ? "required" : usual === undefined ? "" : `default \`${JSON.stringify(usual)}\``;
  return `- \`${key}\`: ${description}${note === "" ? "" : ` (${note})`}`;
};

/** `docs/reference/config.md`. */
export const configReference = (): string => `# Configuration

Later sources win: defaults, then \`remit.yaml\`, then the environment, then flags of the command line. The file is the one that \`--config\` or
\`REMIT_CONFIG\` names, else \`remit.yaml\` in the working directory if there is one. Unknown settings, in the file or as \`REMIT_…\`, stop the start, and
so does whatever is half set. Folders in the file are relative to the file, elsewhere to the working directory. \`remit config\` prints what is in force,
secrets masked. Editors can check the file against \`schemas/config.schema.json\`.

## Settings

${settings.map(line).join("\n")}

## callers

Each is recognised by one of \`key_hash\`, \`oauth\` and \`certificate\`. \`remit caller add\` adds more while the service runs.

${callerSettings.map(fieldLine).join("\n")}

## callers: oauth

${oauthSettings.map(fieldLine).join("\n")}

## callers: certificate

Exactly one of them.

${certificateSettings.map(fieldLine).join("\n")}

## callers: rate

${rateSettings.map(fieldLine).join("\n")}

## tls

How to serve it and how clients are known by certificates: [transport](../operating.md#transport).

${tlsSettings.map(fieldLine).join("\n")}

## traces

[Traces](../operating.md#traces) by OpenTelemetry.

${traceSettings.map(fieldLine).join("\n")}

## alerts

Each is told of alerts by a signed webhook (Standard Webhooks) or a Slack-compatible message. Try one with \`remit alert test\`.

${sinkSettings.map(fieldLine).join("\n")}

## bundle

Signed policies: [bundles](../operating.md#signed-bundles).

${bundleSettings.map(fieldLine).join("\n")}

## ledger

How checkpoints are signed, anchored and verified: [the ledger](../ledger.md).

${ledgerSettings.map(fieldLine).join("\n")}

## recording

What of questions is kept, and what never reaches the disk: [what is kept](../ledger.md#what-is-kept-of-a-question).

${recordingSettings.map(fieldLine).join("\n")}
## sinks

Where every entry goes besides, as a line of JSON: [streaming](../ledger.md#streaming).

${streamSinkSettings.map(fieldLine).join("\n")}

## issuers

Needed for tokens that callers forward about those who act ([who acts](../identity.md)); for the tokens of callers only where an issuer's keys are not
found through its own metadata, or where its algorithms differ from the default.

${issuerSettings.map(fieldLine).join("\n")}

## issuers: introspection

${introspectionSettings.map(fieldLine).join("\n")}

## trust_domains

${trustDomainSettings.map(fieldLine).join("\n")}
`;

/** `schemas/config.schema.json`. */
export const configJsonSchema = (): string =>
  JSON.stringify({ title: "remit.yaml", ...z.toJSONSchema(configShape, { io: "input" }) });
