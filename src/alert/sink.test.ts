/** A sink's configuration: what is taken, what is refused, and what is read from files when it is used. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSink, sinkFields, sinkOf, sinkShape, sinksFor } from "./sink.ts";

const webhook = {
  name: "pager",
  url: "https://alerts.example/hook",
  format: "webhook",
  secret_file: "pager.secret",
};
const { secret_file: _file, ...unsigned } = { ...webhook, format: "slack" };

const faults = (sink: object): string[] => {
  const parsed = sinkShape.safeParse(sink);
  return parsed.success
    ? []
    : parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`);
};

describe("the configuration", () => {
  test("a sink is safe unless it says otherwise, and its files are beside the configuration", () => {
    expect(sinkOf(sinkShape.parse(webhook), "/etc/remit")).toEqual({
      name: "pager",
      url: "https://alerts.example/hook",
      format: "webhook",
      secretFile: "/etc/remit/pager.secret",
      allowPrivate: false,
      types: [],
    });
  });

  test.each([
    ["http", { ...webhook, url: "http://alerts.example/" }, "url: must be an https URL"],
    [
      "another scheme",
      { ...webhook, url: "file:///etc/passwd", allow_private: true },
      "url: must be an https URL",
    ],
    ["no URL", { ...webhook, url: "alerts.example" }, "url: must be a URL"],
    [
      "a user in it",
      { ...webhook, url: "https://a:b@alerts.example/" },
      "url: must be without user and fragment",
    ],
    ["only a user in it", { ...webhook, url: "https://a@alerts.example/" }, "url: must be without user"],
    ["a fragment in it", { ...webhook, url: "https://alerts.example/#x" }, "url: must be without user"],
    ["neither URL nor file", { ...webhook, url: undefined }, "url: needs either url or url_file"],
    ["both URL and file", { ...webhook, url_file: "x" }, "url: needs either url or url_file"],
    ["an unsigned webhook", { ...unsigned, format: "webhook" }, "secret_file: is needed"],
    ["a signed Slack message", { ...webhook, format: "slack" }, "secret_file: goes without format slack"],
    ["an unknown type", { ...webhook, types: ["budget.unheard_of"] }, "types.0: "],
    ["an unknown key", { ...webhook, secret: "x" }, ": Unrecognized key"],
    ["a name that is none", { ...webhook, name: "Pager!" }, "name: must be lower-case letters"],
  ])("%s is refused", (_what, sink, message) => {
    expect(faults(sink).join("\n")).toContain(message);
  });

  test("http is taken with allow_private", () => {
    expect(faults({ ...webhook, url: "http://10.0.0.1/", allow_private: true })).toEqual([]);
  });

  test("every setting says what it is for", () => {
    for (const field of Object.values(sinkFields.shape)) expect(field).toHaveProperty("description");
  });
});

test("a sink without types hears of everything, one with types of those", () => {
  const all = sinkOf(sinkShape.parse(webhook), "/");
  const some = { ...all, name: "some", types: ["runaway", "budget.exhausted"] as const };
  expect(sinksFor([all, some], "runaway")).toEqual(["pager", "some"]);
  expect(sinksFor([all, some], "hold.lapsed")).toEqual(["pager"]);
});

describe("opening", () => {
  const dir = mkdtempSync(join(tmpdir(), "remit-sink-"));
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text);
    return join(dir, name);
  };
  const secret = `whsec_${Buffer.alloc(24, 1).toString("base64")}`;

  test("a URL and secrets changed on disk count from the next use on", async () => {
    const urlFile = file("url", "https://one.example/\n");
    const secretFile = file("secret", `${secret}\n`);
    const sink = { urlFile, secretFile, allowPrivate: false };
    expect((await openSink(sink)).url.href).toBe("https://one.example/");
    file("url", "https://two.example/\n");
    file("secret", `${secret}\n${secret}\n`);
    const { url, secrets } = await openSink(sink);
    expect([url.href, secrets.length]).toEqual(["https://two.example/", 2]);
  });

  test("what can't be used is named without telling it", async () => {
    const use = (text: string) => openSink({ urlFile: file("bad", text), allowPrivate: false });
    await expect(use("http://secret.example/T0/B0/xyz")).rejects.toThrow(
      /^url_file can't be used: must be an https URL/,
    );
    await expect(use("http://secret.example/T0/B0/xyz")).rejects.not.toThrow("xyz");
    const url = "https://one.example/";
    await expect(
      openSink({ url, secretFile: file("short", "whsec_c2hvcnQ="), allowPrivate: false }),
    ).rejects.toThrow("secret_file can't be used: a secret has 24 to 64 bytes");
    await expect(openSink({ url, secretFile: join(dir, "missing"), allowPrivate: false })).rejects.toThrow(
      "secret_file can't be used: ENOENT",
    );
  });
});
