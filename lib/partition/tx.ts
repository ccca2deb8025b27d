/**
 * The `tx` (and the `db` of a read) over one SQLite connection: statements run at the moment they are called, and answer
 * with a promise all the same. The first failure is kept: its transaction will not commit.
 */

import { randomUUID } from "node:crypto";
import type { Outbox } from "../outbox.ts";
import type { EventPayload, Tx } from "../partition.ts";
import { type Database, type Sql, sql } from "../sqlite.ts";
import { formatId, maxSequence } from "./id.ts";

/** Longer than any retried call of ours lives by default (7 days), short enough that the table stays small. */
const onceMs = 30 * 24 * 60 * 60 * 1000;

export class SqliteTx implements Tx {
  readonly bucket: number;
  readonly db: Database;
  /** Kinds of outbox rows left by this transaction, to wake their relays after the commit. */
  readonly kinds = new Set<string>();
  readonly #outbox: Outbox | undefined;
  readonly #clock: () => number;
  #over: { reason: unknown } | undefined;
  #failure: unknown;

  constructor(db: Database, outbox: Outbox | undefined, bucket: number, clock: () => number) {
    this.db = db;
    this.#outbox = outbox;
    this.bucket = bucket;
    this.#clock = clock;
  }

  get open(): boolean {
    return this.#over === undefined;
  }

  get failure(): unknown {
    return this.#failure;
  }

  end(reason?: unknown): void {
    this.#over ??= { reason };
  }

  all<Row>(query: Sql): Promise<Row[]> {
    return this.#do(() => this.db.all<Row>(query));
  }

  one<Row>(query: Sql): Promise<Row | undefined> {
    return this.#do(() => this.db.one<Row>(query));
  }

  run(query: Sql): Promise<{ changes: number; lastId: number }> {
    return this.#do(() => this.db.run(query));
  }

  id(): Promise<string> {
    return this.#do(() => {
      const last = this.db.one<{ ms: number; sequence: number }>(sql`select ms, sequence from _id`) ?? {
        ms: 0,
        sequence: 0,
      };
      const now = this.#clock();
      // A clock that went back, or more than 1,024 ids within a millisecond: count on from the last one.
      const next =
        now > last.ms
          ? { ms: now, sequence: 0 }
          : last.sequence < maxSequence
            ? { ms: last.ms, sequence: last.sequence + 1 }
            : { ms: last.ms + 1, sequence: 0 };
      this.db.run(sql`insert into _id (one, ms, sequence) values (1, ${next.ms}, ${next.sequence})
        on conflict (one) do update set ms = excluded.ms, sequence = excluded.sequence`);
      return formatId({ timeMs: next.ms, bucket: this.bucket, sequence: next.sequence });
    });
  }

  emit(channel: string, type: string, data: unknown): Promise<void> {
    return this.enlist("event", randomUUID(), { channel, type, data } satisfies EventPayload);
  }

  enlist(kind: string, key: string, payload: unknown): Promise<void> {
    return this.#do(() => {
      if (this.#outbox === undefined)
        throw Object.assign(new Error("a read leaves nothing in the outbox"), { code: "BAD_STATE" });
      this.#outbox.add(kind, key, payload);
      this.kinds.add(kind);
    });
  }

  async once<T>(key: string, fn: () => Promise<T>): Promise<T> {
    const before = await this.one<{ answer: string }>(sql`select answer from _once where key = ${key}`);
    if (before !== undefined) return JSON.parse(before.answer) as T;
    const answer = await fn();
    const at = this.#clock();
    await this.run(sql`insert into _once (key, answer, at, bucket)
      values (${key}, ${JSON.stringify(answer ?? null)}, ${at}, ${this.bucket})`);
    // A few at a time, with the writes that make them: no sweep that would hold the partition.
    await this.run(sql`delete from _once where key in (select key from _once where at < ${at - onceMs} limit 4)`);
    return answer;
  }

  #do<T>(statement: () => T): Promise<T> {
    try {
      if (this.#over !== undefined)
        throw (
          this.#over.reason ??
          Object.assign(
            new Error("this transaction or read is over; do everything inside its function, and await it"),
            {
              code: "BAD_STATE",
            },
          )
        );
      if (this.#failure !== undefined)
        throw Object.assign(
          new Error("an earlier statement of this transaction failed; nothing more is done in it", {
            cause: this.#failure,
          }),
          {
            code: "BAD_STATE",
          },
        );
      return Promise.resolve(statement());
    } catch (error) {
      this.#failure ??= error;
      const rejected = Promise.reject(error);
      // Not awaited by the author? The commit tells it: an unhandled rejection would end the process.
      rejected.catch(() => {});
      return rejected;
    }
  }
}
