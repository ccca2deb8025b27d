/**
 * Engines of several nodes in one process, joined by a NATS server: each node with a directory of its own for sockets, as a
 * host has. `remove` stops what was started.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Joined } from "../../runtime/engine/joined.ts";
import { Nats } from "../../runtime/engine/nats/nats.ts";
import { engineOptions, type NatsOptions } from "../../runtime/engine/options.ts";
import { keyOf } from "./session.ts";

export class Nodes {
  readonly #options: Partial<NatsOptions> & { readonly servers: readonly string[] };
  readonly #folder = mkdtempSync(join(tmpdir(), "nodes-"));
  readonly #engines: Joined[] = [];
  readonly #processes = new Map<string, number[]>();

  constructor(options: Partial<NatsOptions> & { readonly servers: readonly string[] }) {
    this.#options = options;
  }

  /** Not started. `state`: another state directory than the node's own. */
  join(node: string, cage: string, number = 1, more: Partial<NatsOptions> & { readonly state?: string } = {}): Joined {
    const { state = node, ...options } = more;
    const home = join(this.#folder, state);
    const runDir = join(home, "run");
    mkdirSync(runDir, { recursive: true });
    const me = { node, cage, process: number };
    const register = (change: (processes: number[]) => number[]): void => {
      const file = join(runDir, `${cage}.json`);
      const processes = change(this.#processes.get(file) ?? []);
      this.#processes.set(file, processes);
      if (existsSync(runDir)) writeFileSync(file, JSON.stringify({ node, cage, pid: process.pid, processes }));
    };
    const engine = new Joined({
      me,
      keyOf,
      runDir,
      stateDir: home,
      socketOf: (other, process) => join(runDir, `${other}-${process}.rpc`),
      listen: async (server, path) => {
        await new Promise<void>((listening) => server.listen(path, listening));
        register((processes) => [...processes, number].sort());
        server.on("close", () => register((processes) => processes.filter((each) => each !== number)));
      },
      beyond: async () => {
        const stated = engineOptions.parse({ kind: "nats", ...this.#options, ...options }) as NatsOptions;
        return new Nats({ options: stated, me, nodeId: `the state of ${state}`, root: this.#folder });
      },
    });
    this.#engines.push(engine);
    return engine;
  }

  async remove(): Promise<void> {
    await Promise.all(this.#engines.splice(0).map((engine) => engine.stop()));
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
