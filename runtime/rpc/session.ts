/**
 * A session: one connection between two cages, calls both ways at once. Transport is any Duplex; who listens or dials
 * is the engine's business.
 *
 *     const session = new Session(socket, me, { serve, event });
 *     const answer = await session.call("orders.place", [order], carry, signal);
 *
 * Promises: a call is sent at most once. It rejects with what the callee threw (by code), with UNAVAILABLE when the
 * connection ended before it was sent or the peer left without beginning it, and with UNKNOWN_OUTCOME when it was lost after. An aborted signal sends CANCEL and
 * rejects at once. Writes of one turn of the event loop leave together, or as soon as 1 KB waits.
 */
import type { Duplex } from "node:stream";
import type { Carry, Instance } from "../engine/engine.ts";
import { CageError, coded } from "../errors.ts";
import { flat, revived } from "./error.ts";
import { type Frame, Framer, kinds, version } from "./frame.ts";
import { limits } from "./limits.ts";

export interface Handlers {
  serve(from: Instance, path: string, args: readonly unknown[], carry: Carry, signal: AbortSignal): Promise<unknown>;
  event(from: Instance, subject: string, data: unknown): void;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  forget(): void;
}

/** Flushing early keeps the peer busy while this side still packs: 1.9 times the rate at 32 outstanding. */
const earlyFlushBytes = 1024;

export class Session {
  readonly #stream: Duplex;
  readonly #handlers: Handlers;
  readonly #framer = new Framer();
  readonly #waiting = new Map<number, Waiting>();
  readonly #running = new Map<number, AbortController>();
  #flushing = false;
  #nextId = 1;
  #ended: CageError | undefined;
  #draining = false;
  /** The peer left having answered all it had begun: what it did not answer, it did not do. */
  #untouched = false;
  #said: (peer: Instance) => void = () => {};
  #failed: (error: CageError) => void = () => {};
  #idle: (() => void) | undefined;
  /** Resolves with the peer's name once it said hello; rejects when it does not. */
  readonly ready: Promise<Instance>;
  peer: Instance | undefined;
  /** The peer is draining: new calls belong elsewhere. */
  leaving = false;
  onEnd: () => void = () => {};

  constructor(stream: Duplex, me: Instance, handlers: Handlers) {
    this.#stream = stream;
    this.#handlers = handlers;
    this.ready = new Promise((resolve, reject) => {
      this.#said = resolve;
      this.#failed = reject;
    });
    this.ready.catch(() => {});
    const late = setTimeout(
      () => this.#end(new CageError("UNAVAILABLE", `the peer did not say hello within ${limits.helloMs} ms`)),
      limits.helloMs,
    ).unref();
    this.ready.finally(() => clearTimeout(late)).catch(() => {});
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("error", (cause) => this.#end(new CageError("UNAVAILABLE", "the connection failed", { cause })));
    stream.on("close", () => this.#end(new CageError("UNAVAILABLE", "the connection was closed")));
    this.#send([kinds.hello, version, me]);
  }

  get outstanding(): number {
    return this.#waiting.size;
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  async call(path: string, args: readonly unknown[], carry: Carry, signal?: AbortSignal): Promise<unknown> {
    if (this.peer === undefined) await this.ready;
    if (this.#ended) throw this.#ended;
    if (signal?.aborted) throw signal.reason;
    if (this.#full) throw new CageError("OVERLOADED", `${this.peer?.cage} does not read what is sent to it`);
    const id = this.#nextId++;
    return await new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.delete(id);
        if (!this.#ended) this.#send([kinds.cancel, id]);
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", abort, { once: true });
      this.#waiting.set(id, { resolve, reject, forget: () => signal?.removeEventListener("abort", abort) });
      try {
        this.#send([
          kinds.call,
          id,
          path,
          args,
          carry.remainingMs,
          carry.trace.id,
          carry.trace.span,
          carry.logLevel,
          carry.retry === undefined ? null : [carry.retry.id, carry.retry.attempt],
        ]);
      } catch (error) {
        this.#settle(id)?.reject(error);
      }
    });
  }

  /** At most once: a peer that does not read what it is sent misses this too. */
  publish(subject: string, data: unknown): void {
    if (!this.#ended && !this.#full) this.#send([kinds.event, subject, data]);
  }

  get #full(): boolean {
    return this.#stream.writableLength + this.#framer.pending > limits.unsentBytes;
  }

  /** Tells the peer to send no more; resolves when what it asked for has been answered. */
  async drain(): Promise<void> {
    if (this.#ended) return;
    this.#draining = true;
    this.#send([kinds.bye, false]);
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  close(): void {
    if (this.#ended) return;
    // Nothing runs: whatever of the peer's is still unanswered was never begun, and it may ask elsewhere.
    if (this.#running.size === 0) this.#send([kinds.bye, true]);
    this.#flush();
    // The peer closes when it has read this; closing first, with words of its unread, would throw away ours.
    this.#stream.end();
    const stream = this.#stream;
    const late = setTimeout(() => stream.destroy(), limits.goodbyeMs).unref();
    stream.once("close", () => clearTimeout(late));
    this.#end(new CageError("UNAVAILABLE", "the connection was closed here"), false);
  }

  #send(frame: Frame): void {
    this.#framer.encode(frame);
    if (this.#framer.pending >= earlyFlushBytes) return this.#flush();
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#framer.pending > 0 && !this.#stream.destroyed) this.#stream.write(this.#framer.take());
  }

  #read(chunk: Buffer): void {
    try {
      this.#framer.decode(chunk, (frame) => this.#take(frame));
    } catch (error) {
      this.#end(coded(error));
    }
  }

  #take(frame: Frame): void {
    if (this.#ended) return;
    if (this.peer === undefined && frame[0] !== kinds.hello)
      throw new CageError("PROTOCOL", "the peer did not begin with hello");
    switch (frame[0]) {
      case kinds.hello:
        if (frame[1] !== version)
          throw new CageError(
            "PROTOCOL",
            `the peer speaks version ${frame[1]}, this side ${version}; upgrade the older one`,
          );
        this.peer = frame[2];
        return this.#said(frame[2]);
      case kinds.call:
        return void this.#serve(frame);
      case kinds.answer:
        return this.#settle(frame[1])?.resolve(frame[2]);
      case kinds.error:
        return this.#settle(frame[1])?.reject(revived(frame[2], this.peer?.cage ?? "the peer"));
      case kinds.cancel:
        return this.#running.get(frame[1])?.abort(new CageError("CANCELLED", "the caller stopped waiting"));
      case kinds.event:
        return this.#handlers.event(this.peer as Instance, frame[1], frame[2]);
      case kinds.bye:
        this.leaving = true;
        this.#untouched = frame[1];
        return;
    }
  }

  async #serve(frame: Extract<Frame, readonly [typeof kinds.call, ...unknown[]]>): Promise<void> {
    const [, id, path, args, remainingMs, traceId, span, logLevel, retry] = frame;
    if (this.#draining)
      return this.#send([
        kinds.error,
        id,
        { code: "UNAVAILABLE", message: "this instance is leaving", retryable: true },
      ]);
    if (this.#running.size >= limits.runningPerPeer)
      return this.#send([
        kinds.error,
        id,
        { code: "OVERLOADED", message: "too many calls run here for this peer", retryable: true },
      ]);
    const controller = new AbortController();
    this.#running.set(id, controller);
    const carry: Carry = {
      remainingMs,
      trace: { id: traceId, span },
      logLevel,
      ...(retry ? { retry: { id: retry[0], attempt: retry[1] } } : {}),
    };
    let answer: Frame;
    try {
      answer = [
        kinds.answer,
        id,
        await this.#handlers.serve(this.peer as Instance, path, args, carry, controller.signal),
      ];
    } catch (error) {
      answer = [kinds.error, id, flat(error)];
    }
    this.#running.delete(id);
    if (!this.#ended && !controller.signal.aborted) this.#answer(answer);
    if (this.#running.size === 0) this.#idle?.();
  }

  #answer(frame: Frame): void {
    // It asks and asks and reads no answer: these would pile up here without end.
    if (this.#full)
      return this.#end(new CageError("OVERLOADED", `${this.peer?.cage} does not read what is sent to it`));
    try {
      this.#send(frame);
    } catch (error) {
      // The answer itself cannot be sent (too large, or holds what has no bytes): that is the answer.
      this.#send([kinds.error, frame[1] as number, flat(error)]);
    }
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    waiting?.forget();
    return waiting;
  }

  #end(error: CageError, abrupt = true): void {
    if (this.#ended) return;
    this.#ended = error;
    this.#failed(error);
    const name = this.peer?.cage ?? "the peer";
    const outcome = this.#untouched
      ? new CageError("UNAVAILABLE", `${name} left before it began this call`, { cause: error })
      : new CageError(
          "UNKNOWN_OUTCOME",
          `the connection to ${name} was lost after the call was sent; it may or may not have been done`,
          {
            cause: error,
          },
        );
    for (const id of [...this.#waiting.keys()]) this.#settle(id)?.reject(outcome);
    for (const controller of this.#running.values()) controller.abort(new CageError("CANCELLED", "the caller is gone"));
    this.#running.clear();
    this.#idle?.();
    if (abrupt) this.#stream.destroy();
    this.onEnd();
  }
}
