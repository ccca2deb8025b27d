/**
 * A SQLite file as everything here opens one: WAL, synchronous=FULL (the build's default is NORMAL: an acknowledged
 * commit could vanish with the power), foreign keys on, statements cached by their text, values only ever bound.
 *
 *     const db = openDatabase(file);
 *     const post = db.one<Row>(sql`select * from post where id = ${id}`);
 *     db.transaction(() => { db.run(sql`insert ...`); });
 *
 * Synchronous, so a statement blocks the event loop: keep them small (a point read is about 10 us). Two transactions
 * on one file from one thread would wait for each other for the whole busy timeout; give a file one owner.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import Sqlite from "better-sqlite3";
import { type Sql, sql } from "./sql.ts";

export { type Sql, sql };

export interface Database {
  readonly file: string;
  /** All rows. */
  all<Row>(query: Sql): Row[];
  /** The first row, or undefined. */
  one<Row>(query: Sql): Row | undefined;
  run(query: Sql): { changes: number; lastId: number };
  /** Several statements without values: schemas, pragmas. */
  exec(text: string): void;
  /** BEGIN IMMEDIATE ... COMMIT; rolled back when `fn` throws. Nested: a savepoint. `fn` must not return a promise. */
  transaction<T>(fn: () => T): T;
  readonly inTransaction: boolean;
  close(): void;
}

export interface DatabaseOptions {
  /** How long another process's lock is waited for, in ms. Blocks the loop, so short. Default 200. */
  readonly busyMs?: number;
  /** "full": a commit is on the disk when it returns. "normal": may be lost with the power, never torn. Default full. */
  readonly durability?: "full" | "normal";
}

/** Enough for every statement of one cage; beyond it the oldest is prepared again. */
const statementCacheSize = 500;

export function openDatabase(file: string, options: DatabaseOptions = {}): Database {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true });
  const db = new Sqlite(file, { timeout: options.busyMs ?? 200 });
  db.pragma("journal_mode = WAL");
  db.pragma(`synchronous = ${options.durability === "normal" ? "NORMAL" : "FULL"}`);
  db.pragma("foreign_keys = ON");
  const statements = new Map<string, Sqlite.Statement>();

  const prepared = (text: string): Sqlite.Statement => {
    let statement = statements.get(text);
    if (statement === undefined) {
      statement = db.prepare(text);
      if (statements.size >= statementCacheSize) statements.delete(statements.keys().next().value as string);
      statements.set(text, statement);
    }
    return statement;
  };

  return {
    file,
    all: <Row>(query: Sql) => prepared(query.text).all(...query.values) as Row[],
    one: <Row>(query: Sql) => prepared(query.text).get(...query.values) as Row | undefined,
    run: (query) => {
      const { changes, lastInsertRowid } = prepared(query.text).run(...query.values);
      return { changes, lastId: Number(lastInsertRowid) };
    },
    exec: (text) => void db.exec(text),
    transaction: (fn) => db.transaction(fn).immediate(),
    get inTransaction() {
      return db.inTransaction;
    },
    close: () => void db.close(),
  };
}
