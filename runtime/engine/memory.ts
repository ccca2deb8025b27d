/**
 * Lossy key-value memory of the processes of one host: one SQLite file, not synced. What must survive belongs in a store.
 * Values up to 1 MiB: it is read and written on the event loop. What expired is deleted by writes, some of it now and then:
 * the file stays as large as what lives at once, and no write takes long.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { pack, unpack } from "../../lib/pack.ts";
import { type Database, openDatabase, sql } from "../../lib/sqlite.ts";
import { CageError } from "../errors.ts";

/** One write in so many deletes what expired, more of it than those writes can have brought. */
const sweepEvery = 64;
const sweptAtOnce = 128;

export class Memory {
  readonly #db: Database;
  /** The first one of a process sweeps: it may live for less than the others. */
  #untilSweep = 1;

  constructor(file: string) {
    mkdirSync(dirname(file), { recursive: true });
    this.#db = openDatabase(file, { durability: "normal" });
    this.#db.exec(
      "create table if not exists memory (key text primary key, value blob not null, revision integer not null, expires real) strict, without rowid",
    );
    this.#db.exec("create index if not exists memory_expires on memory (expires) where expires is not null");
  }

  async read(key: string): Promise<{ value: unknown; revision: number } | undefined> {
    const row = this.#db.one<{ value: Uint8Array; revision: number; expires: number | null }>(
      sql`select value, revision, expires from memory where key = ${key}`,
    );
    if (row === undefined || (row.expires !== null && row.expires <= Date.now())) return undefined;
    return { value: unpack(row.value), revision: row.revision };
  }

  async write(key: string, value: unknown, options: { ttlMs?: number } = {}): Promise<number> {
    const bytes = this.#sized(key, value);
    this.#sweep();
    const expires = options.ttlMs === undefined ? null : Date.now() + options.ttlMs;
    const row = this.#db.one<{
      revision: number;
    }>(sql`insert into memory (key, value, revision, expires) values (${key}, ${bytes}, 1, ${expires})
      on conflict (key) do update set value = excluded.value, revision = revision + 1, expires = excluded.expires returning revision`);
    return row?.revision ?? 0;
  }

  async cas(key: string, value: unknown, revision: number): Promise<boolean> {
    const bytes = this.#sized(key, value);
    if (revision === 0) {
      this.#db.run(sql`delete from memory where key = ${key} and expires <= ${Date.now()}`);
      return (
        this.#db.run(sql`insert or ignore into memory (key, value, revision) values (${key}, ${bytes}, 1)`).changes ===
        1
      );
    }
    return (
      this.#db.run(
        sql`update memory set value = ${bytes}, revision = revision + 1 where key = ${key} and revision = ${revision}
          and (expires is null or expires > ${Date.now()})`,
      ).changes === 1
    );
  }

  async remove(key: string): Promise<void> {
    this.#db.run(sql`delete from memory where key = ${key}`);
  }

  close(): void {
    this.#db.close();
  }

  #sweep(): void {
    if (--this.#untilSweep > 0) return;
    this.#untilSweep = sweepEvery;
    this.#db.run(sql`delete from memory where key in
      (select key from memory where expires <= ${Date.now()} order by expires limit ${sweptAtOnce})`);
  }

  #sized(key: string, value: unknown): Uint8Array {
    const bytes = pack(value);
    if (bytes.length > 1024 * 1024)
      throw new CageError("TOO_LARGE", `the value of ${key} is ${bytes.length} bytes; memory takes up to 1 MiB`);
    return bytes;
  }
}
