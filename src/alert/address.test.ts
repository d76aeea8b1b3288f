/** Which addresses may be reached: the table, what names resolve to, and how a URL may spell an address. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checkedAddresses, isPublic, type Resolve } from "./address.ts";

const refused: [string, string][] = [
  ["unspecified", "0.0.0.0"],
  ["this network", "0.1.2.3"],
  ["private", "10.0.0.1"],
  ["private", "172.16.0.1"],
  ["private", "172.31.255.255"],
  ["private", "192.168.1.1"],
  ["carrier-grade NAT", "100.64.0.1"],
  ["carrier-grade NAT", "100.127.255.255"],
  ["loopback", "127.0.0.1"],
  ["loopback", "127.255.255.254"],
  ["link-local, cloud metadata", "169.254.169.254"],
  ["protocol assignments", "192.0.0.8"],
  ["documentation", "192.0.2.1"],
  ["documentation", "198.51.100.1"],
  ["documentation", "203.0.113.1"],
  ["6to4 relay", "192.88.99.1"],
  ["benchmarking", "198.19.255.255"],
  ["multicast", "224.0.0.1"],
  ["multicast", "239.255.255.255"],
  ["reserved", "240.0.0.1"],
  ["broadcast", "255.255.255.255"],
  ["unspecified", "::"],
  ["loopback", "::1"],
  ["loopback, written out", "0:0:0:0:0:0:0:1"],
  ["IPv4-mapped loopback", "::ffff:127.0.0.1"],
  ["IPv4-mapped loopback, in hexadecimal", "::ffff:7f00:1"],
  ["IPv4-mapped public", "::ffff:8.8.8.8"],
  ["IPv4-compatible", "::8.8.8.8"],
  ["IPv4-translated", "::ffff:0:127.0.0.1"],
  ["NAT64", "64:ff9b::127.0.0.1"],
  ["NAT64", "64:ff9b::808:808"],
  ["local NAT64", "64:ff9b:1::1"],
  ["discard", "100::1"],
  ["Teredo", "2001::1"],
  ["ORCHID", "2001:20::1"],
  ["documentation", "2001:db8::1"],
  ["documentation", "3fff::1"],
  ["6to4 of a private address", "2002:a00:1::1"],
  ["unique local", "fc00::1"],
  ["unique local", "fdff::1"],
  ["link-local", "fe80::1"],
  ["link-local with a zone", "fe80::1%eth0"],
  ["global with a zone", "2606:4700::1111%eth0"],
  ["site-local", "fec0::1"],
  ["multicast", "ff02::1"],
  ["unassigned", "4000::1"],
  ["not an address", "example.org"],
  ["not an address", ""],
];
test.each(refused)("%s: %s is not public", (_kind, address) => {
  expect(isPublic(address)).toBe(false);
});

test.each([
  "1.1.1.1",
  "8.8.8.8",
  "9.255.255.255",
  "11.0.0.0",
  "100.63.255.255",
  "100.128.0.0",
  "172.15.255.255",
  "172.32.0.0",
  "192.167.255.255",
  "223.255.255.255",
  "2606:4700:4700::1111",
  "2001:4860:4860::8888",
  "2a00:1450::1",
])("%s is public", (address) => {
  expect(isPublic(address)).toBe(true);
});

test("no IPv4 address is public in the dress of an IPv6 one", () => {
  fc.assert(
    fc.property(fc.ipV4(), fc.constantFrom("::ffff:", "::", "64:ff9b::", "::ffff:0:"), (address, prefix) => {
      expect(isPublic(prefix + address)).toBe(false);
    }),
  );
});

const resolver =
  (...addresses: string[]): Resolve =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(":") ? 6 : 4 }));
const never: Resolve = () => Promise.reject(new Error("an address needs no resolution"));

describe("a name", () => {
  const check = (resolve: Resolve, allowPrivate = false) =>
    checkedAddresses("alerts.example", { allowPrivate, resolve });

  test("with public addresses is taken with all of them", async () => {
    expect(await check(resolver("1.1.1.1", "2606:4700::1"))).toEqual([
      { address: "1.1.1.1", family: 4 },
      { address: "2606:4700::1", family: 6 },
    ]);
  });

  test("with one refused address among public ones is refused, and the address is named", async () => {
    await expect(check(resolver("1.1.1.1", "10.0.0.1"))).rejects.toThrow(
      "`alerts.example` is at 10.0.0.1, which is not public",
    );
  });

  test("may be anywhere with allow_private", async () => {
    expect(await check(resolver("10.0.0.1"), true)).toEqual([{ address: "10.0.0.1", family: 4 }]);
  });

  test("without an address is refused, with allow_private too", async () => {
    for (const allowPrivate of [false, true])
      await expect(check(resolver(), allowPrivate)).rejects.toThrow("has no address");
  });
});

test.each([
  "https://127.0.0.1/",
  "https://127.1/",
  "https://2130706433/",
  "https://0x7f000001/",
  "https://0177.0.0.1/",
  "https://[::1]/",
  "https://[::ffff:127.0.0.1]/",
  "https://１２７.０.０.１/",
])("%s is seen for what it is without asking anyone", async (url) => {
  const { hostname } = new URL(url);
  await expect(checkedAddresses(hostname, { allowPrivate: false, resolve: never })).rejects.toThrow(
    "is not public",
  );
  expect(await checkedAddresses(hostname, { allowPrivate: true, resolve: never })).toHaveLength(1);
});
