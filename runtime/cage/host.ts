/**
 * The host of one interface: gives it a listening socket, and makes its work into requests (contract:
 * interfaces/interface.ts). Every way in passes here, so limits, deadlines, metrics and generations are the same for all.
 */
import type { Server } from "node:net";
import { CageError } from "../errors.ts";
import type { Handler, InterfaceHost, Work } from "../interfaces/interface.ts";
import { Gate, type Limits } from "../request/gate.ts";
import { Piece } from "../request/piece.ts";
import { type Lease, Request, type Services } from "../request/request.ts";
import type { Address } from "./link.ts";

export interface HostOptions extends Limits {
  readonly name: string;
  readonly cage: string;
  readonly timeoutMs: number;
  readonly services: Services;
  lease(): Lease;
  listen(server: Server, address: Address): Promise<{ port: number }>;
  onSwap(listener: () => void): () => void;
}

export class Host implements InterfaceHost {
  readonly name: string;
  readonly cage: string;
  readonly gate: Gate;
  readonly #options: HostOptions;
  /** Addresses lent, to be given back when the interface stops. */
  readonly addresses: Address[] = [];
  /** All that wait, run, or go on after their waiter was released. */
  readonly running = new Set<Request>();

  constructor(options: HostOptions) {
    this.#options = options;
    this.name = options.name;
    this.cage = options.cage;
    this.gate = new Gate({ name: `interface ${options.name}`, running: options.running, waiting: options.waiting });
  }

  async listen(server: Server, address: { host: string; port: number }): Promise<{ port: number }> {
    const bound = await this.#options.listen(server, address);
    this.addresses.push({ host: address.host, port: bound.port });
    return bound;
  }

  serve<T>(work: Work, handler: (module: Handler, request: Request) => Promise<T> | T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const lease = this.#options.lease();
      const request = new Request({
        services: this.#options.services,
        lease,
        interface: this.name,
        label: work.label,
        timeoutMs: Math.min(work.timeoutMs ?? this.#options.timeoutMs, this.#options.timeoutMs),
        trace: work.trace,
        logLevel: work.logLevel,
        principal: work.principal,
        from: work.from,
        retry: work.retry,
      });
      this.running.add(request);
      const over = (enteredAt: number | undefined): void => {
        this.running.delete(request);
        if (enteredAt !== undefined) this.gate.leave(enteredAt);
      };
      const piece = new Piece<T>({ request, resolve, reject, over });
      const begin = (): void => piece.begin(() => handler(this.#module(lease), request));
      try {
        work.accepted?.(request);
        const room = this.gate.enter(request);
        if (room === undefined) begin();
        else room.then(begin, (error: unknown) => piece.fail(error));
      } catch (error) {
        piece.fail(error);
      }
    });
  }

  #module(lease: Lease): Handler {
    const module = lease.module(this.name);
    if (module !== undefined) return module;
    throw new CageError(
      "NOT_FOUND",
      `interface ${this.name} of cage ${this.cage} has no module; write cages/${this.cage}/${this.name}.ts`,
    );
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
