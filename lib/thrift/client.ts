/**
 * The client's end of one connection: many calls under way at once, each answered under its seqid.
 *
 *     const session = new ClientSession(socket);
 *     const page = await session.call(plan, [token, id], { multiplexed: true });
 *     new ClientSession(socket, { transport: "header", packed: true })      where the server is known to read envelopes
 *
 * How a call ends: with its result; with a DeclaredError; with what a TApplicationException says; when the connection
 * is lost with UNKNOWN_OUTCOME if its bytes were handed to the connection (it may have been done), UNAVAILABLE if not;
 * with the reason it was stopped for. An answer to a call that was given up is dropped. Nothing is retried here.
 *
 * A server of ours that leaves says goodbye: `open` is false from then on, what is under way is answered, and it closes.
 */
import type { Duplex } from "node:stream";
import { binary } from "./binary.ts";
import { ThriftError } from "./errors.ts";
import { Framed } from "./frame.ts";
import { type Form, type Headers, noHeaders } from "./header.ts";
import { type Limits, limits as standard } from "./limits.ts";
import { boundedAs, firstSeqid, isGoodbye, opened, readApplicationException } from "./message.ts";
import type { Plan } from "./plan.ts";
import { messageTypes } from "./wire.ts";

/** A declared exception, as it came: `name` is the struct's, `code` its `code` field or else the struct's name. */
export class DeclaredError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(name: string, details: Readonly<Record<string, unknown>>) {
    const { code, message } = details;
    super(typeof message === "string" ? message : name);
    this.name = name;
    this.code = typeof code === "string" ? code : name;
    this.details = details;
  }
}

export interface CallOptions {
  /** Prefixes the service's name, for servers of several services. */
  readonly multiplexed?: boolean;
  /** Registers what is to be called, with the reason, when the caller gives up; returns how to forget it. */
  readonly onStop?: (listener: (why: unknown) => void) => () => void;
  /** What goes beside the call, where the transport has headers: asked at the moment it leaves, as time runs meanwhile. */
  readonly headers?: () => Headers;
  /** Is told what came beside the answer, if anything did, before the call ends. */
  readonly answered?: (headers: Headers) => void;
}

export interface ClientOptions extends Partial<Form> {
  readonly limits?: Limits;
}

interface Outstanding {
  readonly plan: Plan;
  readonly seqid: number;
  readonly message: Buffer;
  readonly options: CallOptions;
  sent: boolean;
  /** Given up by its caller: it waits only for its answer to be dropped. */
  abandoned: boolean;
  settle(outcome: { result: unknown } | { error: unknown }): void;
}

export class ClientSession {
  readonly #framed: Framed;
  readonly #limits: Limits;
  readonly #form: Form;
  readonly #table = new Map<number, Outstanding>();
  readonly #queue: Outstanding[] = [];
  readonly closed: Promise<Error | undefined>;
  #settle: (error: Error | undefined) => void = () => {};
  #seqid = firstSeqid - 1;
  #lost: Error | undefined;
  #heardAt = performance.now();
  #open = true;
  #draining = false;

  constructor(stream: Duplex, options: ClientOptions = {}) {
    const { protocol = binary, transport = "framed", packed = false } = options;
    this.#limits = options.limits ?? standard;
    this.#form = { protocol, transport, packed };
    this.closed = new Promise((resolve) => (this.#settle = resolve));
    this.#framed = new Framed(stream, this.#limits, {
      frame: (bytes) => this.#receive(bytes),
      drained: () => this.#flush(),
      closed: (error) => this.#end(error),
    });
  }

  /** Whether a call made now could be sent. */
  get open(): boolean {
    return this.#open && !this.#draining;
  }

  /** When the last frame came (performance.now()). */
  get heardAt(): number {
    return this.#heardAt;
  }

  get outstanding(): number {
    return this.#table.size;
  }

  async call(plan: Plan, args: readonly unknown[], options: CallOptions = {}): Promise<unknown> {
    const { multiplexed = false, onStop } = options;
    const { method, label } = plan;
    if (!this.open) throw new ThriftError("UNAVAILABLE", `${label}: the connection is closed`, { cause: this.#lost });
    if (this.#table.size >= this.#limits.pipelined)
      throw new ThriftError("OVERLOADED", `${label}: ${this.#table.size} calls wait on this connection already`);
    const seqid = this.#nextSeqid();
    const { output } = this.#form.protocol;
    output.begin();
    output.messageBegin({
      name: multiplexed ? `${plan.service}:${method.name}` : method.name,
      type: method.oneway ? messageTypes.ONEWAY : messageTypes.CALL,
      seqid,
    });
    plan.writeArgs(output, args);
    const message = output.finish();
    if (message.length > this.#limits.messageBytes)
      throw new ThriftError(
        "TOO_LARGE",
        `${label}: a call of ${message.length} bytes; the limit is ${this.#limits.messageBytes}`,
      );

    return await new Promise((resolve, reject) => {
      let forget = () => {};
      const one: Outstanding = {
        plan,
        seqid,
        message,
        options,
        sent: false,
        abandoned: false,
        settle: (outcome) => {
          forget();
          if ("error" in outcome) reject(outcome.error);
          else resolve(outcome.result);
        },
      };
      this.#table.set(seqid, one);
      this.#queue.push(one);
      // May call back at once: then the call is gone before it was sent.
      if (onStop !== undefined) forget = onStop((why) => this.#giveUp(one, why));
      this.#flush();
    });
  }

  /** Takes no more calls, waits for those under way, then closes. */
  async drain(): Promise<void> {
    this.#draining = true;
    this.#closeWhenIdle();
    await this.closed;
  }

  destroy(): void {
    this.#framed.destroy();
  }

  #flush(): void {
    // A blocked stream keeps calls here, where it is certain that no byte of them has left.
    while (this.#open && !this.#framed.blocked) {
      const one = this.#queue.shift();
      if (one === undefined) return;
      let frame: Buffer;
      try {
        frame = boundedAs(this.#form, one.seqid, one.message, one.options.headers?.() ?? noHeaders, this.#limits);
      } catch (error) {
        // Its envelope is what is too large: of this call only, and nothing of it was sent.
        this.#done(one, { error });
        continue;
      }
      one.sent = true;
      this.#framed.send(frame);
      if (one.plan.method.oneway) this.#done(one, { result: undefined });
    }
  }

  #receive(frame: Buffer): void {
    let one: Outstanding | undefined;
    this.#heardAt = performance.now();
    try {
      const { form, headers, message } = opened(frame, this.#limits);
      const input = form.protocol.input(message, this.#limits);
      const envelope = input.messageBegin();
      if (isGoodbye(envelope)) {
        this.#draining = true;
        return this.#closeWhenIdle();
      }
      const { seqid, type } = envelope;
      one = this.#table.get(seqid);
      if (one === undefined) {
        // A server that cannot read a call cannot know its seqid and answers 0; it closes next, and its reason is ours.
        if (type === messageTypes.EXCEPTION) throw readApplicationException(input);
        throw new ThriftError("PROTOCOL", `an answer to call ${seqid}, which was never made`, {
          type: "BAD_SEQUENCE_ID",
        });
      }
      if (headers.size > 0 && !one.abandoned) one.options.answered?.(headers);
      if (one.abandoned) this.#done(one, { result: undefined });
      else if (type === messageTypes.EXCEPTION) this.#done(one, { error: readApplicationException(input) });
      else if (type === messageTypes.REPLY) {
        const answer = one.plan.readAnswer(input);
        this.#done(
          one,
          "result" in answer
            ? answer
            : { error: new DeclaredError(answer.declared.name, answer.thrown as Readonly<Record<string, unknown>>) },
        );
      } else throw new ThriftError("PROTOCOL", "a call arrived where an answer was expected");
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      // A well-formed answer with a value that our schema refuses concerns its own call; other bytes cannot be trusted.
      if (one !== undefined) this.#done(one, { error: failure });
      if (one === undefined || (failure as { code?: unknown }).code !== "BAD_VALUE") {
        this.#end(failure);
      }
    }
  }

  #giveUp(one: Outstanding, reason: unknown): void {
    if (one.sent) {
      one.abandoned = true;
      one.settle({ error: reason });
    } else {
      const at = this.#queue.indexOf(one);
      if (at >= 0) this.#queue.splice(at, 1);
      this.#done(one, { error: reason });
    }
  }

  #done(one: Outstanding, outcome: { result: unknown } | { error: unknown }): void {
    this.#table.delete(one.seqid);
    one.settle(outcome);
    this.#closeWhenIdle();
  }

  #closeWhenIdle(): void {
    if (this.#draining && this.#open && this.#table.size === 0) {
      this.#framed.end();
      this.#end(undefined);
    }
  }

  #end(error: Error | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#lost = error;
    this.#queue.length = 0;
    for (const one of [...this.#table.values()]) {
      const label = one.plan.label;
      one.settle({
        error: one.sent
          ? new ThriftError(
              "UNKNOWN_OUTCOME",
              `${label}: the connection was lost before the answer came; it may have been done`,
              { cause: error },
            )
          : new ThriftError("UNAVAILABLE", `${label}: the connection was lost before the call was sent`, {
              cause: error,
            }),
      });
    }
    this.#table.clear();
    this.#framed.destroy();
    this.#settle(error);
  }

  /** Around to 1: 0 is what a server says when it does not know. */
  #nextSeqid(): number {
    do this.#seqid = this.#seqid >= 0x7fff_ffff ? 1 : this.#seqid + 1;
    while (this.#table.has(this.#seqid));
    return this.#seqid;
  }
}
