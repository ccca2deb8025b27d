/**
 * A keyspace: a named set of partitions that hold one kind of data (content, accounts), divided by key.
 *
 *     const content = await openKeyspace({ name: "content", dir, partitions: 4, migrations });
 *     await content.partition(threadId).transaction(async (tx) => { ... });
 *
 * `partition(key)` is the only way to data: what is written together must have one key, or keys with one bucket (ids
 * made inside a transaction share its bucket). `scatter` asks all partitions and is named so that nobody does it by
 * accident. Files: DIR/map.json and one SQLite file a partition.
 *
 * A partition remembers the epoch of the map under which it keeps its buckets; it refuses a caller with another
 * (WRONG_PARTITION), who reads the map again and asks once more. `partitions` counts only when the map is first made.
 */
import { join } from "node:path";
import type { AsyncOutbox, HasOutboxes } from "../outbox.ts";
import type { Bounds, Migration, Partition, Read } from "../partition.ts";
import { type Database, sql } from "../sqlite.ts";
import { bucketOf, hashName } from "./bucket.ts";
import { type BucketMap, ownerOf, planMap, readMap, writeMap } from "./map.ts";
import { openStore, type Scope, type Store } from "./store.ts";

export interface KeyspaceOptions {
  readonly name: string;
  readonly dir: string;
  readonly partitions: number;
  readonly migrations: readonly Migration[];
  /** Of each partition, as a store has it. */
  readonly maxWaiting?: number;
  readonly clock?: () => number;
}

export interface ScatterOptions {
  /** Partitions asked at once. */
  readonly limit: number;
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

export interface Keyspace extends HasOutboxes {
  readonly name: string;
  readonly epoch: number;
  partition(key: string): Partition;
  /** Asks every partition, a few at a time; rejects with the first failure. No snapshot across partitions. */
  scatter<T>(fn: (db: Read, partition: string) => Promise<T>, options: ScatterOptions): Promise<T[]>;
  /** Throws when a partition does not answer. */
  check(): Promise<void>;
  close(): Promise<void>;
}

export async function openKeyspace(options: KeyspaceOptions): Promise<Keyspace> {
  const { name, dir, migrations, maxWaiting, clock } = options;
  const file = join(dir, "map.json");
  let map = readMap(file);
  if (map === undefined) writeMap(file, (map = planMap(partitionNames(options.partitions))));
  if (map.partitions.length !== options.partitions)
    throw coded(
      "CONFIG",
      `keyspace ${name} is divided into ${map.partitions.length} partitions, configured are ${options.partitions}; its data cannot be moved by a number, so configure ${map.partitions.length}`,
    );
  const stores = new Map<string, Store>();
  try {
    for (const partition of map.partitions) {
      const store = await openStore(join(dir, `${partition}.sqlite`), {
        name: `${name}/${partition}`,
        migrations,
        bucketed: true,
        ...(maxWaiting === undefined ? {} : { maxWaiting }),
        ...(clock ? { clock } : {}),
      });
      stores.set(partition, store);
      await store.exclusive((db) => claim(db, name, partition, (map as BucketMap).epoch));
    }
  } catch (error) {
    await Promise.all([...stores.values()].map((store) => store.close()));
    throw error;
  }
  return new SqliteKeyspace(name, file, map, stores);
}

class SqliteKeyspace implements Keyspace {
  readonly name: string;
  readonly outboxes: readonly AsyncOutbox[];
  readonly #file: string;
  readonly #stores: ReadonlyMap<string, Store>;
  #map: BucketMap;

  constructor(name: string, file: string, map: BucketMap, stores: ReadonlyMap<string, Store>) {
    this.name = name;
    this.#file = file;
    this.#map = map;
    this.#stores = stores;
    this.outboxes = [...stores.values()].map((store) => store.outbox);
  }

  get epoch(): number {
    return this.#map.epoch;
  }

  partition(key: string): Partition {
    if (key === "") throw coded("BAD_INPUT", "an empty key belongs to no partition; name what the data is about");
    const bucket = bucketOf(key);
    const keyspace = this;
    return {
      bucket,
      get name() {
        return ownerOf(keyspace.#map, bucket, key);
      },
      get epoch() {
        return keyspace.#map.epoch;
      },
      read: (fn, bounds) => this.#routed(key, bucket, bounds, (store, scope) => store.read(scope, fn)),
      transaction: (fn, bounds) => this.#routed(key, bucket, bounds, (store, scope) => store.transaction(scope, fn)),
    };
  }

  async scatter<T>(fn: (db: Read, partition: string) => Promise<T>, options: ScatterOptions): Promise<T[]> {
    const timeout = new AbortController();
    const timer = setTimeout(
      () =>
        timeout.abort(
          coded("EXPIRED", `scatter over ${this.name}: not all partitions answered within ${options.timeoutMs} ms`),
        ),
      options.timeoutMs,
    );
    const stop = () => timeout.abort(options.signal?.reason);
    options.signal?.throwIfAborted();
    options.signal?.addEventListener("abort", stop, { once: true });
    const waiting = [...this.#stores].map(([partition, store], at) => ({ partition, store, at }));
    const answers: T[] = [];
    const asker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const { partition, store, at } = next;
        answers[at] = await store.read({ bucket: 0, signal: timeout.signal, guard: guardOf(this.#map) }, (db) =>
          fn(db, partition),
        );
      }
    };
    try {
      await Promise.all(Array.from({ length: Math.max(1, options.limit) }, asker));
      return answers;
    } finally {
      clearTimeout(timer);
      options.signal?.removeEventListener("abort", stop);
    }
  }

  async check(): Promise<void> {
    for (const store of this.#stores.values()) store.query(sql`select 1`);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#stores.values()].map((store) => store.close()));
  }

  /** At the owner by our map; told that the map is old (before `work` began), once more by the new one. */
  async #routed<T>(
    key: string,
    bucket: number,
    bounds: Bounds | undefined,
    work: (store: Store, scope: Scope) => Promise<T>,
  ): Promise<T> {
    try {
      return await work(this.#owner(bucket, key), { ...bounds, bucket, guard: guardOf(this.#map) });
    } catch (error) {
      if (!(error instanceof WrongPartition) || error.mapEpoch !== this.#map.epoch) throw error;
      const map = readMap(this.#file);
      if (map === undefined || map.epoch <= this.#map.epoch) throw error;
      this.#map = map;
      return await work(this.#owner(bucket, key), { ...bounds, bucket, guard: guardOf(map) });
    }
  }

  #owner(bucket: number, key: string): Store {
    const partition = ownerOf(this.#map, bucket, key);
    const store = this.#stores.get(partition);
    if (store === undefined)
      throw coded(
        "UNAVAILABLE",
        `keyspace ${this.name}: partition ${partition} is in the map but not open here; restart this cage`,
      );
    return store;
  }
}

/** The partition's epoch is not that of the map by which it was found. */
export class WrongPartition extends Error {
  readonly code = "WRONG_PARTITION";
  readonly mapEpoch: number;
  readonly epoch: number;

  constructor(mapEpoch: number, epoch: number) {
    super(`routed by map ${mapEpoch}, but the partition is at ${epoch}; read the map again`);
    this.mapEpoch = mapEpoch;
    this.epoch = epoch;
  }
}

const about = (db: Database, key: string): string | undefined =>
  db.one<{ value: string }>(sql`select value from _about where key = ${key}`)?.value;

const remember = (db: Database, key: string, value: string): void =>
  void db.run(
    sql`insert into _about (key, value) values (${key}, ${value}) on conflict (key) do update set value = excluded.value`,
  );

const guardOf =
  (map: BucketMap) =>
  (db: Database): void => {
    const epoch = Number(about(db, "epoch"));
    if (epoch !== map.epoch) throw new WrongPartition(map.epoch, epoch);
  };

/** Writes down whose file this is, or finds out that it is somebody else's. Its epoch only grows. */
function claim(db: Database, keyspace: string, partition: string, epoch: number): void {
  for (const [key, value] of [
    ["keyspace", keyspace],
    ["partition", partition],
    ["hash", hashName],
  ] as const) {
    const known = about(db, key);
    if (known === undefined) remember(db, key, value);
    else if (known !== value)
      throw coded("CONFIG", `${db.file} has ${key} ${known}, expected ${value}; it belongs elsewhere, move it back`);
  }
  if (Number(about(db, "epoch") ?? 0) < epoch) remember(db, "epoch", String(epoch));
}

const partitionNames = (count: number): string[] => Array.from({ length: count }, (_, at) => `p${at}`);
const coded = (code: string, message: string): Error => Object.assign(new Error(message), { code });
