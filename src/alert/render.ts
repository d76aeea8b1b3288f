/** Alerts as receivers read them: Standard Webhooks events, and messages that Slack and its kin understand. */
import { isoMicros } from "../kit/clock.ts";
import type { Alert, Severity } from "./alert.ts";

/** The body of a webhook (Standard Webhooks 1.0.0, "Payload structure": metadata beside `data` is allowed). */
export const webhookBody = ({ id, type, at, severity, title, text, data }: Alert): string =>
  JSON.stringify({ type, timestamp: isoMicros(at), id, severity, title, text, data });

/** Slack refuses a section whose text is longer, in UTF-16 units. */
const sectionUnitsMax = 3000;
const titleUnitsMax = 200;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;" };
const zeroWidthSpace = "\u200B";

/** Escaped and clipped: an escape is never cut in half, and a clipped text ends in an ellipsis. */
const escaped = (text: string, unitsMax: number): string => {
  let out = "";
  for (const character of text.toWellFormed()) {
    const next = entities[character] ?? character;
    if (out.length + next.length > unitsMax - 1) return `${out}…`;
    out += next;
  }
  return out;
};

/**
 * Foreign text that can't do anything in a message: `<!channel>`, `<@U1>` and links by escaping; `@channel` and
 * `@somebody`, which Slack's kin read from plain text, by a space of no width. Mail addresses stay as they are.
 */
const harmless = (text: string, unitsMax: number): string =>
  escaped(
    text
      .replaceAll(/(?!\n)[\p{Cc}\p{Bidi_Control}]/gu, " ")
      .replaceAll(/(?<![A-Za-z0-9])@(?=\S)/g, `@${zeroWidthSpace}`),
    unitsMax,
  );

const oneLine = (text: string): string => text.replaceAll(/\s+/g, " ").trim();

const signs: Readonly<Record<Severity, string>> = {
  info: ":information_source:",
  warning: ":warning:",
  critical: ":rotating_light:",
};

/** `verbatim` keeps Slack from making links and mentions of its own. */
const markdown = (text: string): { type: "mrkdwn"; text: string; verbatim: true } => ({
  type: "mrkdwn",
  text,
  verbatim: true,
});

/** The body for an incoming webhook of Slack or a service that takes the same. */
export const slackBody = ({ id, type, at, severity, title, text }: Alert): string => {
  const heading = `${signs[severity]} *${harmless(oneLine(title), titleUnitsMax)}*`;
  const room = sectionUnitsMax - heading.length - 1;
  return JSON.stringify({
    text: `${signs[severity]} ${harmless(oneLine(title), titleUnitsMax)}`,
    blocks: [
      { type: "section", text: markdown(`${heading}\n${harmless(text, room)}`) },
      { type: "context", elements: [markdown(`${severity} · ${type} · ${isoMicros(at)} · ${id}`)] },
    ],
  });
};
