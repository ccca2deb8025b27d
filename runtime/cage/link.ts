/**
 * The link between a worker and its supervisor: child-process IPC, a table of messages, and the worker's half.
 *
 * The supervisor owns every listening socket as a raw handle and lends it to the worker, so that a killed worker refuses
 * nobody: connections wait in the kernel's queue for the next one. (Sending a net.Server instead would make the sender
 * accept connections too.) A worker that loses its supervisor drains and leaves.
 *
 * Of several workers the first leads: it watches the files, keeps the texts of each generation and the journal of retried
 * calls, and tells the supervisor which generation the others shall `follow`. What they need of it goes `ahead`.
 */
import type { Server } from "node:net";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import type { Refusal } from "./agreement.ts";

export type Address = { readonly host: string; readonly port: number } | { readonly path: string };

export type ToSupervisor =
  | { readonly kind: "listen"; readonly id: number; readonly address: Address }
  | { readonly kind: "release"; readonly address: Address }
  /** From the first: this generation is for good, its texts are kept, and so many processes are wanted. */
  | { readonly kind: "serving"; readonly generation: number; readonly processes: number }
  /** From the first: shall all serve this generation? Its texts are kept. Answered with who cannot. */
  | { readonly kind: "propose"; readonly id: number; readonly generation: number }
  /** From the others: this generation, which the first serves, does not load here. */
  | { readonly kind: "cannot"; readonly generation: number; readonly message: string }
  /** From the others: a verb for the first. */
  | { readonly kind: "ahead"; readonly id: number; readonly verb: string; readonly args: unknown }
  | { readonly kind: "ready"; readonly summary: unknown }
  | { readonly kind: "failed"; readonly message: string; readonly frame?: string }
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly value?: unknown;
      readonly error?: { code: string; message: string };
    }
  | { readonly kind: "say"; readonly text: string };

export type ToWorker =
  | { readonly kind: "listening"; readonly id: number; readonly error?: { code: string; message: string } }
  | { readonly kind: "ask"; readonly id: number; readonly verb: string; readonly args: unknown }
  | {
      readonly kind: "answered";
      readonly id: number;
      readonly value?: unknown;
      readonly error?: { code: string; message: string };
    }
  | { readonly kind: "follow"; readonly generation: number }
  | { readonly kind: "drain" };

/** What a cage needs of whoever started it. */
export interface Link {
  listen(server: Server, address: Address): Promise<{ port: number }>;
  release(address: Address): void;
  serving(generation: number, processes: number): void;
  /** Resolves with who of the others cannot; undefined: all are ready for it. */
  propose(generation: number): Promise<Refusal | undefined>;
  cannot(generation: number, message: string): void;
  ahead(verb: string, args: unknown): Promise<unknown>;
  ready(summary: unknown): void;
  failed(message: string, frame?: string): void;
  /** A line for whoever watches the terminal. */
  say(text: string): void;
}

/** A listening handle as IPC delivers it: opaque, and taken by `server.listen`. */
type Handle = object;

export interface WorkerHandlers {
  ask(verb: string, args: unknown): Promise<unknown>;
  follow(generation: number): void;
  drain(): void;
  orphaned(): void;
}

export function linkToSupervisor(handlers: WorkerHandlers): Link {
  let nextId = 1;
  const waiting = new Map<
    number,
    (message: Extract<ToWorker, { kind: "listening" }>, handle: Handle | undefined) => void
  >();
  const asked = new Map<number, (message: Extract<ToWorker, { kind: "answered" }>) => void>();
  const send = (message: ToSupervisor): void => {
    if (process.connected) process.send?.(message);
  };

  // Bounded by the supervisor, which answers whatever happens; without one this process is leaving.
  const ask = (message: (id: number) => ToSupervisor): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const id = nextId++;
      asked.set(id, ({ value, error }) =>
        error === undefined ? resolve(value) : reject(new CageError(error.code, error.message)),
      );
      send(message(id));
    });

  process.on("message", (message: ToWorker, handle: unknown) => {
    switch (message.kind) {
      case "listening":
        waiting.get(message.id)?.(message, handle as Handle | undefined);
        waiting.delete(message.id);
        return;
      case "ask":
        handlers.ask(message.verb, message.args).then(
          (value) => send({ kind: "answer", id: message.id, value }),
          (error: { code?: string; message: string }) =>
            send({ kind: "answer", id: message.id, error: { code: error.code ?? "INTERNAL", message: error.message } }),
        );
        return;
      case "answered":
        asked.get(message.id)?.(message);
        asked.delete(message.id);
        return;
      case "follow":
        return handlers.follow(message.generation);
      case "drain":
        return handlers.drain();
    }
  });
  process.on("disconnect", () => handlers.orphaned());

  return {
    async listen(server, address) {
      const id = nextId++;
      const handle = await new Promise<Handle>((resolve, reject) => {
        waiting.set(id, (message, given) => {
          if (given === undefined && message.error?.code === "EADDRINUSE" && "port" in address)
            reject(taken(address, undefined));
          else if (given === undefined)
            reject(new CageError(message.error?.code ?? "INTERNAL", message.error?.message ?? "no handle arrived"));
          else resolve(given);
        });
        send({ kind: "listen", id, address });
      });
      await new Promise<void>((resolve, reject) => {
        // Another program's port shows only now: a bind to it succeeds until somebody listens.
        const refused = (cause: NodeJS.ErrnoException) =>
          reject(cause.code === "EADDRINUSE" && "port" in address ? taken(address, cause) : cause);
        server.once("error", refused);
        server.listen(handle, () => {
          server.removeListener("error", refused);
          // A connection that could not be accepted (no more files may be open) must not end those that are.
          server.on("error", (error) => events.emit("problem", { what: "a connection was not accepted", error }));
          resolve();
        });
      });
      const bound = server.address();
      return { port: typeof bound === "object" && bound !== null ? bound.port : 0 };
    },
    release: (address) => send({ kind: "release", address }),
    serving: (generation, processes) => send({ kind: "serving", generation, processes }),
    cannot: (generation, message) => send({ kind: "cannot", generation, message }),
    propose: async (generation) => (await ask((id) => ({ kind: "propose", id, generation }))) as Refusal | undefined,
    ahead: (verb, args) => ask((id) => ({ kind: "ahead", id, verb, args })),
    ready: (summary) => send({ kind: "ready", summary }),
    failed: (message, frame) => send({ kind: "failed", message, ...(frame === undefined ? {} : { frame }) }),
    say: (text) => send({ kind: "say", text }),
  };
}

const taken = (address: { host: string; port: number }, cause: unknown): CageError =>
  new CageError(
    "PORT_TAKEN",
    `port ${address.port} on ${address.host} is taken by another program; end that, or set another port`,
    { cause },
  );
