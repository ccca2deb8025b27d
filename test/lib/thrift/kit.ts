/** What the tests of lib/thrift share: the IDL of everything, and an echoing server of it on a real socket. */
import { readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Headers } from "../../../lib/thrift/header.ts";
import { type Plan, type Plans, plansOf } from "../../../lib/thrift/plan.ts";
import { type Schema, schemaOf } from "../../../lib/thrift/schema.ts";
import { type ServerOptions, type ServerSession, serveConnection } from "../../../lib/thrift/server.ts";

const here = dirname(fileURLToPath(import.meta.url));

export const path = (name: string): string => join(here, name);

export const schemaOfFile = (name: string): Schema =>
  schemaOf(readFileSync(path(name), "utf8"), {
    file: name,
    include: (file) => ({ text: readFileSync(path(file), "utf8"), file }),
  });

export const every: Plans = plansOf(schemaOfFile("every.thrift"));

export const methodOf = (name: string, plans: Plans = every): Plan => plans.find(name) as Plan;

type Handlers = Readonly<Record<string, (...args: never[]) => unknown>>;

/** An application's error: a code and facts. */
export const refusal = (code: string, message: string, details: Record<string, unknown> = {}): Error =>
  Object.assign(new Error(message), { code, details });

const heard: string[] = [];

export const echoes: Handlers = {
  nothing: () => undefined,
  ping: (word?: string) => word ?? "nothing",
  refuse(how: string) {
    throw how === "gone"
      ? refusal("Gone", "gone", { since: 7n })
      : refusal("Refused", "taken", { code: "TAKEN", fields: { name: "other" } });
  },
  fail(how: string) {
    throw how === "open" ? refusal("LOW_STOCK", "only 3 left") : new Error("secret");
  },
  tell: (what: string) => void heard.push(what),
  told: () => heard,
};

export interface Serving {
  readonly port: number;
  readonly sessions: readonly ServerSession[];
  readonly faults: unknown[];
  /** What came beside each call, in their order. */
  readonly beside: Headers[];
  dial(): Promise<Socket>;
  stop(): Promise<void>;
}

export async function serve(
  handlers: Handlers = echoes,
  plans: Plans = every,
  more: Partial<ServerOptions> = {},
): Promise<Serving> {
  const sessions: ServerSession[] = [];
  const sockets: Socket[] = [];
  const faults: unknown[] = [];
  const beside: Headers[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sessions.push(
      serveConnection(socket, {
        find: (name) => plans.find(name),
        invoke: async (plan, args, headers) => {
          beside.push(headers);
          const handler = handlers[plan.method.name];
          return handler === undefined ? args[0] : handler(...(args as never[]));
        },
        told(error) {
          const { code, message } = error as { code?: string; message: string };
          return code === undefined
            ? { code: "INTERNAL", message: "the operator has the details", open: false }
            : { code, message, open: true, headers: new Map([["x-code", code]]) };
        },
        fault: (error) => void faults.push(error),
        ...more,
      }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    sessions,
    faults,
    beside,
    async dial() {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      sockets.push(socket);
      await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
      return socket;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
