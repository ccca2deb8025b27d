/**
 * A client of each protocol that asks `hello` with { who }, the same way: for tests that hold for every interface. What
 * was refused comes back with all that its asker could read.
 */
import { Agent, request as httpRequest } from "node:http";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { openCsp } from "../../lib/csp/client.ts";
import { binary } from "../../lib/thrift/binary.ts";
import { ClientSession } from "../../lib/thrift/client.ts";
import type { ThriftError } from "../../lib/thrift/errors.ts";
import { type Plan, plansOf } from "../../lib/thrift/plan.ts";
import { schemaOf } from "../../lib/thrift/schema.ts";
import type { CageError } from "../../runtime/errors.ts";
import { Session } from "../../runtime/rpc/session.ts";
import { keyOf } from "./session.ts";

export type Outcome =
  | { readonly answer: unknown }
  /** `read`: everything of the refusal that reached the asker. */
  | { readonly code: string; readonly message: string; readonly read: string };

export interface Asker {
  ask(who: string): Promise<Outcome>;
  /** Sends more than the interface takes, where its own client would not. */
  flood?(): Promise<Outcome>;
  /** Goes without a goodbye. */
  leave(): void;
}

export const idl = "service Greeter { string hello(1: string who) }";

const refused = (text: string): Outcome => {
  const { error } = JSON.parse(text) as { error: { code: string; message: string } };
  return { ...error, read: text };
};

/** Settles with `lost` when the connection ends before the answer. */
const lost = (why: string): Outcome => ({ code: "LOST", message: why, read: "" });

export async function dial(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url.replace(/^\w+:/, "http:"));
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await new Promise<void>((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  return socket;
}

export async function httpAsker(url: string): Promise<Asker> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    ask: (who) =>
      new Promise((resolve) => {
        const body = JSON.stringify({ who });
        const headers = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
        const asked = httpRequest(`${url}/hello`, { method: "POST", agent, headers }, (response) => {
          const pieces: Buffer[] = [];
          response.on("data", (piece: Buffer) => pieces.push(piece));
          response.on("end", () => {
            const text = Buffer.concat(pieces).toString();
            const { statusCode = 0, rawHeaders } = response;
            if (statusCode < 400) return resolve({ answer: text.startsWith("{") ? JSON.parse(text) : text });
            resolve({ ...refused(text), read: `${rawHeaders.join(" ")} ${text}` } as Outcome);
          });
        });
        asked.on("error", (error) => resolve(lost(error.message)));
        asked.end(body);
      }),
    leave: () => agent.destroy(),
  };
}

export async function tcpAsker(url: string): Promise<Asker> {
  const socket = await dial(url);
  const waiting: ((outcome: Outcome) => void)[] = [];
  createInterface(socket).on("line", (line) =>
    waiting.shift()?.(line.startsWith('{"error"') ? refused(line) : { answer: JSON.parse(line) as unknown }),
  );
  socket.on("close", () => {
    for (const settle of waiting.splice(0)) settle(lost("closed"));
  });
  return {
    ask: (who) =>
      new Promise((resolve) => {
        if (socket.destroyed) return resolve(lost("closed"));
        waiting.push(resolve);
        socket.write(`${JSON.stringify({ who })}\n`);
      }),
    leave: () => socket.destroy(),
  };
}

const hello = plansOf(schemaOf(idl)).find("hello") as Plan;

export async function thriftAsker(url: string): Promise<Asker> {
  const socket = await dial(url);
  const session = new ClientSession(socket, { protocol: binary });
  return {
    ask: (who) =>
      session.call(hello, [who], { multiplexed: false }).then(
        (answer) => ({ answer }),
        ({ code, message, cause }: ThriftError) => ({
          code: code === "UNKNOWN_OUTCOME" ? "LOST" : code,
          message,
          read: JSON.stringify([code, message, (cause as Error | undefined)?.message]),
        }),
      ),
    leave: () => socket.destroy(),
  };
}

export async function rpcAsker(url: string): Promise<Asker> {
  const socket = await dial(url);
  const session = new Session(
    socket,
    { me: { node: "test", cage: "asker" }, side: "dialled", keyOf },
    { serve: () => Promise.reject(new Error("nobody asks here")), event: () => {} },
  );
  await session.ready;
  const carry = { remainingMs: 60_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "info" } as const;
  const ask = (who: string): Promise<Outcome> =>
    session.call("hello", [who], carry).then(
      (answer) => ({ answer }),
      ({ code, message, details, stack }: CageError) => ({
        code: code === "UNKNOWN_OUTCOME" ? "LOST" : code,
        message,
        read: JSON.stringify([code, message, details, stack?.split("--- in ")[1]]),
      }),
    );
  return {
    ask,
    flood() {
      const flooded = ask("held up");
      // The head of a frame of 4 GiB.
      socket.write(Buffer.alloc(64, 0xff));
      return flooded;
    },
    leave: () => socket.destroy(),
  };
}

export async function cometAsker(url: string): Promise<Asker> {
  const waiting = new Map<number, (outcome: Outcome) => void>();
  const gone = new AbortController();
  const session = openCsp(
    {
      url,
      transport: "longpoll",
      fetch: (input, init) =>
        fetch(input, { ...init, signal: AbortSignal.any([gone.signal, init?.signal ?? gone.signal]) }),
    },
    {
      message(text) {
        const said = JSON.parse(text) as { id: number; answer: unknown; error?: unknown };
        waiting.get(said.id)?.(said.error === undefined ? { answer: said.answer } : refused(text));
        waiting.delete(said.id);
      },
      gone(reason) {
        for (const settle of waiting.values()) settle(lost(reason));
      },
    },
  );
  let asked = 0;
  return {
    ask: (who) =>
      new Promise((resolve) => {
        waiting.set(++asked, resolve);
        session.send(JSON.stringify({ path: "hello", id: asked, data: { who } }));
      }),
    leave: () => gone.abort(),
  };
}
