/**
 * A session: one connection between two cages, calls both ways at once. Transport is any Duplex; who listens or dials
 * is the engine's business.
 *
 *     const session = new Session(socket, { me, side: "dialled", expect: "shop", keyOf }, { serve, event });
 *     const answer = await session.call("orders.place", [order], carry, request);
 *
 * Promises: nothing is asked of a peer, nor answered to it, before it proved its name. A call is sent at most once. It
 * rejects with what the callee threw (by code), with UNAVAILABLE when the connection ended before it was sent or the peer
 * left without beginning it, and with UNKNOWN_OUTCOME when it was lost after. Who stops waiting sends CANCEL and is
 * rejected at once. A stream ends likewise, in the middle. Writes of one turn of the event loop leave together, or as
 * soon as 1 KB waits.
 */
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { Numbered } from "../../lib/numbered.ts";
import type { Asker, Carry, Instance, Line, Serve, Stop } from "../engine/engine.ts";
import { CageError, Cancelled, coded, Overloaded, Unavailable, UnknownOutcome } from "../errors.ts";
import { answered, flat, revived, type WireError } from "./error.ts";
import { type CallFrame, type Frame, Framer, kinds } from "./frame.ts";
import {
  common,
  type KeyOf,
  nonceBytes,
  type Proving,
  prove,
  type Side,
  type Speech,
  speech,
  verify,
} from "./hello.ts";
import { limits } from "./limits.ts";
import { Inbound, isStream, Outbound } from "./stream.ts";
import { Work } from "./work.ts";

export interface Handlers {
  readonly serve: Serve;
  event(from: Instance, subject: string, data: unknown): void;
}

export interface SessionOptions {
  readonly me: Instance;
  readonly side: Side;
  /** Whom the dialling side means to reach; another that answers is refused. */
  readonly expect?: string;
  readonly keyOf: KeyOf;
  /** Calls of the peer's that may run here at once; default limits.ts. */
  readonly runningPerPeer?: number;
  /** Who is there, where the transport has proven it: hello has to say the same, and no key is needed. */
  readonly proven?: Instance;
  /** Says that it is alive so often, and ends when the peer does not; for connections that may die without a word. */
  readonly beatMs?: number;
  /** Another release's, for tests. */
  readonly speech?: Speech;
}

/** A call of ours that is under way. */
interface Waiting {
  readonly asker: Asker;
  forget: (() => void) | undefined;
  sent: boolean;
  /** Its arguments that are streams, by channel - 1; and its answer, once that is a stream. */
  readonly sending: readonly Outbound[];
  taking: Inbound | undefined;
}

/** Flushing early keeps the peer busy while this side still packs: 1.9 times the rate at 32 outstanding. */
const earlyFlushBytes = 1024;
const noStreams: readonly never[] = [];

export class Session implements Line {
  readonly #stream: Duplex;
  readonly #options: SessionOptions;
  readonly #handlers: Handlers;
  readonly #framer = new Framer();
  readonly #waiting = new Numbered<Waiting>();
  readonly #running = new Numbered<Work>();
  readonly #nonce = randomBytes(nonceBytes);
  #theirNonce: Uint8Array | undefined;
  #speech: Speech;
  #flushing = false;
  #nextId = 1;
  /** The peer's. */
  #lastId = 0;
  #ended: CageError | undefined;
  #draining = false;
  #beating: NodeJS.Timeout | undefined;
  #missed = 0;
  /** The peer left having answered all it had begun: what it did not answer, it did not do. */
  #untouched = false;
  #proven = false;
  #said: (peer: Instance) => void = () => {};
  #failed: (error: CageError) => void = () => {};
  #idle: (() => void) | undefined;
  #room: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;
  /** Resolves with the peer's name once it proved it; rejects when it does not. */
  readonly ready: Promise<Instance>;
  peer: Instance | undefined;
  /** The peer is draining: new calls belong elsewhere. */
  leaving = false;
  onLeaving: () => void = () => {};
  onEnd: (why: CageError) => void = () => {};

  constructor(stream: Duplex, options: SessionOptions, handlers: Handlers) {
    this.#stream = stream;
    this.#options = options;
    this.#handlers = handlers;
    const { version, features } = options.speech ?? speech;
    // Who names it promises to beat.
    const kept = options.beatMs === undefined ? features.filter((feature) => feature !== "beats") : features;
    this.#speech = { version, features: kept };
    this.#framer.maxBytes = limits.strangerBytes;
    this.ready = new Promise((resolve, reject) => {
      this.#said = resolve;
      this.#failed = reject;
    });
    this.ready.catch(() => {});
    const late = setTimeout(
      () => this.#end(new Unavailable(`the peer did not say who it is within ${limits.helloMs} ms`)),
      limits.helloMs,
    ).unref();
    this.ready.finally(() => clearTimeout(late)).catch(() => {});
    stream.on("data", (chunk: Buffer) => this.#read(chunk));
    stream.on("drain", () => this.#drained());
    stream.on("error", (cause) => this.#end(new Unavailable("the connection failed", { cause })));
    stream.on("close", () => this.#end(new Unavailable("the connection was closed")));
    this.#send([kinds.hello, this.#speech.version, this.#speech.features, options.me, this.#nonce]);
    this.#flush();
  }

  get outstanding(): number {
    return this.#waiting.size;
  }

  get ended(): boolean {
    return this.#ended !== undefined;
  }

  /** An answer that is a stream comes as an async iterable; leaving its loop early stops the callee. */
  call(path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    if (!this.#proven && !this.#ended) return this.ready.then(() => this.call(path, args, carry, stop));
    return new Promise((resolve, reject) => this.ask(path, args, carry, stop, { resolve, reject }));
  }

  /** As `call` of a session that is ready, with one call of `asker` in place of a promise. */
  ask(path: string, args: readonly unknown[], carry: Carry, stop: Stop | undefined, asker: Asker): void {
    try {
      if (this.#ended) throw this.#ended;
      if (!this.#proven) throw new Unavailable(`${this.#name} has not proven who it is`);
      if (this.#full) throw refused(`${this.#name} does not read what is sent to it`);
      this.#ask(path, args, carry, stop, asker);
    } catch (error) {
      asker.reject(error);
    }
  }

  /** At most once: a peer that does not read what it is sent misses this too, and one that is not proven. */
  publish(subject: string, data: unknown): void {
    if (this.#proven && !this.#ended && !this.#full) this.#send([kinds.event, subject, data]);
  }

  /** Tells the peer to send no more; resolves when what it asked for has been answered. */
  async drain(): Promise<void> {
    if (this.#ended) return;
    this.#draining = true;
    if (this.#proven) this.#send([kinds.bye, false]);
    if (this.#running.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve));
  }

  close(): void {
    if (this.#ended) return;
    // Nothing runs: whatever of the peer's is still unanswered was never begun, and it may ask elsewhere.
    if (this.#running.size === 0 && this.#proven) this.#send([kinds.bye, true]);
    this.#leave(new Unavailable("the connection was closed here"));
  }

  get #name(): string {
    return this.peer?.cage ?? "the peer";
  }

  // --- asking ------------------------------------------------------------------------------------------------------

  #ask(path: string, given: readonly unknown[], carry: Carry, stop: Stop | undefined, asker: Asker): void {
    const id = this.#nextId++;
    const { remainingMs, trace, logLevel } = carry;
    const retry = carry.retry === undefined ? null : ([carry.retry.id, carry.retry.attempt] as const);
    const at = streamsAmong(given);
    const sending = at === noStreams ? noStreams : at.map((_, n) => this.#outbound(id, n + 1));
    const frame: CallFrame =
      at === noStreams
        ? [kinds.call, id, path, given, remainingMs, trace.id, trace.span, logLevel, retry]
        : [
            kinds.call,
            id,
            path,
            given.map((arg, n) => (at.includes(n) ? null : arg)),
            remainingMs,
            trace.id,
            trace.span,
            logLevel,
            retry,
            at,
          ];
    const waiting: Waiting = { asker, forget: undefined, sent: false, sending, taking: undefined };
    this.#waiting.set(id, waiting);
    waiting.forget = stop?.onStop((why) => this.#abandon(id, why));
    // It had stopped before: nothing is sent.
    if (this.#waiting.get(id) === undefined) return;
    waiting.sent = true;
    try {
      if (at !== noStreams) this.#needStreams(`an argument of ${path}`);
      this.#send(frame);
    } catch (error) {
      this.#settle(id);
      return asker.reject(error);
    }
    if (at === noStreams) return;
    for (const [n, out] of sending.entries())
      this.#pumpArgument(id, n + 1, out, given[at[n] as number] as AsyncIterable<unknown>);
  }

  /** Whoever waits stopped waiting: the callee is told, and what it still says is of no interest. */
  #abandon(id: number, why: unknown): void {
    const waiting = this.#settle(id);
    if (waiting === undefined) return;
    if (waiting.sent && !this.#ended) this.#send([kinds.cancel, id]);
    if (waiting.taking === undefined) waiting.asker.reject(why);
    else waiting.taking.fail(why);
  }

  #settle(id: number): Waiting | undefined {
    const waiting = this.#waiting.delete(id);
    if (waiting === undefined) return undefined;
    waiting.forget?.();
    for (const out of waiting.sending) out.stop();
    return waiting;
  }

  #pumpArgument(id: number, channel: number, out: Outbound, items: AsyncIterable<unknown>): void {
    const over = (error?: unknown) => {
      if (out.stopped || this.#ended) return;
      this.#send([kinds.end, id, channel, error === undefined ? null : flat(error)]);
    };
    out.pump(items).then(
      () => over(),
      (error) => over(error),
    );
  }

  #took(id: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    waiting.taking = new Inbound(
      (items, bytes) => this.#tell([kinds.credit, id, 0, items, bytes]),
      () => {
        this.#settle(id);
        this.#tell([kinds.stop, id, 0]);
      },
    );
    waiting.asker.resolve(waiting.taking);
  }

  // --- answering ---------------------------------------------------------------------------------------------------

  #serve(frame: CallFrame): void {
    const [, id, path, args, remainingMs, traceId, span, logLevel, retry, streams] = frame;
    // A call under an id that runs would slip past the limit, and past its CANCEL.
    if (id <= this.#lastId) throw new CageError("PROTOCOL", `the peer used the id ${id} again`);
    this.#lastId = id;
    if (this.#draining || this.#running.size >= (this.#options.runningPerPeer ?? limits.runningPerPeer)) {
      const why = this.#draining
        ? new Unavailable("this instance is leaving")
        : refused("too many calls run here for this peer");
      return this.#answer([kinds.error, id, { ...flat(why), untouched: true }]);
    }
    const work = new Work();
    const carry: Carry =
      retry === null
        ? { remainingMs, trace: { id: traceId, span }, logLevel }
        : { remainingMs, trace: { id: traceId, span }, logLevel, retry: { id: retry[0], attempt: retry[1] } };
    if (streams !== undefined) this.#takeArguments(id, work, args as unknown[], streams);
    const send = (items: AsyncIterable<unknown>) => this.#sendStream(id, work, items);
    let answer: unknown;
    try {
      answer = this.#handlers.serve(this.peer as Instance, path, args, carry, work, send);
    } catch (error) {
      return this.#done(id, work, undefined, { error });
    }
    // Answered at once: nothing of it is kept until the end of the turn, nor does it cost a promise.
    if (!isPromised(answer)) return this.#done(id, work, answer);
    this.#running.set(id, work);
    answer.then(
      (value) => this.#done(id, work, value),
      (error) => this.#done(id, work, undefined, { error }),
    );
  }

  #takeArguments(id: number, work: Work, args: unknown[], streams: readonly number[]): void {
    for (const [n, at] of streams.entries()) {
      const taking = new Inbound(
        (items, bytes) => this.#tell([kinds.credit, id, n + 1, items, bytes]),
        () => this.#tell([kinds.stop, id, n + 1]),
      );
      (work.taking ??= []).push(taking);
      if (at < args.length) args[at] = taking;
    }
  }

  async #sendStream(id: number, work: Work, items: AsyncIterable<unknown>): Promise<void> {
    this.#needStreams("the answer");
    const out = this.#outbound(id, 0);
    work.sending = out;
    work.onStop(() => out.stop());
    this.#tell([kinds.stream, id]);
    await out.pump(items);
  }

  #done(id: number, work: Work, value: unknown, failure?: { readonly error: unknown }): void {
    this.#running.delete(id);
    if (work.taking !== undefined)
      for (const taking of work.taking) taking.fail(new Cancelled("the call that this stream belonged to is over"));
    if (!this.#ended && work.stopped === undefined) {
      let error = failure === undefined ? undefined : flat(failure.error);
      if (error !== undefined && !work.begun) error = { ...error, untouched: true };
      if (work.sending !== undefined) this.#answer([kinds.end, id, 0, error ?? null]);
      else this.#answer(error === undefined ? [kinds.answer, id, value] : [kinds.error, id, error]);
    }
    work.sending?.stop();
    if (this.#running.size === 0) this.#idle?.();
  }

  #answer(frame: Frame): void {
    // It asks and asks and reads no answer: these would pile up here without end.
    if (this.#full) return this.#end(refused(`${this.#name} does not read what is sent to it`));
    try {
      this.#send(frame);
    } catch (thrown) {
      // The answer cannot be sent (too large, or holds what has no bytes), or an error's details cannot.
      const said = frame[0] === kinds.answer ? flat(thrown) : (frame.at(-1) as WireError);
      const { code, message, status = 500, retryable = false, stack = "" } = said;
      const bare = { code, message, status, retryable, stack };
      this.#send(frame[0] === kinds.end ? [kinds.end, frame[1], 0, bare] : [kinds.error, frame[1] as number, bare]);
    }
  }

  // --- both --------------------------------------------------------------------------------------------------------

  #outbound(id: number, channel: number): Outbound {
    return new Outbound({
      item: (value) => this.#send([kinds.item, id, channel, value]),
      room: () => this.#waitForRoom(),
    });
  }

  #needStreams(what: string): void {
    if (!this.#speech.features.includes("streams"))
      throw new CageError(
        "PROTOCOL",
        `${what} is a stream, and ${this.#name} is of a release without them; upgrade it`,
      );
  }

  get #unsent(): number {
    return this.#stream.writableLength + this.#framer.pending;
  }

  get #full(): boolean {
    return this.#unsent > limits.unsentBytes;
  }

  #waitForRoom(): Promise<void> | undefined {
    if (this.#ended) throw this.#ended;
    if (this.#unsent <= limits.streamUnsentBytes) return undefined;
    this.#flush();
    if (this.#room === undefined) {
      let resolve: () => void = () => {};
      const promise = new Promise<void>((done) => (resolve = done));
      this.#room = { promise, resolve };
    }
    return this.#room.promise;
  }

  #drained(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  /** Sends what nobody hears of when the connection is gone. */
  #tell(frame: Frame): void {
    if (!this.#ended) this.#send(frame);
  }

  /** Answers the frame's length. */
  #send(frame: Frame): number {
    const length = this.#framer.encode(frame);
    if (this.#framer.pending >= earlyFlushBytes) this.#flush();
    else if (!this.#flushing) {
      this.#flushing = true;
      setImmediate(() => this.#flush());
    }
    return length;
  }

  #flush(): void {
    this.#flushing = false;
    if (this.#framer.pending > 0 && !this.#stream.destroyed) this.#stream.write(this.#framer.take());
  }

  #read(chunk: Buffer): void {
    if (this.#ended) return;
    this.#missed = 0;
    try {
      this.#framer.decode(chunk, (frame, bytes) => this.#take(frame, bytes));
    } catch (error) {
      this.#refuse(coded(error));
    }
  }

  #take(frame: Frame, bytes: number): void {
    if (this.#ended) return;
    if (!this.#proven) return this.#meet(frame);
    switch (frame[0]) {
      case kinds.call:
        return this.#serve(frame);
      case kinds.answer:
        return this.#settle(frame[1])?.asker.resolve(frame[2]);
      case kinds.error:
        if (frame[1] === 0) throw revived(frame[2], this.#name);
        return this.#settle(frame[1])?.asker.reject(answered(frame[2], this.#name));
      case kinds.cancel:
        return this.#running.get(frame[1])?.cancel(new Cancelled("the caller stopped waiting"));
      case kinds.event:
        return this.#handlers.event(this.peer as Instance, frame[1], frame[2]);
      case kinds.bye:
        this.leaving = true;
        this.#untouched = frame[1];
        return this.onLeaving();
      case kinds.stream:
        return this.#took(frame[1]);
      case kinds.item:
        return this.#taking(frame[1], frame[2])?.push(frame[3], bytes);
      case kinds.end: {
        const taking = this.#taking(frame[1], frame[2]);
        if (frame[2] === 0) this.#settle(frame[1]);
        return taking?.end(frame[3] === null ? undefined : { error: revived(frame[3], this.#name) });
      }
      case kinds.credit:
        return this.#sending(frame[1], frame[2])?.credit(frame[3], frame[4]);
      case kinds.stop:
        return this.#sending(frame[1], frame[2])?.stop();
      case kinds.beat:
        return;
      case kinds.hello:
      case kinds.proof:
        throw new CageError("PROTOCOL", "the peer said hello a second time");
    }
  }

  /** Channel 0 is the answer, which flows to the caller; the others are arguments. Ids are the caller's. */
  #taking(id: number, channel: number): Inbound | undefined {
    return channel === 0 ? this.#waiting.get(id)?.taking : this.#running.get(id)?.taking?.[channel - 1];
  }

  #sending(id: number, channel: number): Outbound | undefined {
    return channel === 0 ? this.#running.get(id)?.sending : this.#waiting.get(id)?.sending[channel - 1];
  }

  /** Hello, then the proof of it. */
  #meet(frame: Frame): void {
    if (frame[0] === kinds.error && frame[1] === 0) throw revived(frame[2], "the peer");
    if (this.peer === undefined) {
      if (frame[0] !== kinds.hello) throw new CageError("PROTOCOL", "the peer did not begin with hello");
      const [, version, features, peer, nonce] = frame;
      this.#speech = common(this.#speech, { version, features });
      const { expect, me, side, keyOf, proven } = this.#options;
      if (expect !== undefined && expect !== peer.cage)
        throw new CageError(
          "PROTOCOL",
          `the socket of ${expect} was answered by ${peer.cage}; remove the sockets under state/run and start both again`,
        );
      this.peer = { node: peer.node, cage: peer.cage };
      if (proven !== undefined) return this.#meetProven(this.peer, proven);
      this.#theirNonce = nonce;
      const mine: Proving = { by: me, side, to: peer.cage, nonces: { by: this.#nonce, to: nonce } };
      this.#send([kinds.proof, prove(mine, keyOf)]);
      return this.#flush();
    }
    if (frame[0] !== kinds.proof) throw new CageError("PROTOCOL", "the peer did not prove who it is");
    const { me, side, keyOf } = this.#options;
    const theirs: Proving = {
      by: this.peer,
      side: side === "dialled" ? "accepted" : "dialled",
      to: me.cage,
      nonces: { by: this.#theirNonce as Uint8Array, to: this.#nonce },
    };
    verify(frame[1], theirs, keyOf);
    this.#begin(this.peer);
  }

  #meetProven(peer: Instance, { node, cage }: Instance): void {
    if (peer.node !== node || peer.cage !== cage)
      throw new CageError("FORBIDDEN", `who called itself ${peer.node}.${peer.cage} is ${node}.${cage}`);
    this.#begin(peer);
  }

  /** Now it may be asked, and answered. */
  #begin(peer: Instance): void {
    this.#proven = true;
    this.#framer.maxBytes = limits.frameBytes;
    if (this.#speech.features.includes("beats"))
      this.#beating = setInterval(() => this.#beat(), this.#options.beatMs).unref();
    // It came to this while it was dialled.
    if (this.#draining) this.#send([kinds.bye, false]);
    this.#said(peer);
  }

  /** Counted, not timed: a turn of our own event loop that takes a minute is one beat, and no fault of the peer's. */
  #beat(): void {
    if (this.#missed++ < limits.beatsMissed) return void this.#send([kinds.beat]);
    this.#end(new Unavailable(`${this.#name} fell silent`));
  }

  // --- the end -----------------------------------------------------------------------------------------------------

  /** Ends for a fault of the peer's, which is told of it as far as it listens. */
  #refuse(error: CageError): void {
    if (this.#ended) return;
    if (!["PROTOCOL", "FORBIDDEN", "CONFIG"].includes(error.code)) return this.#end(error);
    const { code, message } = error;
    this.#send([kinds.error, 0, { code, message }]);
    this.#leave(error);
  }

  /** The peer closes when it has read the last words; closing first, with words of its unread, would throw away ours. */
  #leave(error: CageError): void {
    this.#flush();
    const stream = this.#stream;
    stream.end();
    const late = setTimeout(() => stream.destroy(), limits.goodbyeMs).unref();
    stream.once("close", () => clearTimeout(late));
    this.#end(error, false);
  }

  #end(error: CageError, abrupt = true): void {
    if (this.#ended) return;
    this.#ended = error;
    clearInterval(this.#beating);
    this.#failed(error);
    const outcome = this.#untouched
      ? new Unavailable(`${this.#name} left before it began this call`, { cause: error })
      : new UnknownOutcome(
          `the connection to ${this.#name} was lost after the call was sent; it may or may not have been done`,
          { cause: error },
        );
    for (const [id] of this.#waiting.entries()) {
      const waiting = this.#settle(id);
      if (waiting?.taking === undefined) waiting?.asker.reject(outcome);
      else waiting.taking.end({ error: outcome });
    }
    for (const work of this.#running.values()) {
      const why = new Cancelled("the caller is gone");
      work.cancel(why);
      for (const taking of work.taking ?? []) taking.fail(why);
    }
    this.#running.clear();
    this.#idle?.();
    this.#drained();
    if (abrupt) this.#stream.destroy();
    this.onEnd(error);
  }
}

const refused = (sentence: string): Overloaded =>
  new Overloaded(sentence, { details: { retryAfterMs: limits.refusedMs } });

const isPromised = (value: unknown): value is Promise<unknown> =>
  typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";

/** Where streams stand among the arguments. */
function streamsAmong(args: readonly unknown[]): readonly number[] {
  let at: number[] | undefined;
  for (let n = 0; n < args.length; n++) if (isStream(args[n])) (at ??= []).push(n);
  if (at !== undefined && at.length > limits.streamsPerCall)
    throw new CageError("BAD_INPUT", `${at.length} arguments are streams; a call takes up to ${limits.streamsPerCall}`);
  return at ?? noStreams;
}
