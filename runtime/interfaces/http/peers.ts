/**
 * Who asks: addresses, and which of them are proxies of ours (`trusted`), whose word about others counts.
 *
 *     client --- proxy (trusted) --- us        x-forwarded-for: CLAIMED, CLIENT      the last one that is not trusted
 */
import { BlockList, isIP, isIPv6 } from "node:net";
import { z } from "../../../lib/schema.ts";

/** As a configuration writes one. */
export const network = z.string().refine(
  (text) => {
    const [address = "", bits] = text.split("/");
    const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    return most > 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= most));
  },
  { message: 'write an address or a network, like "127.0.0.1" or "10.0.0.0/8"' },
);

export class Peers {
  readonly #trusted = new BlockList();
  readonly #any: boolean;

  constructor(networks: readonly string[]) {
    this.#any = networks.length > 0;
    for (const network of networks) {
      const [address = "", bits] = network.split("/");
      const family = isIPv6(address) ? "ipv6" : "ipv4";
      if (bits === undefined) this.#trusted.addAddress(address, family);
      else this.#trusted.addSubnet(address, Number(bits), family);
    }
  }

  trusts(address: string): boolean {
    return this.#any && isIP(address) !== 0 && this.#trusted.check(address, isIPv6(address) ? "ipv6" : "ipv4");
  }

  /** Whom a trusted `peer` asks for: every hop adds the one it saw, so only the end of the list can be believed. */
  behind(peer: string, forwarded: string | undefined): string {
    const hops = (forwarded ?? "").split(",").map((hop) => plain(hop.trim()));
    let from = peer;
    while (this.trusts(from)) {
      const hop = hops.pop() ?? "";
      if (isIP(hop) === 0) break;
      from = hop;
    }
    return from;
  }
}

/** As people write it: an IPv4 peer of an IPv6 socket is "::ffff:10.0.0.7" to the kernel. */
export const plain = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, "");

/** What counts as one client: an IPv6 network of 64 bits is what one household or one rented machine has. */
export function clientOf(address: string): string {
  if (!isIPv6(address)) return address;
  const [left = "", right] = address.split("::");
  const head = left === "" ? [] : left.split(":");
  const tail = right === undefined || right === "" ? [] : right.split(":");
  const zeros = Array<string>(Math.max(0, right === undefined ? 0 : 8 - head.length - tail.length)).fill("0");
  return `${[...head, ...zeros, ...tail].slice(0, 4).join(":")}::/64`;
}
