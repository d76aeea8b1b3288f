/** Cedar's ipaddr: an IPv4 or IPv6 address or a range of them. */

/** An address with all its bits, and how many of them count. */
export type IpRange = {
  readonly kind: "ip";
  readonly bits: 32 | 128;
  readonly address: bigint;
  readonly prefix: number;
};

const octet = /^(?:0|[1-9]\d{0,2})$/;
const group = /^[\da-fA-F]{1,4}$/;

const readV4 = (text: string): bigint | undefined => {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let address = 0;
  for (const part of octets) {
    if (!octet.test(part) || Number(part) > 255) return undefined;
    address = address * 256 + Number(part);
  }
  return BigInt(address);
};

const groupsOf = (text: string): string[] => (text === "" ? [] : text.split(":"));

const readV6 = (text: string): bigint | undefined => {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const [head, tail] = [groupsOf(halves[0]!), groupsOf(halves[1] ?? "")];
  const given = head.length + tail.length;
  // `::` stands for one group at least.
  if (halves.length === 1 ? given !== 8 : given > 7) return undefined;
  const groups = [...head, ...Array<string>(8 - given).fill("0"), ...tail];
  if (!groups.every((part) => group.test(part))) return undefined;
  return groups.reduce((address, part) => address * 65_536n + BigInt(`0x${part}`), 0n);
};

/** Reads an address, with `/prefix` a range; nothing where the text is neither. An IPv4 address inside an IPv6 one is none. */
export const readIpRange = (text: string): IpRange | undefined => {
  const slash = text.indexOf("/");
  const written = slash < 0 ? text : text.slice(0, slash);
  const v4 = readV4(written);
  const address = v4 ?? readV6(written);
  if (address === undefined) return undefined;
  const bits = v4 === undefined ? 128 : 32;
  if (slash < 0) return { kind: "ip", bits, address, prefix: bits };
  const prefix = text.slice(slash + 1);
  if (!octet.test(prefix) || Number(prefix) > bits) return undefined;
  return { kind: "ip", bits, address, prefix: Number(prefix) };
};

const firstOf = ({ bits, address, prefix }: IpRange): bigint => {
  const free = BigInt(bits - prefix);
  return (address >> free) << free;
};

const lastOf = (range: IpRange): bigint => firstOf(range) + (1n << BigInt(range.bits - range.prefix)) - 1n;

/** Whether every address of `inner` is one of `outer`. */
export const isInRange = (inner: IpRange, outer: IpRange): boolean =>
  inner.bits === outer.bits && firstOf(inner) >= firstOf(outer) && lastOf(inner) <= lastOf(outer);

/** 127.0.0.0/8 and ::1, a range only as a whole. */
export const isLoopback = ({ bits, address, prefix }: IpRange): boolean =>
  bits === 32 ? address >> 24n === 127n && prefix >= 8 : address === 1n && prefix === 128;

/** 224.0.0.0/4 and ff00::/8, a range only as a whole. */
export const isMulticast = ({ bits, address, prefix }: IpRange): boolean =>
  bits === 32 ? address >> 28n === 14n && prefix >= 4 : address >> 120n === 255n && prefix >= 8;
