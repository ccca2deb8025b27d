/**
 * The thrift resource: another service's methods, as functions.
 *
 *     config/surface.ts    import planet from "../cages/impact/planet.thrift";
 *                          resources: { impact: { protocol: "thrift", port: 9090, idl: planet } }
 *     cages/surface/x.ts   const page = await impact.Forum.thread(session, id);
 *
 * Connects when first asked, outside any request, and again after a loss, with backoff; a refused connection fails the
 * call at once with UNAVAILABLE. Calls are pipelined on `poolSize` connections, and each waits no longer than its
 * request has; past `running` calls at once they wait in line, earliest deadline first. A lost connection ends its calls with UNKNOWN_OUTCOME when they were sent, UNAVAILABLE when not.
 *
 * With `transport: "header"` the trace, the remaining time and the log level of the request go along (request/carried.ts has
 * the names), and an answer OVERLOADED says when to ask again. Not every foreign server reads headers: hence the option.
 *
 * A declared exception arrives as a CageError: `name` the exception's, `code` its `code` field or else its name, the
 * message its own, `details` all its fields. Nothing is retried here.
 */
import { connect, type Socket } from "node:net";
import { z } from "../../lib/schema.ts";
import { ClientSession, DeclaredError } from "../../lib/thrift/client.ts";
import { protocols } from "../../lib/thrift/compact.ts";
import { ThriftError } from "../../lib/thrift/errors.ts";
import type { Headers } from "../../lib/thrift/header.ts";
import { type Plan, type Plans, plansOf } from "../../lib/thrift/plan.ts";
import { schemaOf } from "../../lib/thrift/schema.ts";
import type { Idl } from "../../lib/thrift/typed.ts";
import { CageError, Expired } from "../errors.ts";
import { carriedBy, deadlineName, retryAfterIn } from "../request/carried.ts";
import { Gate } from "../request/gate.ts";
import { current, now, outside, type Request, within } from "../request/request.ts";
import type { Resource, ResourceHost, ResourceProtocol } from "./resource.ts";

const options = z
  .strictObject({
    host: z.string().default("127.0.0.1"),
    port: z.int().min(1).max(65535),
    /** The text of the service's IDL: import it from its .thrift file, and the client is typed by it. */
    idl: z.custom<Idl>((value) => typeof value === "string", "the text of an IDL; import it from its .thrift file"),
    includes: z.record(z.string(), z.string()).default({}),
    poolSize: z.int().min(1).max(16).default(1),
    /** Calls under way at once, over all connections; one connection takes 1,024 that await their answers. */
    running: z.int().min(1).default(1_000),
    /** Calls in line behind them. */
    waiting: z.int().min(0).default(1_000),
    /** How calls are written; a server of ours reads either. */
    encoding: z.enum(["binary", "compact"]).default("binary"),
    /** Framed is what every Thrift server knows; one that does not know "header" ends the connection. */
    transport: z.enum(["framed", "header"]).default("framed"),
    /** Calls over 1 KB go through zlib, and answers with them; of the header transport only. For slow lines: it costs time. */
    compress: z.boolean().default(false),
    /** How long, in ms, the answer is waited for. */
    deadlineHeader: z.string().min(1).default(deadlineName),
    /** Whether calls name their service. Default: when the IDL has more than one. */
    multiplexed: z.boolean().optional(),
    connectTimeoutMs: z.int().positive().default(2000),
  })
  .refine(
    ({ compress, transport }) => !compress || transport === "header",
    'only the header transport compresses: say transport: "header" as well',
  );

export type ThriftOptions = z.output<typeof options>;
export type ThriftClients = Readonly<
  Record<string, Readonly<Record<string, (...args: unknown[]) => Promise<unknown>>>>
>;

/** Between attempts to connect: doubles from the first to the last, so that a dead peer costs little and a live one is found soon. */
const backoffMs = { first: 20, last: 1000 };

/** One place in the pool: a connection, the making of one, or the wait before the next attempt. */
class Line {
  readonly #options: ThriftOptions;
  #session: ClientSession | undefined;
  #connecting: Promise<ClientSession> | undefined;
  #socket: Socket | undefined;
  #notBefore = 0;
  #waitMs = 0;
  #why: unknown;
  #closed = false;

  constructor(chosen: ThriftOptions) {
    this.#options = chosen;
  }

  get load(): number {
    return this.#session?.open ? this.#session.outstanding : 0;
  }

  session(): Promise<ClientSession> | ClientSession {
    if (this.#session?.open) return this.#session;
    if (this.#closed) throw new CageError("UNAVAILABLE", `the thrift resource at ${this.#where} is closed`);
    if (this.#connecting === undefined) {
      if (now() < this.#notBefore) throw this.#refused();
      // Outside: a socket made inside a request would pin it, and with it its generation.
      this.#connecting = outside(() => this.#connect()).finally(() => (this.#connecting = undefined));
    }
    return this.#connecting;
  }

  async #connect(): Promise<ClientSession> {
    const { host, port, connectTimeoutMs } = this.#options;
    const socket = connect({ host, port, noDelay: true, keepAlive: true });
    this.#socket = socket;
    const timer = setTimeout(
      () => socket.destroy(new Error(`no connection within ${connectTimeoutMs} ms`)),
      connectTimeoutMs,
    ).unref();
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
        socket.once("close", () => reject(new Error("closed")));
      });
    } catch (error) {
      this.#waitMs = Math.min(backoffMs.last, this.#waitMs === 0 ? backoffMs.first : this.#waitMs * 2);
      this.#notBefore = now() + this.#waitMs * (0.5 + Math.random() / 2);
      this.#why = error;
      throw this.#refused();
    } finally {
      clearTimeout(timer);
    }
    this.#waitMs = 0;
    const { encoding, transport, compress } = this.#options;
    const session = new ClientSession(socket, { protocol: protocols[encoding], transport, packed: compress });
    this.#session = session;
    return session;
  }

  /** A call got no answer in its time: if nothing at all came since, new calls go by a new connection. */
  suspect(session: ClientSession, sentAt: number): void {
    if (this.#session === session && session.heardAt < sentAt) {
      this.#session = undefined;
      void session.drain();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#session?.open) {
      const session = this.#session;
      // What is still under way at this point belongs to no living generation.
      const timer = setTimeout(() => session.destroy(), 1000).unref();
      await session.drain();
      clearTimeout(timer);
    } else this.#socket?.destroy();
  }

  get #where(): string {
    return `${this.#options.host}:${this.#options.port}`;
  }

  #refused(): CageError {
    const why = (this.#why as Error | undefined)?.message ?? "unknown";
    return new CageError("UNAVAILABLE", `cannot connect to ${this.#where} (${why}); is the service running?`, {
      cause: this.#why,
    });
  }
}

class ThriftResource implements Resource<ThriftClients> {
  readonly client: ThriftClients;
  readonly #lines: readonly Line[];
  readonly #multiplexed: boolean;
  /** What the deadline is called, where calls have headers. */
  readonly #deadlineHeader: string | undefined;
  readonly #gate: Gate;

  constructor(chosen: ThriftOptions, plans: Plans, name: string) {
    this.#gate = new Gate({ name, running: chosen.running, waiting: chosen.waiting });
    this.#lines = Array.from({ length: chosen.poolSize }, () => new Line(chosen));
    this.#multiplexed = chosen.multiplexed ?? plans.services.size > 1;
    this.#deadlineHeader = chosen.transport === "header" ? chosen.deadlineHeader : undefined;
    this.client = Object.fromEntries(
      [...plans.services].map(([service, methods]) => [
        service,
        Object.fromEntries([...methods].map(([name, plan]) => [name, (...args: unknown[]) => this.#call(plan, args)])),
      ]),
    );
  }

  async check(): Promise<void> {
    await this.#quietest().session();
  }

  async close(): Promise<void> {
    await Promise.all(this.#lines.map((line) => line.close()));
  }

  #call(plan: Plan, args: readonly unknown[]): Promise<unknown> {
    const request = current();
    return this.#gate.pass(request, () => this.#send(request, plan, args));
  }

  async #send(request: Request, plan: Plan, args: readonly unknown[]): Promise<unknown> {
    const line = this.#quietest();
    const ready = line.session();
    const session = ready instanceof ClientSession ? ready : await within(request, plan.label, ready);
    const sentAt = now();
    const deadlineHeader = this.#deadlineHeader;
    let retryAfterMs: number | undefined;
    try {
      return await session.call(plan, args, {
        multiplexed: this.#multiplexed,
        onStop: (listener) => request.onStop(listener),
        ...(deadlineHeader !== undefined && {
          headers: () => carriedBy(request, deadlineHeader),
          answered: (headers: Headers) => (retryAfterMs = retryAfterIn(headers)),
        }),
      });
    } catch (error) {
      if (request.expired) line.suspect(session, sentAt);
      // Without a word of the server's: its connection is full, and in the time of a call one of them has ended.
      const waitMs = (): number => retryAfterMs ?? Math.max(1, Math.ceil(this.#gate.status().heldMs ?? unknownMs));
      const full = error instanceof ThriftError && error.code === "OVERLOADED";
      throw mapped(error, plan, request, full || retryAfterMs !== undefined ? { retryAfterMs: waitMs() } : undefined);
    }
  }

  #quietest(): Line {
    let best = this.#lines[0] as Line;
    for (const line of this.#lines) if (line.load < best.load) best = line;
    return best;
  }
}

/** What is said of a call's time before one was measured. */
const unknownMs = 1_000;

type Facts = Readonly<Record<string, unknown>>;

/** `beside`: what came beside the answer. */
function mapped(error: unknown, plan: Plan, request: Request, beside: Facts | undefined): unknown {
  if (error instanceof DeclaredError) {
    const declared = new CageError(error.code, error.message, {
      details: { ...error.details, ...beside },
      cause: error,
    });
    declared.name = error.name;
    return declared;
  }
  if (error instanceof ThriftError) {
    // An argument that its own IDL does not allow is a fault of the code that called, not of whoever asked for it.
    const code = error.code === "BAD_VALUE" ? "INTERNAL" : error.code;
    return new CageError(code, error.message, { cause: error, ...(beside && { details: beside }) });
  }
  if (error !== request.stopped || request.stopped?.code !== "EXPIRED") return error;
  return new Expired(`${plan.label}: the deadline of ${request.label} passed`, { cause: error });
}

export const thrift: ResourceProtocol<ThriftOptions, ThriftClients> = {
  protocol: "thrift",
  options: options as unknown as z.ZodType<ThriftOptions>,
  async open(chosen: ThriftOptions, host: ResourceHost) {
    try {
      const schema = schemaOf(chosen.idl, {
        file: `${host.name}.idl`,
        include: (path) => {
          const text = chosen.includes[path];
          return text === undefined ? undefined : { text, file: path };
        },
      });
      return new ThriftResource(chosen, plansOf(schema), host.name);
    } catch (error) {
      throw new CageError("CONFIG", `resource ${host.name}: ${(error as Error).message}`, { cause: error });
    }
  },
};
