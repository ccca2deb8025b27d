/** Nodes joined by a list (runtime/engine/static), in one process: an authority, a certificate for each, free ports. */
import { mkdirSync, writeFileSync } from "node:fs";
import type { Server } from "node:net";
import { join } from "node:path";
import { issue, makeAuthority } from "../../lib/x509.ts";
import type { Joined } from "../../runtime/engine/joined.ts";
import { engineOptions, type StaticOptions } from "../../runtime/engine/options.ts";
import { Static } from "../../runtime/engine/static/static.ts";
import { Hosts } from "./hosts.ts";
import { freePorts } from "./project.ts";

const hourMs = 60 * 60 * 1000;
const ago = (ms: number): Date => new Date(Date.now() - ms);

export const authority = (name = "nodes of a test") =>
  makeAuthority({ name, from: ago(1_000 * hourMs), until: ago(-9_000 * hourMs) });

export type Authority = ReturnType<typeof authority>;

/** By milliseconds from now until it expires; a past one is expired. */
export function writeKeys(folder: string, by: Authority, node: string, forMs = 8_000 * hourMs): void {
  const made = issue(by, { name: node, uri: `cage://node/${node}`, from: ago(500 * hourMs), until: ago(-forMs) });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "ca.pem"), by.cert);
  writeFileSync(join(folder, "node.pem"), made.cert);
  writeFileSync(join(folder, "node-key.pem"), made.key);
}

export type Cages = Readonly<Record<string, readonly string[]>>;

export interface Joining {
  /** It has the certificate that lies there; default is a new one of the list's authority. */
  readonly keys?: "found";
  readonly process?: number;
  /** Nodes of which its own list says something else. */
  readonly nodes?: StaticOptions["nodes"];
}

export class List {
  readonly hosts = new Hosts();
  readonly authority = authority();
  readonly options: StaticOptions;

  private constructor(options: StaticOptions) {
    this.options = options;
  }

  /** Cages by node; each has a free port of loopback. */
  static async of(cages: Cages): Promise<List> {
    const ports = await freePorts(Object.values(cages).flat().length);
    const nodes = Object.fromEntries(
      Object.entries(cages).map(([node, names]) => [
        node,
        Object.fromEntries(names.map((cage) => [cage, `127.0.0.1:${ports.pop()}`])),
      ]),
    );
    return new List(engineOptions.parse({ kind: "static", nodes }) as StaticOptions);
  }

  keysOf(node: string): string {
    return join(this.hosts.folder, node, "keys");
  }

  portOf(node: string, cage: string): number {
    return Number(this.options.nodes[node]?.[cage]?.split(":")[1]);
  }

  /** Not started. */
  join(node: string, cage: string, given: Joining = {}): Joined {
    if (given.keys === undefined) writeKeys(this.keysOf(node), this.authority, node);
    return this.hosts.join({ node, cage, process: given.process ?? 1 }, async ({ me, home }) => {
      const options = { ...this.options, nodes: { ...this.options.nodes, ...given.nodes } };
      return new Static({ options, me, root: home, keysDir: this.keysOf(node), listen });
    });
  }

  remove(): Promise<void> {
    return this.hosts.remove();
  }
}

/** As a supervisor's: resolves when it listens. */
export const listen = (server: Server, { host, port }: { readonly host: string; readonly port: number }) =>
  new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
