/**
 * What the suite needs of the machine beside Node, as one table: `./cage test` prepares it, and the tests skip by it
 * (test/kit/needs.ts), so that the two cannot disagree about what is missing.
 */
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";

export interface Need {
  readonly what: string;
  /** Debian's package. */
  readonly package: string;
  /** Where it is; undefined when it is missing. */
  find(): string | undefined;
}

export const needs = {
  chromium: {
    what: "Chromium (the browser tests)",
    package: "chromium",
    find: () =>
      process.env["CHROMIUM"] ?? ["chromium", "chromium-browser", "google-chrome"].map(onPath).find((path) => path),
  },
  thrift: {
    what: "the Thrift compiler (interoperation tests)",
    package: "thrift-compiler",
    find: () => onPath("thrift"),
  },
  thriftForPython: {
    what: "Thrift for Python (interoperation tests)",
    package: "python3-thrift",
    // Debian's own: another python on the path has other packages.
    find: () => (existsSync("/usr/lib/python3/dist-packages/thrift") ? present("/usr/bin/python3") : undefined),
  },
  nats: {
    what: "the NATS server (tests of several nodes)",
    package: "nats-server",
    // Debian keeps it where only root's path looks.
    find: () => onPath("nats-server") ?? present("/usr/sbin/nats-server"),
  },
  openssl: {
    what: "OpenSSL's command (tests of TLS make certificates)",
    package: "openssl",
    find: () => onPath("openssl"),
  },
  namespaces: {
    what: "ip netns as root (tests of cut links)",
    package: "iproute2",
    find: () => (mayMakeNetworks() ? (onPath("ip") ?? present("/usr/sbin/ip")) : undefined),
  },
} as const satisfies Readonly<Record<string, Need>>;

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, program)).find(existsSync);
}

const present = (file: string): string | undefined => (existsSync(file) ? file : undefined);

/** A container's root may not: it takes CAP_NET_ADMIN (bit 12) and CAP_SYS_ADMIN (bit 21). */
function mayMakeNetworks(): boolean {
  if (process.getuid?.() !== 0 || !existsSync("/proc/self/status")) return false;
  const [, capabilities = "0"] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
  return [12n, 21n].every((bit) => (BigInt(`0x${capabilities}`) >> bit) % 2n === 1n);
}
