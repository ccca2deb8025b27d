/** The real Host over plain sockets: for tests of one interface without a whole cage. */
import type { Server } from "node:net";
import { Host } from "../../runtime/cage/host.ts";
import type { Line } from "../../runtime/engine/engine.ts";
import { parseAnswer } from "../../runtime/interfaces/answers.ts";
import type { Lease, Services } from "../../runtime/request/request.ts";
import { keyOf } from "./session.ts";

export interface TestHost {
  readonly host: Host;
  /** Replaces the handler module, as a reload would. */
  swap(module: Readonly<Record<string, unknown>>): void;
  close(): void;
}

export function createHost(
  module: Readonly<Record<string, unknown>>,
  options: {
    timeoutMs?: number;
    running?: number;
    waiting?: number;
    services?: Services;
    resources?: Record<string, unknown>;
    config?: unknown;
    /** What the configuration says to answer with. */
    answers?: Readonly<Record<string, string>>;
    /** Whether the current configuration names it. */
    named?: () => boolean;
    /** Whether what is due then is this node's to do. */
    claim?: (at: number) => Promise<boolean>;
    /** Takes who may be called over a connection of its own. */
    adopt?: (line: Line) => () => void;
    /** Other modules of the cage, by name, that answers may name. */
    modules?: () => Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  } = {},
): TestHost {
  let generation = 1;
  let current = module;
  const listeners = new Set<() => void>();
  const servers = new Set<Server>();
  const lease = (): Lease => {
    const held = current;
    return {
      id: generation,
      module: (name) => (name === "test" ? held : options.modules?.()[name]),
      resource: (name) => options.resources?.[name],
      config: options.config ?? {},
      again: lease,
      release: () => {},
    };
  };
  const host = new Host({
    name: "test",
    cage: "test",
    timeoutMs: options.timeoutMs ?? 10_000,
    running: options.running ?? 100,
    waiting: options.waiting ?? 100,
    services: options.services ?? ({ node: "test", cage: "test" } as Services),
    answers: new Map(Object.entries(options.answers ?? {}).map(([name, text]) => [name, parseAnswer(text)])),
    named: options.named ?? (() => true),
    lease,
    keyOf,
    ...(options.claim ? { claim: options.claim } : {}),
    ...(options.adopt ? { adopt: options.adopt } : {}),
    listen: async (server, address) => {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        if ("path" in address) server.listen(address.path, resolve);
        else server.listen(address.port, address.host, resolve);
      });
      servers.add(server);
      const bound = server.address();
      return { port: typeof bound === "object" && bound !== null ? bound.port : 0 };
    },
    onSwap: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  });
  return {
    host,
    swap: (next) => {
      current = next;
      generation++;
      for (const listener of listeners) listener();
    },
    close: () => {
      for (const server of servers) server.close();
    },
  };
}
