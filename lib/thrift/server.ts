/**
 * One connection, served: calls come in as frames, run side by side, and are answered as each is done.
 *
 *     const session = serveConnection(socket, {
 *       find: (name) => plans.find(name),                       // taken per call: the schema may change between two
 *       invoke: (plan, args, headers) => handlers[plan.service][plan.method.name](...args),
 *       told: (error) => ({ code, message, open: true }),       // what an outsider may know
 *     });
 *     await session.drain();                                    // asks the client to leave; answers all it still sends
 *
 * Promises: a oneway call gets no answer; an unknown method UNKNOWN_METHOD; arguments that break the schema
 * PROTOCOL_ERROR; bytes that are no message PROTOCOL_ERROR and the end of the connection. Nothing that arrives throws.
 * A client that uses one seqid for several calls at once gets those answers in order, as it must expect. Each call is
 * answered in the form that it came in (header.ts): its protocol, its transport, packed or not.
 *
 * Draining loses no call: a client of ours is told goodbye, and closes when it has its answers. Others cannot be told. They
 * are let be idle for a moment and then closed; one that never is, after some seconds, behind an answer.
 *
 *     what the handler threw                                     what the caller gets
 *     code = the name of a declared exception                    that exception, from `details` (message: its own)
 *     open, and one exception with string code and message       that exception: code, message, fields = details, and
 *                                                                retryAfterMs where it has such a number
 *     anything else                                              TApplicationException INTERNAL_ERROR "CODE: sentence"
 */
import type { Duplex } from "node:stream";
import { type ApplicationType, ThriftError } from "./errors.ts";
import { Framed } from "./frame.ts";
import { type Form, type Headers, noHeaders } from "./header.ts";
import { type Limits, limits as standard } from "./limits.ts";
import { boundedAs, firstSeqid, formOf, framedAs, goodbye, opened, refusal } from "./message.ts";
import type { Declared, Plan } from "./plan.ts";
import type { Type } from "./schema.ts";
import { messageTypes } from "./wire.ts";

export interface Told {
  readonly code: string;
  readonly message: string;
  /** Whether it is the caller's to know (a refusal) rather than the operator's (a fault). */
  readonly open: boolean;
  /** Goes beside the answer, where the caller's transport has headers. */
  readonly headers?: Headers;
}

export interface ServerOptions {
  find(name: string): Plan | undefined;
  /** `headers` came beside the call; a client may write into them what it likes. */
  invoke(plan: Plan, args: readonly unknown[], headers: Headers): Promise<unknown>;
  told(error: unknown): Told;
  /** Told of the operator's errors that no handler threw: an answer that does not fit the schema, a broken peer. */
  fault?(error: unknown, label: string): void;
  readonly limits?: Limits;
}

export interface ServerSession {
  /** Calls that run now. */
  readonly running: number;
  readonly closed: Promise<void>;
  drain(): Promise<void>;
  destroy(): void;
}

/** A client idle for so long is not about to ask: one under load asks again within milliseconds. */
const quietMs = 400;
/** One that was at it when the drain began; on a machine that is starved it asks again less soon. */
const busyMs = 2_000;
/** A client that is never idle, and cannot be told. */
const patienceMs = 5_000;

/** A call that is to be answered. */
interface Asked {
  readonly plan: Plan;
  readonly args: readonly unknown[];
  readonly headers: Headers;
  readonly form: Form;
  readonly seqid: number;
  readonly silent: boolean;
  /** What it holds in memory while it runs. */
  readonly bytes: number;
}

export function serveConnection(stream: Duplex, options: ServerOptions): ServerSession {
  return new Connection(stream, options);
}

class Connection implements ServerSession {
  readonly #framed: Framed;
  readonly #options: ServerOptions;
  readonly #limits: Limits;
  /** The last answer due under each seqid in use, to keep order among equals. */
  readonly #turns = new Map<number, Promise<void>>();
  readonly closed: Promise<void>;
  #settle: () => void = () => {};
  #running = 0;
  /** How a client asks, that understands a goodbye; undefined of others, and before the first call. */
  #ours: Form | undefined;
  #heardAt = performance.now();
  #asked = false;
  /** It is asked to leave, or waited for to be idle. */
  #leaving = false;
  #held = 0;
  /** No more is read: it closes when nothing runs. */
  #draining = false;
  /** Of what came last: what is said to nobody in particular is said so. */
  #form: Form = formOf(Buffer.alloc(0));

  constructor(stream: Duplex, options: ServerOptions) {
    this.#options = options;
    this.#limits = options.limits ?? standard;
    this.closed = new Promise((resolve) => (this.#settle = resolve));
    stream.on("close", () => this.#settle());
    this.#framed = new Framed(stream, this.#limits, {
      frame: (bytes) => this.#receive(bytes),
      drained: () => this.#breathe(),
      closed: (error) => this.#lost(error),
    });
  }

  get running(): number {
    return this.#running;
  }

  async drain(): Promise<void> {
    this.#leaving = true;
    if (this.#ours !== undefined) this.#farewell(this.#ours);
    const since = performance.now();
    const look = (): void => {
      const now = performance.now();
      const idleMs = this.#heardAt < since - quietMs ? quietMs : busyMs;
      const quiet = this.#running === 0 && now - this.#heardAt > idleMs;
      // Who was told goodbye closes by itself.
      if (this.#ours === undefined && (quiet || now - since > patienceMs)) this.#close();
    };
    look();
    const looking = setInterval(look, quietMs / 4);
    await this.closed;
    clearInterval(looking);
  }

  #close(): void {
    this.#draining = true;
    this.#framed.pause();
    this.#breathe();
  }

  destroy(): void {
    this.#framed.destroy();
  }

  #receive(frame: Buffer): void {
    let name = "";
    let seqid = 0;
    this.#form = formOf(frame);
    try {
      const { form, headers, message } = opened(frame, this.#limits);
      this.#form = form;
      const input = form.protocol.input(message, this.#limits);
      const envelope = input.messageBegin();
      // Answers carry the name without its service, as Apache's own multiplexed servers give it.
      name = envelope.name.slice(envelope.name.indexOf(":") + 1);
      seqid = envelope.seqid;
      this.#met(seqid);
      if (envelope.type !== messageTypes.CALL && envelope.type !== messageTypes.ONEWAY)
        throw new ThriftError("PROTOCOL", "a server takes calls, not answers", { type: "INVALID_MESSAGE_TYPE" });
      const plan = this.#options.find(envelope.name);
      const silent = envelope.type === messageTypes.ONEWAY || plan?.method.oneway === true;
      if (plan === undefined) {
        if (!silent)
          this.#refuse({ name, seqid }, "UNKNOWN_METHOD", `there is no method ${envelope.name.slice(0, 200)} here`);
        return;
      }
      let args: unknown[];
      try {
        args = plan.readArgs(input);
        if (input.left > 0)
          throw new ThriftError("PROTOCOL", `${plan.label}: ${input.left} bytes follow the arguments`);
      } catch (error) {
        // The bytes were sound, only the value was not: the connection is good for the next call.
        if (!(error instanceof ThriftError) || error.code !== "BAD_VALUE") throw error;
        if (!silent) this.#refuse({ name, seqid }, "PROTOCOL_ERROR", error.message);
        return;
      }
      this.#run({ plan, args, headers, form, seqid, silent, bytes: message.length });
    } catch (error) {
      this.#options.fault?.(error, "message");
      const known = error instanceof ThriftError ? error : undefined;
      const sentence = known?.message ?? "the message could not be read";
      this.#refuse({ name, seqid }, known?.type ?? "PROTOCOL_ERROR", sentence);
      this.#close();
    }
  }

  #met(seqid: number): void {
    this.#heardAt = performance.now();
    if (this.#asked) return;
    this.#asked = true;
    if (seqid !== firstSeqid) return;
    this.#ours = this.#form;
    if (this.#leaving) this.#farewell(this.#ours);
  }

  #farewell(form: Form): void {
    this.#framed.send(framedAs(form, 0, goodbye(form.protocol), noHeaders));
  }

  /** Refuses what came last. */
  #refuse(call: { readonly name: string; readonly seqid: number }, type: ApplicationType, sentence: string): void {
    const form = this.#form;
    const message = refusal(form.protocol, call, type, sentence);
    this.#framed.send(framedAs(form, call.seqid, message, noHeaders));
  }

  #run(asked: Asked): void {
    const { seqid, silent, bytes } = asked;
    this.#running++;
    this.#held += bytes;
    if (!this.#roomy) this.#framed.pause();
    const before = silent ? undefined : this.#turns.get(seqid);
    const turn = this.#answer(asked, before).finally(() => {
      if (this.#turns.get(seqid) === turn) this.#turns.delete(seqid);
      this.#running--;
      this.#held -= bytes;
      this.#breathe();
    });
    if (!silent) this.#turns.set(seqid, turn);
  }

  async #answer(asked: Asked, before: Promise<void> | undefined): Promise<void> {
    const { plan, args, headers, silent } = asked;
    let frame: Buffer;
    try {
      const result = await this.#options.invoke(plan, args, headers);
      if (silent) return;
      frame = this.#encode(asked, result);
    } catch (error) {
      if (silent) return;
      frame = this.#thrown(asked, error);
    }
    if (before !== undefined) await before;
    this.#framed.send(frame);
  }

  #encode({ plan, form, seqid }: Asked, result: unknown): Buffer {
    const { output } = form.protocol;
    const name = plan.method.name;
    try {
      output.begin();
      output.messageBegin({ name, type: messageTypes.REPLY, seqid });
      plan.writeResult(output, result);
      return boundedAs(form, seqid, output.finish(), noHeaders, this.#limits);
    } catch (error) {
      // The handler's answer breaks its own IDL: a fault of the service, for the operator to see in full.
      this.#options.fault?.(error, plan.label);
      const type: ApplicationType = error instanceof ThriftError && error.type ? error.type : "INTERNAL_ERROR";
      const sentence = `INTERNAL: ${plan.label} gave an answer that its IDL does not allow`;
      return framedAs(form, seqid, refusal(form.protocol, { name, seqid }, type, sentence), noHeaders);
    }
  }

  #thrown({ plan, form, seqid }: Asked, error: unknown): Buffer {
    const call = { name: plan.method.name, seqid };
    const told = this.#options.told(error);
    const headers = told.headers ?? noHeaders;
    const found = declaredFor(plan, error, told);
    if (found !== undefined) {
      const { output } = form.protocol;
      try {
        output.begin();
        output.messageBegin({ ...call, type: messageTypes.REPLY });
        plan.writeThrown(output, found.declared, found.value);
        return boundedAs(form, seqid, output.finish(), headers, this.#limits);
      } catch (misfit) {
        this.#options.fault?.(misfit, plan.label);
      }
    }
    const message = refusal(form.protocol, call, "INTERNAL_ERROR", `${told.code}: ${told.message}`);
    return framedAs(form, seqid, message, headers);
  }

  get #roomy(): boolean {
    return this.#running < this.#limits.pipelined && this.#held < this.#limits.heldBytes;
  }

  /** After anything that was waited for: reads on, or, when draining, closes once nothing runs. */
  #breathe(): void {
    if (this.#draining) {
      if (this.#running === 0) this.#framed.end();
    } else if (this.#roomy && this.#framed.unsent < this.#limits.unsentBytes) this.#framed.resume();
    else this.#framed.pause();
  }

  /** No more frames. Undefined: the peer has said all it wants to say, and may still read its answers. */
  #lost(error: Error | undefined): void {
    if (error instanceof ThriftError) {
      this.#options.fault?.(error, "connection");
      this.#refuse({ name: "", seqid: 0 }, "PROTOCOL_ERROR", error.message);
    } else if (error !== undefined) this.#framed.destroy();
    this.#draining = true;
    this.#breathe();
  }
}

function declaredFor(plan: Plan, error: unknown, told: Told): { declared: Declared; value: unknown } | undefined {
  const { code, message, details } = (error ?? {}) as { code?: unknown; message?: unknown; details?: unknown };
  const facts = typeof details === "object" && details !== null ? details : {};
  const named = plan.throws.find((each) => each.name === code);
  if (named !== undefined) {
    const defaults = named.fields.some((f) => f.name === "message") ? { message } : {};
    return { declared: named, value: { ...defaults, ...facts } };
  }
  const [only] = plan.throws;
  if (!told.open || only === undefined || plan.throws.length > 1) return undefined;
  const field = (name: string) => only.fields.find((each) => each.name === name)?.type;
  if (field("code")?.kind !== "string" || field("message")?.kind !== "string") return undefined;
  const fields = field("fields");
  // The details of an error are any facts; the IDL says which of them can be told.
  const texts = Object.entries(facts).filter(([, fact]) => typeof fact === "string");
  const extra =
    fields?.kind === "map" && fields.key.kind === "string" && fields.value.kind === "string" && texts.length > 0
      ? { fields: Object.fromEntries(texts) }
      : {};
  const wait = numberAs(field("retryAfterMs"), (facts as { retryAfterMs?: unknown }).retryAfterMs);
  const later = wait === undefined ? {} : { retryAfterMs: wait };
  return { declared: only, value: { code: told.code, message: told.message, ...extra, ...later } };
}

/** A whole number as a field of this type takes it; undefined when it does not. */
function numberAs(type: Type | undefined, value: unknown): number | bigint | undefined {
  if (!Number.isSafeInteger(value)) return undefined;
  const number = value as number;
  if (type?.kind === "i32") return Math.abs(number) < 2 ** 31 ? number : undefined;
  if (type?.kind === "i64") return type.number ? number : BigInt(number);
  return undefined;
}
