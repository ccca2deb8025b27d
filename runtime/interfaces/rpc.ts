/**
 * The rpc interface: calls by frames (runtime/rpc/PROTOCOL.md) on an address of one's own, beside the socket by which
 * cages of this node find each other. For programs that speak the frames, on a port or on a unix socket.
 *
 *     interfaces: { api: { protocol: "rpc", port: 7100 } }                                    // serves api.ts, as it is
 *     interfaces: { door: { protocol: "rpc", path: "/run/shop.sock", answers: { "hi.hello": "greeter.hello" } } }
 *
 * What can be called is what the module of the interface's name exports (so one named "api" serves the cage's public
 * face), then what `answers` name. Arguments are positional: given as they came without parentheses, by $1, $2, ... in
 * them. A peer proves its name with a key that lies under state/keys here as it does there (rpc/hello.ts); that name is the
 * request's principal. It is an outsider all the same: errors bring no stack, and `allow` is of the cage's own socket.
 *
 * Reverse connections: a cage that nobody can connect to, behind a firewall, dials out, and is called over that.
 *
 *     // config/shop.ts, where it can be reached; cage<typeof Till>("till") in cages/shop then calls it
 *     interfaces: { door: { protocol: "rpc", host: "0.0.0.0", port: 7100, reverse: ["till"] } }
 *     // config/till.ts, behind the firewall; who may call what there says `allow`
 *     dial: ["shop.example.org:7100"]
 *
 * Both prove their names: state/keys/shop and state/keys/till of each side are copied to the other's (mode 0600). Nothing
 * is encrypted: over a network that others can read, the port belongs in a tunnel.
 */
import { createServer, type Server, type Socket } from "node:net";
import { isAbsolute } from "node:path";
import { setTimeout } from "node:timers/promises";
import { z } from "../../lib/schema.ts";
import type { Carry, Instance, Serve } from "../engine/engine.ts";
import { CageError, coded, told } from "../errors.ts";
import type { Request } from "../request/request.ts";
import { invoke, paths } from "../rpc/api.ts";
import { limits } from "../rpc/limits.ts";
import { Session } from "../rpc/session.ts";
import { isStream } from "../rpc/stream.ts";
import { answerWith } from "./answers.ts";
import type { Handler, Interface, InterfaceHost, InterfaceProtocol, Work } from "./interface.ts";

const options = z
  .strictObject({
    /** 0 takes a free one. */
    port: z.int().min(0).max(65_535).optional(),
    host: z.string().min(1).default("127.0.0.1"),
    /** Of a unix socket. The kernel cuts longer ones silently, and then answers for another. */
    path: z
      .string()
      .refine((path) => isAbsolute(path) && Buffer.byteLength(path) <= 107, "an absolute path of at most 107 bytes")
      .optional(),
    /** Each holds its packers, some 50 KB; more are closed as they come. */
    maxConnections: z.int().min(1).default(1_000),
    /** Calls of one connection at once, beside `running` of all; more are refused, for one peer must not be all. */
    runningPerPeer: z.int().min(1).default(limits.runningPerPeer),
    /** Cages that this one may call over the connection that they opened. */
    reverse: z.array(z.string().regex(/^[A-Za-z0-9_-]{1,32}$/, "the name of a cage")).default([]),
  })
  .refine(({ port, path }) => (port === undefined) !== (path === undefined), "say either a port or a path");

type Options = z.output<typeof options>;

class Rpc implements Interface {
  readonly #options: Options;
  readonly #host: InterfaceHost;
  readonly #server: Server;
  /** Each with when it has ended. */
  readonly #sessions = new Map<Session, Promise<void>>();
  #port: number | undefined;

  constructor(chosen: Options, host: InterfaceHost) {
    this.#options = chosen;
    this.#host = host;
    this.#server = createServer({ noDelay: true, keepAlive: true }, (socket) => this.#accept(socket));
    this.#server.maxConnections = chosen.maxConnections;
  }

  get url(): string | undefined {
    const { host, path } = this.#options;
    if (this.#port === undefined) return undefined;
    return path === undefined ? `rpc://${host}:${this.#port}` : `rpc+unix:${path}`;
  }

  /** Which of those that are to dial in have. */
  get status(): Readonly<Record<string, string>> | undefined {
    if (this.#options.reverse.length === 0) return undefined;
    const here = new Set([...this.#sessions.keys()].flatMap(({ peer }) => (this.#isReverse(peer) ? [peer.cage] : [])));
    const absent = this.#options.reverse.filter((cage) => !here.has(cage));
    return { dialledIn: [...here].join(" ") || "nobody", ...(absent.length > 0 ? { absent: absent.join(" ") } : {}) };
  }

  async start(): Promise<void> {
    const { host, port = 0, path } = this.#options;
    this.#port = (await this.#host.listen(this.#server, path === undefined ? { host, port } : { path })).port;
  }

  async drain(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.#sessions].map(([session, ended]) => this.#drain(session, ended)));
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const session of this.#sessions.keys()) session.close();
  }

  /** Who can be called over it dials anew, answers what it was asked here, and hangs up. */
  async #drain(session: Session, ended: Promise<void>): Promise<void> {
    await session.drain();
    if (!this.#isReverse(session.peer)) return;
    const late = new AbortController();
    await Promise.race([ended, setTimeout(handoverMs, undefined, { ref: false, signal: late.signal }).catch(() => {})]);
    late.abort();
  }

  #isReverse(peer: Instance | undefined): peer is Instance {
    return peer !== undefined && this.#options.reverse.includes(peer.cage);
  }

  #accept(socket: Socket): void {
    const address = socket.remoteAddress;
    const session = new Session(
      socket,
      // Which node this is, is no outsider's to know.
      {
        me: { node: "-", cage: this.#host.cage },
        side: "accepted",
        keyOf: (cage) => this.#host.keyOf(cage),
        beatMs: limits.beatMs,
        runningPerPeer: this.#options.runningPerPeer,
      },
      {
        serve: (from, path, args, carry, stop, send) => this.#serve(address, from, path, args, carry, stop, send),
        // What is published is between cages.
        event: () => {},
      },
    );
    let leave = () => {};
    const ended = new Promise<void>((resolve) => {
      session.onEnd = () => {
        this.#sessions.delete(session);
        leave();
        resolve();
      };
    });
    this.#sessions.set(session, ended);
    session.ready.then(
      (peer) => {
        if (this.#isReverse(peer) && !session.ended) leave = this.#host.adopt(session);
      },
      // Who does not prove its name was told so.
      () => {},
    );
  }

  async #serve(address: string | undefined, ...[peer, path, args, carry, stop, send]: Parameters<Serve>) {
    // Not a number: no time at all. The log level is not an outsider's to choose.
    const timeoutMs = carry.remainingMs >= 0 ? carry.remainingMs : 0;
    const trace = isTrace(carry.trace) ? { trace: carry.trace } : {};
    const work: Work = {
      label: noFunction,
      timeoutMs,
      from: address ?? nameOf(peer),
      principal: peer,
      // Forgotten with the call.
      accepted: (request) => void stop.onStop(() => request.cancel("the client went away")),
      ...trace,
    };
    try {
      return await this.#host.serve(work, async (module, request) => {
        const answer = await this.#call(module, request, path, args);
        return isStream(answer) ? await send(answer) : answer;
      });
    } catch (error) {
      throw forOutsiders(error);
    }
  }

  #call(module: Handler, request: Request, path: string, args: readonly unknown[]): unknown {
    const answer = this.#host.answers.get(path);
    const own = pathsOf(module).has(path);
    // Whatever strangers ask for must not become a label each.
    if (own || answer !== undefined) request.label = path;
    return own || answer === undefined ? invoke(module, path, args) : answerWith(answer, args, request);
  }
}

const noFunction = "(no function)";
/** For those that are called over their connection to hang up by themselves. */
const handoverMs = 10_000;

/** A module of a generation never changes, so neither does what can be called in it. */
const known = new WeakMap<Handler, ReadonlySet<string>>();

function pathsOf(module: Handler): ReadonlySet<string> {
  let found = known.get(module);
  if (found === undefined) known.set(module, (found = new Set(paths(module).map((row) => row.path))));
  return found;
}

const isTrace = ({ id, span }: Carry["trace"]): boolean => /^[0-9a-f]{32}$/.test(id) && /^[0-9a-f]{16}$/.test(span);

const nameOf = ({ node, cage }: Instance): string => `${node}.${cage}`;

/** Code and sentence, and the facts of a refusal. The session would send the stack along, as it does between cages. */
function forOutsiders(thrown: unknown): CageError {
  const { message: own, retryable, details } = coded(thrown);
  const { code, message, status } = told(thrown);
  const facts = details !== undefined && message === own ? { details } : {};
  const error = new CageError(code, message, { status, retryable, ...facts });
  error.stack = "";
  return error;
}

export const rpc: InterfaceProtocol<Options> = {
  protocol: "rpc",
  options: options as unknown as z.ZodType<Options>,
  create: (chosen, host) => new Rpc(chosen, host),
  checkName(name) {
    if (!/^[\w-]+(\.[\w-]+)?$/.test(name))
      throw new CageError("CONFIG", `a call is named "module.function", not '${name}'`);
  },
};
