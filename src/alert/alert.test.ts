/** An alert's identity, what receivers read of it, and when it is tried again. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Alert, alertId, alertText, readAlert } from "./alert.ts";
import { delaysMicros, nextAttemptAt, retryAfterMicros } from "./backoff.ts";
import { slackBody, webhookBody } from "./render.ts";

const alert: Alert = {
  id: alertId("budget.threshold", ["agent-daily-usd", "a1", 1_764_000_000_000_000, 80, 1]),
  type: "budget.threshold",
  at: 1_764_000_000_123_456,
  severity: "warning",
  title: "80% of agent-daily-usd is used",
  text: "Agent `a1` has used 4.00 of 5.00 USD.",
  data: { budget: "agent-daily-usd", threshold: 80, used: 4_000_000, limit: 5_000_000 },
};

describe("identity", () => {
  test("F17: the same occasion has the same id, and any other occasion another", () => {
    const occasion = ["agent-daily-usd", "a1", 1_764_000_000_000_000, 80, 1];
    expect(alertId("budget.threshold", occasion)).toBe(alert.id);
    for (const [position] of occasion.entries())
      expect(alertId("budget.threshold", occasion.with(position, 7))).not.toBe(alert.id);
    expect(alertId("budget.exhausted", occasion)).not.toBe(alert.id);
    expect(alertId("runaway", ["a", "b"])).not.toBe(alertId("runaway", ["a,b"]));
    expect(alertId("runaway", ["1"])).not.toBe(alertId("runaway", [1]));
  });

  test("an id holds no full stop, whatever the occasion is made of", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.string({ unit: "binary" }), fc.maxSafeInteger())), (occasion) => {
        expect(alertId("runaway", occasion)).toMatch(/^alert_[\w-]{43}$/);
      }),
    );
  });

  test("an alert is read back as it was kept, and what is none is refused", () => {
    expect(readAlert(alertText(alert))).toEqual(alert);
    for (const text of ["", "{}", "null", "[1", JSON.stringify({ ...alert, id: "a.b" })])
      expect(() => readAlert(text)).toThrow();
    expect(() => readAlert(JSON.stringify({ ...alert, type: "budget.unheard_of" }))).toThrow();
  });
});

test("a webhook's body has the event's own type and time, and the alert's data as data", () => {
  expect(JSON.parse(webhookBody(alert))).toEqual({
    type: "budget.threshold",
    timestamp: "2025-11-24T16:00:00.123456Z",
    id: alert.id,
    severity: "warning",
    title: alert.title,
    text: alert.text,
    data: alert.data,
  });
});

type SlackMessage = { text: string; blocks: { text?: { text: string }; elements?: { text: string }[] }[] };
const slackTexts = (given: Partial<Alert>): string[] => {
  const message = JSON.parse(slackBody({ ...alert, ...given })) as SlackMessage;
  const texts = message.blocks.flatMap((block) => [block.text, ...(block.elements ?? [])]);
  return [message.text, ...texts.flatMap((text) => (text ? [text.text] : []))];
};

describe("a Slack message", () => {
  test("says title, text, severity, type, time and id", () => {
    const all = slackTexts({}).join("\n");
    for (const part of [
      alert.title,
      alert.text,
      "warning",
      alert.type,
      "2025-11-24T16:00:00.123456Z",
      alert.id,
    ])
      expect(all).toContain(part);
  });

  test("mentions nobody and links nothing, whatever a name or text says", () => {
    const hostile = "<!channel> <@U123> <https://evil.example|safe> & @channel (@here) _@everyone_ @bob";
    const all = slackTexts({ title: hostile, text: hostile }).join("\n");
    expect(all).not.toMatch(/[<>]/);
    expect(all).not.toMatch(/&(?!amp;|lt;|gt;)/);
    expect(all).not.toMatch(/@\w/);
    expect(all).toContain("&lt;!channel&gt;");
    const markdown = slackBody(alert).match(/"type":"mrkdwn","text":"[^"]*","verbatim":true/g);
    expect(markdown).toHaveLength(2);
  });

  test("leaves a mail address as it is", () => {
    expect(slackTexts({ text: "owned by owner@example.org" })[1]).toContain("owner@example.org");
  });

  test("keeps the title on one line and takes out what turns text around", () => {
    const [text] = slackTexts({ title: "first\nsecond\u202E\u0007third" });
    expect(text).toBe(":warning: first second  third");
  });

  test("never exceeds Slack's section, never cuts an escape in half, and is well-formed", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 4000, size: "max" }),
        fc.array(fc.constantFrom("&", "<", ">", "@a", "💥", "\uD800", "x"), { maxLength: 4000, size: "max" }),
        (title, parts) => {
          for (const text of slackTexts({ title, text: parts.join("") })) {
            expect(text.length).toBeLessThanOrEqual(3000);
            expect(text).not.toMatch(/[<>]|&(?!amp;|lt;|gt;)/);
            expect(text.isWellFormed()).toBe(true);
          }
        },
      ),
      { numRuns: 50 },
    );
  });
});

describe("trying again", () => {
  const now = 1_764_000_000_000_000;

  test("follows the schedule of Standard Webhooks, 75 h 35 m 5 s in all, and gives up after the tenth attempt", () => {
    const seconds = [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400];
    expect(seconds.map((_, position) => nextAttemptAt(position + 1, now, undefined, 0))).toEqual(
      seconds.map((delay) => now + delay * 1_000_000),
    );
    expect(delaysMicros.reduce((sum, delay) => sum + delay)).toBe((75 * 3600 + 35 * 60 + 5) * 1_000_000);
    expect(nextAttemptAt(10, now, undefined, 0)).toBeUndefined();
    expect(nextAttemptAt(10, now, 60_000_000, 0)).toBeUndefined();
  });

  test("jitter adds up to a tenth and never takes away", () => {
    expect(nextAttemptAt(1, now, undefined, 0.999_999)).toBeLessThan(now + 5_500_000);
    expect(nextAttemptAt(1, now, undefined, 0.5)).toBe(now + 5_250_000);
  });

  test("a receiver can put an attempt off, but not bring it forward", () => {
    expect(nextAttemptAt(1, now, 60_000_000, 0)).toBe(now + 60_000_000);
    expect(nextAttemptAt(2, now, 1_000_000, 0)).toBe(now + 300_000_000);
  });

  test.each([
    ["120", 120_000_000],
    [" 0 ", 0],
    ["Mon, 24 Nov 2025 16:02:00 GMT", 120_000_000],
    ["Mon, 24 Nov 2025 15:00:00 GMT", 0],
    ["999999999", 86_400_000_000],
    ["soon", undefined],
    ["", undefined],
    [undefined, undefined],
  ])("Retry-After `%s` puts off by %s microseconds", (header, expected) => {
    expect(retryAfterMicros(header, now)).toBe(expected);
  });
});
