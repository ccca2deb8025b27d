/**
 * Lossy key-value memory of the processes of one host: one SQLite file, not synced. What must survive belongs in a store.
 * Values up to 1 MiB: it is read and written on the event loop.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { pack, unpack } from "../../lib/pack.ts";
import { type Database, openDatabase, sql } from "../../lib/sqlite.ts";
import { CageError } from "../errors.ts";

export class Memory {
  readonly #db: Database;

  constructor(file: string) {
    mkdirSync(dirname(file), { recursive: true });
    this.#db = openDatabase(file, { durability: "normal" });
    this.#db.exec(
      "create table if not exists memory (key text primary key, value blob not null, revision integer not null, expires real) strict, without rowid",
    );
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
        sql`update memory set value = ${bytes}, revision = revision + 1 where key = ${key} and revision = ${revision}`,
      ).changes === 1
    );
  }

  async remove(key: string): Promise<void> {
    this.#db.run(sql`delete from memory where key = ${key}`);
  }

  close(): void {
    this.#db.close();
  }

  #sized(key: string, value: unknown): Uint8Array {
    const bytes = pack(value);
    if (bytes.length > 1024 * 1024)
      throw new CageError("TOO_LARGE", `the value of ${key} is ${bytes.length} bytes; memory takes up to 1 MiB`);
    return bytes;
  }
}
