/**
 * Engines of several nodes in one process: each node with a directory of its own for sockets, as a host has, and joined by
 * what the test gives. `remove` stops what was started.
 */
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Beyond } from "../../runtime/engine/beyond.ts";
import type { Instance } from "../../runtime/engine/engine.ts";
import { Joined } from "../../runtime/engine/joined.ts";
import { keyOf } from "./session.ts";

export interface Host {
  readonly me: Required<Instance>;
  /** Of the node. */
  readonly home: string;
}

export class Hosts {
  readonly folder = mkdtempSync(join(tmpdir(), "hosts-"));
  readonly #engines: Joined[] = [];
  readonly #processes = new Map<string, number[]>();

  /** Not started. `state`: another state directory than the node's own. */
  join(me: Required<Instance>, beyond: (host: Host) => Promise<Beyond>, state = me.node): Joined {
    const { node, cage, process: number } = me;
    const home = join(this.folder, state);
    const runDir = join(home, "run");
    mkdirSync(runDir, { recursive: true });
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
      beyond: () => beyond({ me, home }),
    });
    this.#engines.push(engine);
    return engine;
  }

  async remove(): Promise<void> {
    await Promise.all(this.#engines.splice(0).map((engine) => engine.stop()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}
