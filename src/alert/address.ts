/**
 * Which addresses an alert may be sent to. A sink's URL could otherwise be made to reach what only this machine can
 * (server-side request forgery), so names are resolved first and the very addresses that were checked are used.
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";

export type Address = { address: string; family: number };

/** Finds all addresses of a name. */
export type Resolve = (host: string) => Promise<readonly Address[]>;

export const resolveHost: Resolve = (host) => lookup(host, { all: true });

const listOf = (family: "ipv4" | "ipv6", subnets: readonly (readonly [string, number])[]): BlockList => {
  const list = new BlockList();
  for (const [network, bits] of subnets) list.addSubnet(network, bits, family);
  return list;
};

/** IANA's special-purpose IPv4 addresses (RFC 6890), multicast and what is reserved. */
const special4 = listOf("ipv4", [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
]);

/**
 * All global IPv6 unicast so far. What lies outside is local or carries another address: loopback, link-local,
 * unique local, multicast, IPv4-mapped, NAT64.
 */
const global6 = listOf("ipv6", [["2000::", 3]]);

/** Inside it: protocol assignments with Teredo, documentation, 6to4. */
const special6 = listOf("ipv6", [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
]);

/** Whether an address is one of the public Internet's. */
export const isPublic = (address: string): boolean => {
  // A zone makes sense on the local link only, and `BlockList` answers no to whatever has one.
  if (address.includes("%")) return false;
  switch (isIP(address)) {
    case 4:
      return !special4.check(address, "ipv4");
    case 6:
      return global6.check(address, "ipv6") && !special6.check(address, "ipv6");
    default:
      return false;
  }
};

/**
 * The addresses of a URL's host, all of them checked: a name that has one refused address is refused.
 * @throws Error when there is none, or one is not public and `allowPrivate` is not set
 */
export const checkedAddresses = async (
  hostname: string,
  { allowPrivate, resolve }: { allowPrivate: boolean; resolve: Resolve },
): Promise<Address[]> => {
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const found = isIP(host) === 0 ? await resolve(host) : [{ address: host, family: isIP(host) }];
  const addresses = found.map(({ address }) => ({ address, family: isIP(address.replace(/%.*$/, "")) }));
  if (addresses.length === 0) throw new Error(`\`${host}\` has no address`);
  const refused = addresses.find(({ address }) => !isPublic(address));
  if (refused && !allowPrivate)
    throw new Error(
      `\`${host}\` is at ${refused.address}, which is not public: set allow_private to allow it`,
    );
  return addresses;
};
