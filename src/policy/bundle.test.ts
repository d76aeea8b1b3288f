/** Bundles: signed, whole, and read back as they were packed. */
import { generateKeyPairSync } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bundleDigest, isBundlePath, packBundle, readBundle } from "./bundle.ts";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const other = generateKeyPairSync("ed25519");

const files = {
  "policies/a.cedar": '@id("a") permit (principal, action, resource);\n',
  "schemas/s.cedarschema": "entity User;\n",
};
const terms = { sequence: 7, createdAt: "2026-11-24T12:00:00Z", expiresAt: "2027-01-01T00:00:00Z" };

const faultOf = (text: string): string => {
  const read = readBundle(text, [publicKey]);
  return "fault" in read ? read.fault : "none";
};

/** The bundle with one thing changed after it was signed. */
const changed = (change: (bundle: Record<string, never>) => unknown): string => {
  const bundle = JSON.parse(packBundle(files, terms, privateKey)) as Record<string, never>;
  change(bundle);
  return JSON.stringify(bundle);
};

test("a signed bundle comes back as it was packed", () => {
  expect(readBundle(packBundle(files, terms, privateKey), [other.publicKey, publicKey])).toEqual({
    manifest: { ...terms, digest: bundleDigest(files) },
    files,
    signedBy: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
  });
});

test.each([
  ["no signature", packBundle(files, terms), "it is not signed"],
  ["the signature of another key", packBundle(files, terms, other.privateKey), /none of the keys trusted$/],
  [
    "another sequence number",
    changed((bundle: Record<string, Record<string, unknown>>) => (bundle["manifest"]!["sequence"] = 8)),
    "its signature is wrong",
  ],
  [
    "a later end",
    changed(
      (bundle: Record<string, Record<string, unknown>>) =>
        (bundle["manifest"]!["expires_at"] = "2099-01-01T00:00:00Z"),
    ),
    "its signature is wrong",
  ],
  [
    "another policy",
    changed(
      (bundle: Record<string, Record<string, unknown>>) => (bundle["files"]!["policies/a.cedar"] = "permit"),
    ),
    "`policies/a.cedar` is not what the manifest says",
  ],
  [
    "one file more",
    changed((bundle: Record<string, Record<string, unknown>>) => (bundle["files"]!["policies/b.cedar"] = "")),
    "`policies/b.cedar` is not what the manifest says",
  ],
  [
    "one file less",
    changed(
      (bundle: Record<string, Record<string, unknown>>) => delete bundle["files"]!["schemas/s.cedarschema"],
    ),
    "`schemas/s.cedarschema` is not what the manifest says",
  ],
  [
    "another format",
    changed((bundle: Record<string, unknown>) => (bundle["format"] = "remit-bundle-v2")),
    "format: must be `remit-bundle-v1`",
  ],
  ["half a file", packBundle(files, terms, privateKey).slice(0, 200), "it is not JSON"],
])("a bundle with %s is refused", (_what, text, fault) => {
  expect(faultOf(text)).toMatch(fault);
});

test("whatever byte of a signed bundle is changed, it is refused or means the same", () => {
  const text = packBundle(files, terms, privateKey);
  const before = readBundle(text, [publicKey]);
  fc.assert(
    fc.property(fc.nat(text.length - 1), fc.integer({ min: 32, max: 126 }), (at, code) => {
      const read = readBundle(text.slice(0, at) + String.fromCharCode(code) + text.slice(at + 1), [
        publicKey,
      ]);
      if (!("fault" in read)) expect(read).toEqual(before);
    }),
  );
});

test("paths of a bundle lie below its folders", () => {
  expect(["policies/a.cedar", "entities/x/y.yaml"].filter(isBundlePath)).toHaveLength(2);
  const strange = [
    "policies",
    "/policies/a",
    "policies//a",
    "policies/../a",
    "policies/./a",
    "data/a",
    "policies/",
  ];
  expect(strange.filter(isBundlePath)).toEqual([]);
});
