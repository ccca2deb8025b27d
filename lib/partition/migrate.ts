/**
 * Brings a database's schema to where a list of migrations ends. Each is applied once, in a transaction of its own with
 * the row that remembers it, so that a killed process goes on where it stopped.
 *
 * A migration that was applied and has been edited since is an error: two partitions would differ without anyone knowing.
 * One that was applied and is not in the list is left alone: the code was rolled back, and may go forward again. New ones
 * may stand anywhere in the list (tools bring theirs); they are applied in list order.
 * With `bucketed` every table must have a column `bucket`, without which its rows could never move to another partition.
 */
import { createHash } from "node:crypto";
import type { Migration } from "../partition.ts";
import { type Database, sql } from "../sqlite.ts";

export function migrate(db: Database, migrations: readonly Migration[], options: { bucketed: boolean }): void {
  db.exec(
    "create table if not exists _migration (name text primary key, hash text not null, at integer not null) strict",
  );
  const applied = new Map(
    db.all<{ name: string; hash: string }>(sql`select name, hash from _migration`).map((row) => [row.name, row.hash]),
  );
  const seen = new Set<string>();
  for (const { name, sql: text } of migrations) {
    if (seen.has(name))
      throw refusal(`migration ${name} stands twice in the list; give the later one a name of its own`);
    seen.add(name);
    const hash = createHash("sha256").update(text.trim()).digest("hex").slice(0, 16);
    const before = applied.get(name);
    if (before === hash) continue;
    if (before !== undefined)
      throw refusal(
        `migration ${name} was edited after it was applied to ${db.file}; restore its text and add another one`,
      );
    try {
      db.transaction(() => {
        // Another process may have been first, while this one waited for the lock.
        if (db.one(sql`select 1 from _migration where name = ${name}`)) return;
        db.exec(text);
        db.run(sql`insert into _migration (name, hash, at) values (${name}, ${hash}, ${Date.now()})`);
        if (options.bucketed) requireBuckets(db, name);
      });
    } catch (error) {
      if ((error as { code?: string }).code === "CONFIG") throw error;
      throw refusal(
        `migration ${name} failed on ${db.file}: ${(error as Error).message}; nothing of it was kept`,
        error,
      );
    }
  }
}

function requireBuckets(db: Database, migration: string): void {
  const bare = db.one<{ name: string }>(sql`
    select t.name from sqlite_schema t
    where t.type = 'table' and t.name not like 'sqlite\\_%' escape '\\' and t.name not like '\\_%' escape '\\' and t.name <> 'outbox'
      and not exists (select 1 from pragma_table_info(t.name) c where c.name = 'bucket')`);
  if (bare !== undefined)
    throw refusal(
      `migration ${migration}: table ${bare.name} has no column bucket; add \`bucket integer not null\`, or its rows can never move`,
    );
}

const refusal = (message: string, cause?: unknown): Error =>
  Object.assign(new Error(message, { cause }), { code: "CONFIG" });
