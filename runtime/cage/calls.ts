/**
 * The calls of a cage: those it answers, each as a request on the current generation, and those it makes, each through
 * the gate of its target. Most are short and many, so a call that is answered at once costs no promise here, and one that
 * is made costs one.
 */
import type { Engine, Instance, Serve, Stop } from "../engine/engine.ts";
import { Expired } from "../errors.ts";
import { events } from "../health/events.ts";
import type { Limits } from "../request/gate.ts";
import { current, type Request, type Target } from "../request/request.ts";
import { type Api, invoke } from "../rpc/api.ts";
import { isStream } from "../rpc/stream.ts";
import { permit } from "./allow.ts";
import { Bulkheads, type CallLimits, type Sending } from "./bulkheads.ts";
import { Host, type HostOptions } from "./host.ts";

export interface CallsOptions {
  readonly host: Omit<HostOptions, "name" | "timeoutMs" | "running" | "waiting">;
  engine(): Engine;
  /** What every cage answers about itself. */
  self(): Api;
}

/** How a cage may be called: limits, and the longest that one call may take, if its caller has that much time. */
export interface CalledLimits extends Limits {
  readonly timeoutMs: number;
}

/**
 * More than of an interface: callers are cages of one's own, each with a gate of its own before it. As many run as one
 * peer may have here (rpc/limits.ts), and as many wait; a call is some KB.
 */
export const defaultCalledLimits = { timeoutMs: 60_000, running: 4_096, waiting: 4_096 } as const;

export class Calls {
  readonly in: Host;
  readonly out = new Bulkheads();
  readonly #options: CallsOptions;

  constructor(options: CallsOptions) {
    this.#options = options;
    this.in = new Host({ ...options.host, name: "rpc", ...defaultCalledLimits });
  }

  configure({ called, calls }: { called: CalledLimits; calls: Readonly<Record<string, CallLimits>> }): void {
    this.in.resize(called);
    this.out.configure(calls);
  }

  /** Answers the engine. What is asked of the cage itself (`self.*`) is no request of its authors'. */
  readonly serve: Serve = (from, path, args, carry, stop, send) => {
    if (path.startsWith("self.")) return invoke({ self: this.#options.self() }, path, args);
    const work = {
      label: path,
      timeoutMs: carry.remainingMs,
      trace: carry.trace,
      logLevel: carry.logLevel,
      principal: from,
      from: shown(from),
      // Forgotten with the call.
      accepted: (request: Request) => void stop.onStop(() => request.cancel("the caller stopped waiting")),
      retry: carry.retry,
    };
    stop.begun = false;
    return this.in.answer(work, (_, request) => {
      stop.begun = true;
      permit(request.lease.allow, this.in.cage, from, path);
      const answer = invoke(request.lease.module("api") as Api | undefined, path, args);
      // What is there already needs nobody to watch over it.
      return isPromised(answer) || isStream(answer) ? lasting(answer, send) : answer;
    });
  };

  make(to: Target, path: string, args: readonly unknown[]): Promise<unknown> {
    const request = current();
    return this.out.call(request, to, new Outgoing(this.#options.engine(), request, to, path, args));
  }
}

/** A call on its way out. */
class Outgoing implements Sending<unknown> {
  readonly #engine: Engine;
  readonly #request: Request;
  readonly #to: Target;
  readonly #path: string;
  readonly #args: readonly unknown[];

  constructor(engine: Engine, request: Request, to: Target, path: string, args: readonly unknown[]) {
    this.#engine = engine;
    this.#request = request;
    this.#to = to;
    this.#path = path;
    this.#args = args;
  }

  get what(): string {
    return `the call of ${this.#to.cage}.${this.#path}`;
  }

  send(remainingMs: number, stop: Stop): Promise<unknown> {
    const { trace, logLevel } = this.#request;
    return this.#engine.call(this.#to, this.#path, this.#args, { remainingMs, trace, logLevel }, stop);
  }

  done(error: unknown, items: number | undefined, durationMs: number): unknown {
    const request = this.#request;
    const told =
      error instanceof Expired && error === request.stopped
        ? new Expired(`${this.what}: the deadline of ${request.label} passed`, { cause: error })
        : error;
    events.emit("call.done", { cage: this.#to.cage, path: this.#path, durationMs, items, error: told });
    return told;
  }
}

/** An answer that takes its time. Its request lives as long, and with it its place, its deadline and its generation. */
async function lasting(answer: unknown, send: Parameters<Serve>[5]): Promise<unknown> {
  const value = await answer;
  return isStream(value) ? await send(value) : value;
}

/** One object a connection. */
const names = new WeakMap<Instance, string>();

function shown(peer: Instance): string {
  let name = names.get(peer);
  if (name === undefined) names.set(peer, (name = `${peer.node}.${peer.cage}`));
  return name;
}

const isPromised = (value: unknown): boolean =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
