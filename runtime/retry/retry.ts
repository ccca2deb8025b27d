/**
 * Retried calls of one cage: its journal, their delivery, and what operators do with them, in one object.
 *
 *     const retries = openRetries({ file: "state/shop/retry.sqlite", deliver: (to, path, args, carry, signal) =>
 *       engine.call(to, path, args, carry, signal) });
 *     await retries.start();
 *     services.retry = retries.retry;                            // cage("billing").retry({ id })...
 *     engine "core is here"  ->  retries.wake("core");
 *     outbox rows of kind "retry"  ->  await retries.intake(row), then remove the row
 *     await retries.stop(5_000);
 *
 *     retriesOf(handOver)             // of a process beside the one that has the journal: each call is handed to that
 *
 * `retry` resolves when the call is durable. With `in` (a transaction's outbox) it is written there instead, and exists
 * if that commits; the outbox's relay hands it to `intake`. Inside a retried call an id is scoped by the outer one's,
 * so the steps of a handler may have constant names.
 */
import { randomBytes, randomUUID } from "node:crypto";
import type { OutboxRow } from "../../lib/outbox.ts";
import { pack } from "../../lib/pack.ts";
import type { Tx } from "../../lib/partition.ts";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { durationMs } from "../request/duration.ts";
import { type LogLevel, maybeCurrent, type RetryOptions, type Target, type Trace } from "../request/request.ts";
import type { NewCall } from "./call.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";
import { type JournalLimits, openJournal } from "./journal.ts";
import { createSteering, type Steering } from "./steering.ts";

export interface RetriesOptions extends Omit<DeliveryOptions, "journal"> {
  readonly file: string;
  readonly limits?: Partial<JournalLimits>;
  readonly clock?: Clock;
}

export interface Retries {
  start(): Promise<void>;
  retry(
    to: Target,
    options: RetryOptions,
    path: string,
    args: readonly unknown[],
  ): Promise<{ id: string; duplicate: boolean }>;
  /** Takes over a call that a transaction left in an outbox; again and again is harmless. BAD_INPUT: it never can be. */
  intake(row: Pick<OutboxRow, "key" | "payload">): Promise<{ id: string; duplicate: boolean }>;
  wake(cage: string): void;
  readonly steering: Steering;
  /** Delivers no more, and waits for what is being delivered, at most so long; calls are still taken in. */
  drain(graceMs: number): Promise<void>;
  stop(graceMs: number): Promise<void>;
}

/** Anything a transaction offers to be durable with: `enlist` (lib/partition.ts), `lib/outbox.ts`, or an object that has one. */
interface Enlisting {
  add(kind: string, key: string, payload: unknown): void | Promise<void>;
}

/** A retried call as JSON in an outbox row of kind "retry"; times are absolute, for the row may wait. */
export interface EnlistedCall {
  readonly to: { readonly cage: string; readonly node?: string; readonly timeoutMs?: number };
  readonly options: { readonly expiresAt?: number; readonly notBefore?: number; readonly maxAttempts?: number };
  readonly path: string;
  readonly argsBase64: string;
  readonly trace: Trace;
  readonly logLevel: LogLevel;
}

export function openRetries(options: RetriesOptions): Retries {
  const clock = options.clock ?? systemClock;
  const journal = openJournal({ file: options.file, clock, ...(options.limits ? { limits: options.limits } : {}) });
  const delivery = new Delivery({ ...options, journal });
  const steering = createSteering(journal, (target) => {
    for (const cage of target === null ? journal.counts().keys() : [target]) delivery.pace(cage);
    delivery.poke();
  });

  async function enqueue(call: NewCall): Promise<{ id: string; duplicate: boolean }> {
    const answer = await journal.enqueue(call);
    if (!answer.duplicate) events.emit("retry.enqueued", { id: call.id, to: call.cage, path: call.path });
    delivery.poke();
    return answer;
  }

  return {
    start: () => delivery.start(),

    async retry(to, callOptions, path, args) {
      const call = newCall(clock, to, callOptions, path, args);
      if (callOptions.in === undefined) return await enqueue(call);
      await enlisting(callOptions.in).add("retry", call.id, enlisted(call));
      // Whether it is a duplicate is known when the outbox hands it on; the id sees to it either way.
      return { id: call.id, duplicate: false };
    },

    intake: async (row) => await enqueue(fromOutbox(row)),
    wake: (cage) => delivery.wake(cage),
    steering,
    drain: (graceMs) => delivery.stop(graceMs),

    async stop(graceMs) {
      await delivery.stop(graceMs);
      journal.close();
    },
  };
}

/** `handOver` resolves when the process with the journal has taken the call in. */
export function retriesOf(
  handOver: (row: Pick<OutboxRow, "key" | "payload">) => Promise<{ id: string; duplicate: boolean }>,
): Retries {
  return {
    start: async () => {},
    drain: async () => {},
    stop: async () => {},
    wake() {},
    async retry(to, options, path, args) {
      const { kind, key, payload } = enlistment(to, options, path, args);
      if (options.in === undefined) return await handOver({ key, payload });
      await enlisting(options.in).add(kind, key, payload);
      return { id: key, duplicate: false };
    },
    intake: handOver,
    get steering(): never {
      throw new CageError("UNAVAILABLE", "the first process of this cage has its retried calls");
    },
  };
}

/** The row that makes this call durable with a transaction: outbox.add(kind, key, payload). */
export function enlistment(
  to: Target,
  options: RetryOptions,
  path: string,
  args: readonly unknown[],
  clock: Clock = systemClock,
): { kind: "retry"; key: string; payload: EnlistedCall } {
  const call = newCall(clock, to, options, path, args);
  return { kind: "retry", key: call.id, payload: enlisted(call) };
}

function newCall(clock: Clock, to: Target, options: RetryOptions, path: string, args: readonly unknown[]): NewCall {
  const request = maybeCurrent();
  const own = options.id ?? randomUUID();
  const wall = clock.wall();
  return {
    id: request?.retry === undefined ? own : `${request.retry.id}/${own}`,
    cage: to.cage,
    node: to.node,
    path,
    args: pack(args),
    trace: request?.trace ?? { id: randomBytes(16).toString("hex"), span: randomBytes(8).toString("hex") },
    logLevel: request?.logLevel ?? "info",
    notBefore: options.notBefore?.getTime(),
    expiresAt: options.expiresIn === undefined ? undefined : wall + durationMs(options.expiresIn),
    maxAttempts: options.maxAttempts,
    timeoutMs: to.timeoutMs,
  };
}

function enlisted(call: NewCall): EnlistedCall {
  return {
    to: {
      cage: call.cage,
      ...(call.node === undefined ? {} : { node: call.node }),
      ...(call.timeoutMs === undefined ? {} : { timeoutMs: call.timeoutMs }),
    },
    options: {
      ...(call.expiresAt === undefined ? {} : { expiresAt: call.expiresAt }),
      ...(call.notBefore === undefined ? {} : { notBefore: call.notBefore }),
      ...(call.maxAttempts === undefined ? {} : { maxAttempts: call.maxAttempts }),
    },
    path: call.path,
    argsBase64: Buffer.from(call.args).toString("base64"),
    trace: call.trace,
    logLevel: call.logLevel,
  };
}

function fromOutbox({ key, payload }: Pick<OutboxRow, "key" | "payload">): NewCall {
  const row = payload as Partial<EnlistedCall> | null;
  if (typeof row?.to?.cage !== "string" || typeof row.path !== "string" || typeof row.argsBase64 !== "string")
    throw new CageError("BAD_INPUT", `the outbox row "${key}" is not a retried call: it lacks to, path or argsBase64`);
  return {
    id: key,
    cage: row.to.cage,
    node: row.to.node,
    path: row.path,
    args: Buffer.from(row.argsBase64, "base64"),
    trace: row.trace ?? { id: randomBytes(16).toString("hex"), span: randomBytes(8).toString("hex") },
    logLevel: row.logLevel ?? "info",
    notBefore: row.options?.notBefore,
    expiresAt: row.options?.expiresAt,
    maxAttempts: row.options?.maxAttempts,
    timeoutMs: row.to.timeoutMs,
  };
}

function enlisting(transaction: unknown): Enlisting {
  const given = transaction as { enlist?: unknown; add?: unknown; outbox?: { add?: unknown } } | null;
  if (typeof given?.enlist === "function")
    return { add: (kind, key, payload) => (given as Pick<Tx, "enlist">).enlist(kind, key, payload) };
  if (typeof given?.add === "function") return given as Enlisting;
  if (typeof given?.outbox?.add === "function") return given.outbox as Enlisting;
  throw new CageError("BAD_INPUT", "retry({ in }) takes a transaction with an outbox (one whose store this cage owns)");
}
