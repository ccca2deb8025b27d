/**
 * The shared memory of all nodes: one bucket of JetStream's, revisions by its sequence. Contract: `kv` in engine.ts.
 *
 * A value carries the time at which it ends, by the clock of who wrote it: servers before 2.11 take a time for a key and
 * ignore it. Whatever it says, a value that nobody writes for 30 days is dropped by the server, so that the bucket has an end.
 */
import type { KV, KvEntry } from "@nats-io/kv";
import { pack, unpack } from "../../../lib/pack.ts";
import { CageError, Unavailable } from "../../errors.ts";
import type { Engine } from "../engine.ts";
import type { Client } from "./client.ts";
import { token } from "./subjects.ts";

const longestMs = 30 * 24 * 60 * 60 * 1000;
/** As that of one host (memory.ts); the server's own limit may be lower. */
const mostBytes = 1024 * 1024;
/** Headers and subject count against the server's limit. */
const headBytes = 1_024;

export interface BucketOptions {
  readonly client: Client;
  readonly prefix: string;
  readonly replicas: number;
}

export class Bucket {
  readonly #options: BucketOptions;
  /** On the connection that there was when it was opened. */
  #open: Promise<KV> | undefined;

  constructor(options: BucketOptions) {
    this.#options = options;
  }

  /** The next use opens it on the connection that there is then. */
  forget(): void {
    this.#open = undefined;
  }

  readonly kv: Engine["kv"] = {
    read: async (key) => {
      const entry = await this.#entry(key);
      return entry === undefined || entry.over ? undefined : { value: entry.value, revision: entry.revision };
    },
    write: (key, value, { ttlMs } = {}) =>
      this.#use((bucket) => bucket.put(keyOf(key), this.#bytes(key, value, ttlMs))),
    cas: async (key, value, revision) => {
      const bytes = this.#bytes(key, value);
      // One that is over is absent, and still has its place in the sequence.
      const over = revision === 0 ? await this.#entry(key) : undefined;
      if (over !== undefined && !over.over) return false;
      return await this.#use(async (bucket) => {
        const previousSeq = over?.revision ?? revision;
        try {
          if (previousSeq === 0) await bucket.create(keyOf(key), bytes);
          else await bucket.put(keyOf(key), bytes, { previousSeq });
          return true;
        } catch (error) {
          if (isOtherRevision(error)) return false;
          throw error;
        }
      });
    },
    remove: (key) => this.#use((bucket) => bucket.purge(keyOf(key))),
  };

  async #entry(key: string): Promise<{ value: unknown; revision: number; over: boolean } | undefined> {
    const entry = await this.#use<KvEntry | null>((bucket) => bucket.get(keyOf(key)));
    if (entry === null || entry.operation !== "PUT") return undefined;
    const [value, expires] = unpack(entry.value) as [unknown, number | null];
    return { value, revision: entry.revision, over: expires !== null && expires <= Date.now() };
  }

  #bytes(key: string, value: unknown, ttlMs?: number): Uint8Array {
    const bytes = pack([value, ttlMs === undefined ? null : Date.now() + ttlMs]);
    const most = Math.min(mostBytes, this.#options.client.maxPayload - headBytes);
    if (bytes.length > most)
      throw new CageError("TOO_LARGE", `the value of ${key} is ${bytes.length} bytes; memory takes up to ${most}`);
    return bytes;
  }

  async #use<T>(work: (bucket: KV) => Promise<T>): Promise<T> {
    const { client, prefix, replicas } = this.#options;
    const { down } = client;
    if (down !== undefined) throw down;
    const opened = (this.#open ??= client.bucket({ name: `${prefix}_memory`, replicas, ttlMs: longestMs }));
    try {
      return await work(await opened);
    } catch (error) {
      if (this.#open === opened) this.#open = undefined;
      throw told(error);
    }
  }
}

/** A key may hold anything; a bucket's keys may not. */
const keyOf = token;

const isOtherRevision = (error: unknown): boolean =>
  [10_071, 10_164].includes((error as { code?: number } | null)?.code as number);

function told(error: unknown): Error {
  if (error instanceof CageError) return error;
  const { name, message } = error as Error;
  if (name === "JetStreamNotEnabled" || name === "NoRespondersError" || /jetstream not enabled/i.test(message))
    return new CageError(
      "CONFIG",
      "shared memory (kv) needs JetStream, and the NATS server runs without it; start it with -js, or with jetstream {} in its configuration",
      { cause: error },
    );
  return new Unavailable(`shared memory (kv) did not answer (${message})`, { cause: error });
}
