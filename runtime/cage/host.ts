/**
 * The host of one interface: gives it a listening socket, and makes its work into requests (contract:
 * interfaces/interface.ts). Every way in passes here, so limits, deadlines, metrics and generations are the same for all.
 */
import type { Server } from "node:net";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import type { Answers } from "../interfaces/answers.ts";
import type { Handler, InterfaceHost, Work } from "../interfaces/interface.ts";
import { Gate } from "../request/gate.ts";
import { type Lease, now, Request, run, type Services, within } from "../request/request.ts";
import type { Address } from "./link.ts";

export interface HostOptions {
  readonly name: string;
  readonly cage: string;
  readonly timeoutMs: number;
  readonly running: number;
  readonly waiting: number;
  readonly services: Services;
  readonly answers?: Answers;
  lease(): Lease;
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
  /** Addresses lent, to be given back when the interface stops. */
  readonly addresses: Address[] = [];
  readonly running = new Set<Request>();

  constructor(options: HostOptions) {
    this.#options = options;
    this.name = options.name;
    this.cage = options.cage;
    this.answers = options.answers ?? new Map();
    this.gate = new Gate({ running: options.running, waiting: options.waiting });
  }

  get named(): boolean {
    return this.#options.named?.(this) ?? true;
  }

  async listen(server: Server, address: Address): Promise<{ port: number }> {
    const bound = await this.#options.listen(server, address);
    this.addresses.push("path" in address ? address : { host: address.host, port: bound.port });
    return bound;
  }

  async serve<T>(work: Work, handler: (module: Handler, request: Request) => Promise<T> | T): Promise<T> {
    const lease = this.#options.lease();
    const request = new Request({
      services: this.#options.services,
      lease,
      interface: this.name,
      label: work.label,
      timeoutMs: Math.min(work.timeoutMs ?? this.#options.timeoutMs, this.#options.timeoutMs),
      ...(work.trace ? { trace: work.trace } : {}),
      ...(work.logLevel ? { logLevel: work.logLevel } : {}),
      ...(work.retry ? { retry: work.retry } : {}),
      ...(work.from === undefined ? {} : { from: work.from }),
      principal: work.principal,
    });
    let startedAt = request.startedAt;
    let entered = false;
    let failure: unknown;
    this.running.add(request);
    try {
      const room = this.gate.enter(request);
      if (room !== undefined) await room;
      entered = true;
      startedAt = now();
      const module = lease.module(this.name) ?? (this.answers.size > 0 ? noModule : undefined);
      if (module === undefined)
        throw new CageError(
          "NOT_FOUND",
          `interface ${this.name} of cage ${this.cage} has no module; write cages/${this.cage}/${this.name}.ts, or say \`answers\` in its configuration`,
        );
      const work = run(request, () => handler(module, request));
      return work instanceof Promise ? await within(request, request.label, work) : work;
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      if (entered) this.gate.leave();
      this.running.delete(request);
      request.end();
      events.emit("request.done", {
        interface: this.name,
        label: request.label,
        durationMs: now() - request.startedAt,
        waitedMs: startedAt - request.startedAt,
        generation: request.generation,
        error: failure,
        id: request.id,
      });
    }
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

const noModule: Handler = Object.freeze({});
