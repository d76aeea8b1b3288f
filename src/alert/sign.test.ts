/** Signatures against the vector of the Standard Webhooks libraries, and what a receiver must refuse. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readSecret, readSecrets, sign, verify } from "./sign.ts";

/** The vector that the reference libraries of Standard Webhooks are tested with. */
const vector = {
  secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
  id: "msg_p5jXN8AQM9LWM0D4loKWxJek",
  atSeconds: 1_614_265_330,
  body: '{"test": 2432232314}',
  signature: "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
};
const ours = readSecret(vector.secret);
const other = readSecret(`whsec_${Buffer.alloc(32, 7).toString("base64")}`);

test("the published vector is signed as published", () => {
  expect(sign(vector, [ours])).toEqual({
    "webhook-id": vector.id,
    "webhook-timestamp": "1614265330",
    "webhook-signature": vector.signature,
  });
});

test("with two secrets, a receiver of either is content", () => {
  const headers = sign(vector, [ours, other]);
  expect(headers["webhook-signature"].split(" ")).toHaveLength(2);
  for (const secret of [ours, other])
    expect(verify(headers, vector.body, [secret], vector.atSeconds)).toEqual({ ok: true, id: vector.id });
});

describe("a receiver", () => {
  const headers = sign(vector, [ours]);
  const reasonOf = (
    given: Record<string, string | undefined>,
    body = vector.body,
    now = vector.atSeconds,
  ) => {
    const verified = verify(given, body, [ours], now);
    return verified.ok ? "accepted" : verified.reason;
  };

  test.each([
    ["another body", headers, `${vector.body} `],
    ["another id", { ...headers, "webhook-id": "msg_other" }, vector.body],
    ["another time", { ...headers, "webhook-timestamp": "1614265331" }, vector.body],
    ["another secret", sign(vector, [other]), vector.body],
    [
      "another version",
      { ...headers, "webhook-signature": vector.signature.replace("v1,", "v1a,") },
      vector.body,
    ],
    ["a cut signature", { ...headers, "webhook-signature": vector.signature.slice(0, -1) }, vector.body],
  ])("refuses %s", (_what, given, body) => {
    expect(reasonOf(given, body)).toBe("no signature matches");
  });

  test("finds its signature among others, also of versions it doesn't know", () => {
    expect(reasonOf({ ...headers, "webhook-signature": `v1a,AAAA v1,AAAA ${vector.signature}` })).toBe(
      "accepted",
    );
  });

  test("refuses what was sent more than five minutes ago, or will be", () => {
    expect(reasonOf(headers, vector.body, vector.atSeconds + 300)).toBe("accepted");
    expect(reasonOf(headers, vector.body, vector.atSeconds - 300)).toBe("accepted");
    for (const away of [301, -301])
      expect(reasonOf(headers, vector.body, vector.atSeconds + away)).toBe(
        "webhook-timestamp is more than 300 s away",
      );
    expect(reasonOf({ ...headers, "webhook-timestamp": "soon" })).toBe("webhook-timestamp is no time");
  });

  test("refuses a missing header", () => {
    for (const name of Object.keys(headers))
      expect(reasonOf({ ...headers, [name]: undefined })).toBe("a webhook header is missing");
  });

  test("accepts whatever was signed", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme" }),
        fc.uint8Array({ minLength: 24, maxLength: 64 }),
        (body, bytes) => {
          const secret = readSecret(`whsec_${Buffer.from(bytes).toString("base64")}`);
          const signed = sign({ ...vector, body }, [other, secret]);
          expect(verify(signed, body, [secret], vector.atSeconds).ok).toBe(true);
        },
      ),
    );
  });
});

describe("a secret", () => {
  test("may be written without padding", () => {
    expect(readSecret(`whsec_${Buffer.alloc(32, 7).toString("base64").replaceAll("=", "")}`)).toEqual(other);
  });

  test.each([
    ["without its prefix", Buffer.alloc(32).toString("base64"), "a secret begins with `whsec_`"],
    ["in base64url", `whsec_${Buffer.alloc(33, 0xff).toString("base64url")}`, "a secret is not base64"],
    ["with a blank in it", "whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw", "a secret is not base64"],
    ["too short", `whsec_${Buffer.alloc(23).toString("base64")}`, "a secret has 24 to 64 bytes, not 23"],
    ["too long", `whsec_${Buffer.alloc(65).toString("base64")}`, "a secret has 24 to 64 bytes, not 65"],
    ["empty", "whsec_", "a secret has 24 to 64 bytes, not 0"],
  ])("%s is refused, and not told", (_how, text, message) => {
    expect(() => readSecret(text)).toThrow(message);
  });

  test("a file holds one a line", () => {
    expect(readSecrets(`${vector.secret}\r\n\n whsec_${Buffer.alloc(32, 7).toString("base64")} \n`)).toEqual([
      ours,
      other,
    ]);
    expect(() => readSecrets("\n")).toThrow("there is no secret in it");
  });
});
