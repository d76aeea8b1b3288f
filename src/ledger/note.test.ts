/** Signed notes, checkpoints and receipts against published examples; what was touched is refused. */
import { describe, expect, test } from "vitest";
import { openCheckpoint, parseReceipt, receiptText, signCheckpoint } from "./checkpoint.ts";
import { emptyRoot } from "./merkle.ts";
import { newSignerKey, openNote, parseSignerKey, parseVerifierKey, signNote } from "./note.ts";

// The example in the documentation of the reference implementation (golang.org/x/mod/sumdb/note).
const verifierText = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const signerText = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const text =
  "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const published = `${text}\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n`;

describe("the published example", () => {
  test("is what its key signs, byte for byte", () => {
    const signer = parseSignerKey(signerText)!;
    expect(signNote(text, [signer])).toBe(published);
    expect([signer.text, signer.verifier.text]).toEqual([signerText, verifierText]);
  });

  test("is opened with its key", () => {
    const key = parseVerifierKey(verifierText)!;
    expect(openNote(published, [key])).toEqual({ text, signedBy: [key] });
  });

  test("with any byte changed is refused", () => {
    const key = parseVerifierKey(verifierText)!;
    const bytes = Buffer.from(published);
    for (let at = 0; at < bytes.length; at++) {
      const copy = Buffer.from(bytes);
      copy[at]! ^= 4;
      expect(openNote(copy.toString("latin1"), [key])).toHaveProperty("fault");
      expect(openNote(copy.toString("utf8"), [key])).toHaveProperty("fault");
    }
  });
});

test("a key is refused when its id is another's, its algorithm unknown or its length wrong", () => {
  expect(parseVerifierKey(verifierText.replace("c74f20a3", "c74f20a4"))).toBeUndefined();
  // From the reference implementation's tests: ids adjusted, so that only length and algorithm are wrong.
  for (const wrong of [
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
  ])
    expect(parseVerifierKey(wrong)).toBeUndefined();
  expect(parseSignerKey(signerText.replace("c74f20a3", "c74f20a4"))).toBeUndefined();
  expect(() => newSignerKey("a b")).toThrow("can't name a key");
});

describe("a checkpoint", () => {
  const [old, young, foreign] = ["log.example/a", "log.example/a", "log.example/b"].map(newSignerKey);
  const head = { origin: "log.example/a", size: 7, root: emptyRoot };

  test("signed by two keys is good for who knows either", () => {
    const note = signCheckpoint(head, [old!, young!]);
    for (const key of [old!, young!])
      expect(openCheckpoint(note, [key.verifier])).toEqual({ head, signedBy: [key.verifier] });
  });

  test("says what is wrong: no key known, a wrong signature beside a good one, another log's, no head", () => {
    const note = signCheckpoint(head, [old!]);
    const faultOf = (checked: string, ...keys: (typeof old)[]): unknown =>
      openCheckpoint(
        checked,
        keys.map((key) => key!.verifier),
      );
    expect(faultOf(note, young)).toEqual({ fault: "no key that is trusted signed it" });
    const other = signCheckpoint({ ...head, size: 8 }, [young!]).split("\n\n")[1];
    expect(faultOf(note + other, old, young)).toMatchObject({ fault: expect.stringContaining("is wrong") });
    expect(faultOf(signCheckpoint(head, [foreign!]), foreign)).toMatchObject({
      fault: expect.stringContaining("none of its keys"),
    });
    expect(faultOf(signNote("log.example/a\n07\nAA==\n", [old!]), old)).toEqual({
      fault: "it holds no size and root",
    });
  });

  test("makes a receipt that reads as it was written, as C2SP tlog-proof has it", () => {
    const checkpoint = signCheckpoint(head, [old!]);
    const written = receiptText({ index: 5, path: [emptyRoot, emptyRoot], checkpoint });
    const root = Buffer.from(emptyRoot).toString("base64");
    expect(written).toBe(`c2sp.org/tlog-proof@v1\nindex 5\n${root}\n${root}\n\n${checkpoint}`);
    expect(parseReceipt(written)).toEqual({ index: 5, path: [emptyRoot, emptyRoot], checkpoint });
    expect(receiptText({ index: 0, path: [], checkpoint: "checkpoint\n" })).toBe(
      "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n",
    );
    expect(parseReceipt(written.replace("index 5", "extra Zm9v\nindex 5"))?.index).toBe(5);
    for (const wrong of [written.replace("@v1", "@v2"), written.replace("index 5", "index 05"), "index 5\n"])
      expect(parseReceipt(wrong)).toBeUndefined();
  });
});
