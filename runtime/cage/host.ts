/**
 * The host of one interface: gives it a listening socket, and makes its work into requests (contract:
 * interfaces/interface.ts). Every way in passes here, so limits, deadlines, metrics and generations are the same for all.
 */
import type { Server } from "node:net";
import { Numbered } from "../../lib/numbered.ts";
import type { Line } from "../engine/engine.ts";
import { CageError } from "../errors.ts";
import type { Answers } from "../interfaces/answers.ts";
import type { Handler, InterfaceHost, Runner, Work } from "../interfaces/interface.ts";
import { Gate, type Limits } from "../request/gate.ts";
import { Piece } from "../request/piece.ts";
import { type Lease, Request, type Services } from "../request/request.ts";
import type { Address } from "./link.ts";

export interface HostOptions extends Limits {
  readonly name: string;
  readonly cage: string;
  readonly timeoutMs: number;
  readonly services: Services;
  readonly answers?: Answers;
  lease(): Lease;
  keyOf?(name: string): Uint8Array | undefined;
  adopt?(line: Line): () => void;
  since?(): number | undefined;
  claim?(at: number): Promise<boolean> | undefined;
  /** Whether the current generation names this host's interface. */
  named?(host: Host): boolean;
  listen(server: Server, address: Address): Promise<{ port: number }>;
  onSwap(listener: () => void): () => void;
}

export class Host implements InterfaceHost {
  readonly name: string;
  readonly cage: string;
  readonly answers: Answers;
  readonly gate: Gate;
  readonly #options: HostOptions;
  #timeoutMs: number;
  /** Addresses lent, to be given back when the interface stops. */
  readonly addresses: Address[] = [];
  /** All that wait, run, or go on after their waiter was released. */
  readonly running = new Numbered<Request>();

  constructor(options: HostOptions) {
    this.#options = options;
    this.#timeoutMs = options.timeoutMs;
    this.name = options.name;
    this.cage = options.cage;
    this.answers = options.answers ?? new Map();
    this.gate = new Gate({ name: `interface ${options.name}`, running: options.running, waiting: options.waiting });
  }

  /** Other limits from now on. */
  resize(limits: Limits & { readonly timeoutMs: number }): void {
    this.#timeoutMs = limits.timeoutMs;
    this.gate.resize(limits);
  }

  get since(): number | undefined {
    return this.#options.since?.();
  }

  claim(at: number): boolean | Promise<boolean> {
    return this.#options.claim?.(at) ?? true;
  }

  get named(): boolean {
    return this.#options.named?.(this) ?? true;
  }

  async listen(server: Server, address: Address): Promise<{ port: number }> {
    const bound = await this.#options.listen(server, address);
    this.addresses.push("path" in address ? address : { host: address.host, port: bound.port });
    return bound;
  }

  serve<T>(work: Work, handle: (module: Handler, request: Request) => Promise<T> | T): Promise<T> {
    return new Promise<T>((resolve, reject) => this.take(work, { handle, resolve, reject }));
  }

  /** As `serve`, without a promise when the answer is there at once. */
  answer<T>(work: Work, handle: (module: Handler, request: Request) => Promise<T> | T): T | Promise<T> {
    const outcome = new Outcome<T>(handle);
    this.take(work, outcome);
    return outcome.answer();
  }

  take<T>(work: Work, runner: Runner<T>): void {
    const request = new Request({
      services: this.#options.services,
      lease: this.#options.lease(),
      interface: this.name,
      label: work.label,
      timeoutMs: Math.min(work.timeoutMs ?? this.#timeoutMs, this.#timeoutMs),
      trace: work.trace,
      logLevel: work.logLevel,
      principal: work.principal,
      from: work.from,
      retry: work.retry,
    });
    this.running.set(request.number, request);
    const piece = new Piece<T>(request, runner, this);
    try {
      work.accepted?.(request);
      const room = this.gate.enter(request);
      if (room !== undefined)
        room.then(
          () => piece.enter(enter, this, request, runner),
          (error: unknown) => piece.fail(error),
        );
      // One that has no time at all is refused as if it had waited.
      else if (request.deadline <= request.startedAt) piece.enter(enter, this, request, runner);
      else piece.begin(request.startedAt, enter, this, request, runner);
    } catch (error) {
      piece.fail(error);
    }
  }

  /** A piece of work is over (piece.ts). */
  over(request: Request, enteredAt: number | undefined, at: number, failed: boolean): void {
    this.running.delete(request.number);
    if (enteredAt !== undefined) this.gate.leave(enteredAt, failed, at);
  }

  module(request: Request): Handler {
    const module = request.lease.module(this.name) ?? (this.answers.size > 0 ? noModule : undefined);
    if (module !== undefined) return module;
    throw new CageError(
      "NOT_FOUND",
      `interface ${this.name} of cage ${this.cage} has no module; write cages/${this.cage}/${this.name}.ts, or say \`answers\` in its configuration`,
    );
  }

  keyOf(name: string): Uint8Array | undefined {
    return this.#options.keyOf?.(name);
  }

  adopt(line: Line): () => void {
    return this.#options.adopt?.(line) ?? (() => {});
  }

  onSwap(listener: () => void): () => void {
    return this.#options.onSwap(listener);
  }

  peek(): Handler | undefined {
    const lease = this.#options.lease();
    try {
      return lease.module(this.name);
    } finally {
      lease.release();
    }
  }
}

class Outcome<T> implements Runner<T> {
  readonly handle: Runner<T>["handle"];
  #settled: { readonly value: T } | { readonly error: unknown } | undefined;
  #resolve: ((value: T) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;

  constructor(handle: Runner<T>["handle"]) {
    this.handle = handle;
  }

  resolve(value: T): void {
    if (this.#resolve === undefined) this.#settled = { value };
    else this.#resolve(value);
  }

  reject(error: unknown): void {
    if (this.#reject === undefined) this.#settled = { error };
    else this.#reject(error);
  }

  answer(): T | Promise<T> {
    if (this.#settled === undefined)
      return new Promise((resolve, reject) => {
        this.#resolve = resolve;
        this.#reject = reject;
      });
    if ("error" in this.#settled) throw this.#settled.error;
    return this.#settled.value;
  }
}

/** One function for all of them: a request costs no closure. */
const enter = <T>(host: Host, request: Request, runner: Runner<T>): T | Promise<T> =>
  runner.handle(host.module(request), request);

const noModule: Handler = Object.freeze({});
