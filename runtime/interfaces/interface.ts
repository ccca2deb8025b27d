/**
 * What an interface is: a named way in, of some protocol, that turns what arrives into requests.
 *
 *     config/shop.ts       interfaces: { web: { protocol: "http", port: 8080 } }
 *     cages/shop/web.ts    answers it: the module of the interface's name, in the generation current at that moment
 *
 * Life: `create` (no side effects) -> `start` (listens; resolves when it would be served) -> `drain` (accepts nothing
 * new, finishes what runs, bounded by the host's deadline) -> `stop`. A changed configuration creates and starts the
 * new one before the old one drains; both may hold the same listening socket, which the supervisor owns and counts.
 * Code changes never touch an interface: `serve` takes the generation anew for each piece of work. Beside its module's own
 * handlers, which come first, `answers` of the configuration may name functions of any module (answers.ts).
 *
 *     const tick: InterfaceProtocol<{ everyMs: number }> = {
 *       protocol: "tick",
 *       options: z.strictObject({ everyMs: z.int().min(10) }),
 *       create(options, host) {
 *         let timer: NodeJS.Timeout;
 *         return {
 *           url: undefined,
 *           async start() {
 *             timer = setInterval(() => host.serve({ label: "tick" }, async (module) => (module["tick"] as () => void)()), options.everyMs);
 *           },
 *           async drain() { clearInterval(timer); },
 *           async stop() {},
 *         };
 *       },
 *     };
 */
import type { Server } from "node:net";
import type { z } from "../../lib/schema.ts";
import type { Line } from "../engine/engine.ts";
import type { LogLevel, Request, Trace } from "../request/request.ts";
import type { Answer, Answers } from "./answers.ts";

export interface Interface {
  /** Where it can be reached, for people; undefined when that has no meaning. */
  readonly url: string | undefined;
  /** What else its operator may want to see, by name: when a schedule fires next. null: there is nothing to say. */
  readonly status?: Readonly<Record<string, string | number | null>> | undefined;
  start(): Promise<void>;
  drain(): Promise<void>;
  stop(): Promise<void>;
}

export interface Work {
  readonly label: string;
  /** At most this long, from now. Default: the interface's own limit (10 s). */
  readonly timeoutMs?: number | undefined;
  readonly trace?: Trace | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly principal?: unknown;
  /** The peer's address or instance, as text. */
  readonly from?: string;
  /**
   * Is given the request as soon as it is made, while it may still wait in line: whoever learns that nobody waits for its
   * answer any more calls `request.cancel(why)`.
   */
  readonly accepted?: (request: Request) => void;
  readonly retry?: { readonly id: string; readonly attempt: number } | undefined;
}

/** What a piece of work does, and what becomes of it: an object for those who cannot afford a promise a request. */
export interface Runner<T> {
  handle(module: Handler, request: Request): Promise<T> | T;
  resolve(value: T): void;
  reject(error: unknown): void;
}

export type Handler = Readonly<Record<string, unknown>>;

export interface InterfaceHost {
  /** The interface's name in the configuration, and so its module's name. */
  readonly name: string;
  readonly cage: string;
  /** What the configuration says to answer with; empty when it says nothing. */
  readonly answers: Answers;
  /**
   * The current generation's configuration names this interface, as it is. False before the first swap, and of the old
   * one after a changed configuration: what acts by itself (a schedule) then does not.
   */
  readonly named: boolean;
  /**
   * When another process of the cage, whose place this one took, ceased to act by itself (ms since 1970): what was due since
   * then is still to be done.
   */
  readonly since?: number | undefined;
  /**
   * Asked by what acts by itself, before it does what is due at `at` (ms since 1970): false when another node does or did it.
   * Rejects with UNAVAILABLE when that cannot be known; then it is not done. true at once where no other node can.
   */
  claim(at: number): boolean | Promise<boolean>;
  /** The key by which a cage, or who goes by such a name, proves it (rpc/hello.ts); undefined when there is none. */
  keyOf(name: string): Uint8Array | undefined;
  /** Whoever opened this connection can be called over it by this cage, until what is returned is called. */
  adopt(line: Line): () => void;
  /** Makes `server` accept on an address that the supervisor holds open; PORT_TAKEN with a remedy when it cannot. */
  listen(server: Server, address: { host: string; port: number } | { path: string }): Promise<{ port: number }>;
  /**
   * Runs one piece of work as a request on the current generation: bounded queue, deadline, metrics, events. `work`
   * gets the module of the interface's name (an error with code NOT_FOUND when the cage has none and there are no
   * `answers`, with which it is empty).
   * Rejects with what the handler threw; with EXPIRED at the deadline or CANCELLED, while the handler may go on in its
   * slot; or with OVERLOADED at once when it could not begin in time (`details.retryAfterMs`: ask again then).
   */
  serve<T>(work: Work, handler: (module: Handler, request: Request) => Promise<T> | T): Promise<T>;
  /** As `serve`, with one call of `resolve` or `reject` in place of a promise. */
  take<T>(work: Work, runner: Runner<T>): void;
  /** Calls back after each swap of generations, for those who derive something from the module (routes, IDL). */
  onSwap(listener: () => void): () => void;
  /** The module in the current generation, to look at outside a request (never to run). */
  peek(): Handler | undefined;
}

export interface InterfaceProtocol<Options> {
  readonly protocol: string;
  /** Validates what stands beside `protocol` in the configuration. */
  readonly options: z.ZodType<Options>;
  create(options: Options, host: InterfaceHost): Interface;
  /** It begins work by itself, which must not be done twice: of several processes of a cage only the first opens it. */
  readonly once?: boolean;
  /** With `once`, and these options: nor on two nodes, if they share memory. Each node opens it when it leads (cage/lead.ts). */
  led?(options: Options): boolean;
  /**
   * Looks at the interface's module in a candidate generation, before the swap (and before the first start). Throws to
   * refuse it: the generation before it goes on serving. It must not run the module's functions nor keep it.
   */
  validate?(module: Handler, options: Options, answers?: Answers): void;
  /** Throws at a name in `answers` that names no work of this protocol. A protocol without it takes no answers. */
  checkName?(name: string, answer: Answer, options: Options): void;
}
