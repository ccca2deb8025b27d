/**
 * What an operator can do with retried calls: look, and steer. Each verb is idempotent, works on the real rows, on ids
 * or on a filter, and answers how many calls it changed.
 *
 *     steering.list({ state: "parked", target: "core", limit: 50 })       a page, newest first, and the next one's cursor
 *     steering.release({ target: "core" })     parked -> waiting, due now, attempts counted anew, a passed expiry lifted
 *     steering.runNow({ ids: ["a"] })          waiting -> due now
 *     steering.park({ ids: ["a"] })            waiting -> parked until released
 *     steering.discard({ state: "parked" })    -> done, never delivered; its id stays known for the retention
 *
 * A filter over many calls goes in steps of a thousand, so that other traffic commits in between.
 */
import { unpack } from "../../lib/pack.ts";
import { list as anyOf } from "../../lib/sql.ts";
import { type Sql, sql } from "../../lib/sqlite.ts";
import { CageError } from "../errors.ts";
import type { CallState, CallView, StoredCall } from "./call.ts";
import type { Counts, Journal } from "./journal.ts";

export interface Selection {
  readonly ids?: readonly string[];
  readonly state?: CallState;
  readonly target?: string;
}

export interface Page {
  readonly calls: readonly CallView[];
  /** Give it back as `cursor` for the next page; undefined at the end. */
  readonly cursor: string | undefined;
}

export interface RetrySummary {
  readonly waiting: number;
  readonly running: number;
  readonly parked: number;
  /** Age of the oldest call that is not done. */
  readonly oldestAgeMs: number;
  readonly byTarget: Readonly<Record<string, Counts>>;
}

export interface Steering {
  summary(): RetrySummary;
  list(filter?: Selection & { readonly limit?: number; readonly cursor?: string }): Page;
  show(id: string): (CallView & { readonly args: readonly unknown[] }) | undefined;
  runNow(selection: Selection): Promise<number>;
  park(selection: Selection): Promise<number>;
  release(selection: Selection): Promise<number>;
  discard(selection: Selection): Promise<number>;
}

/** A group of this many updates holds the loop for some ten milliseconds. */
const step = 1_000;
const maxPage = 500;
/** SQLite binds at most 32,766 values. */
const maxIds = 10_000;

/** `changed` hears of the targets whose calls became due: null means any. */
export function createSteering(journal: Journal, changed: (target: string | null) => void): Steering {
  /** Walks the selected calls whose state is one of `from`, in steps; `set` is what becomes of them. */
  async function steer(selection: Selection, from: readonly CallState[], set: () => Sql): Promise<number> {
    if (selection.ids === undefined && selection.state === undefined && selection.target === undefined)
      throw new CageError("BAD_INPUT", "name calls by ids, state or target; without any, all would be meant");
    let count = 0;
    let after = 0;
    for (;;) {
      const rows = await journal.write((db) =>
        db.all<{ seq: number }>(
          sql`update calls set ${set()}, updatedAt = ${journal.now()} where seq in (select seq from calls
            where ${where(selection)} and state in ${anyOf(from)} and seq > ${after} order by seq limit ${step})
            returning seq`,
        ),
      );
      count += rows.length;
      for (const { seq } of rows) after = Math.max(after, seq);
      if (rows.length < step) break;
    }
    if (count > 0) changed(selection.target ?? null);
    return count;
  }

  return {
    summary() {
      const byTarget = Object.fromEntries(journal.counts());
      const total = { waiting: 0, running: 0, parked: 0 };
      for (const counts of Object.values(byTarget)) {
        total.waiting += counts.waiting;
        total.running += counts.running;
        total.parked += counts.parked;
      }
      const oldest = (["waiting", "running", "parked"] as const)
        .filter((state) => total[state] > 0)
        .map((state) =>
          journal.read((db) =>
            db.one<{ createdAt: number }>(sql`select createdAt from calls where state = ${state} order by seq limit 1`),
          ),
        )
        .map((row) => journal.now() - (row?.createdAt ?? journal.now()));
      return { ...total, oldestAgeMs: Math.max(0, ...oldest), byTarget };
    },

    list(filter = {}) {
      const limit = Math.min(maxPage, Math.max(1, filter.limit ?? 50));
      const before = filter.cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(filter.cursor);
      if (!Number.isSafeInteger(before))
        throw new CageError("BAD_INPUT", `"${filter.cursor}" is not a cursor of a list`);
      const rows = journal.read((db) =>
        db.all<StoredCall & { argsBytes: number }>(
          sql`select seq, id, cage, node, path, state, attempts, length(args) as argsBytes, nextAt, expiresAt, errorCode,
            errorMessage, traceId, createdAt, updatedAt from calls
            where ${where(filter)} and seq < ${before} order by seq desc limit ${limit}`,
        ),
      );
      return { calls: rows.map(view), cursor: rows.length < limit ? undefined : String(rows.at(-1)?.seq) };
    },

    show(id) {
      const row = journal.read((db) => db.one<StoredCall>(sql`select * from calls where id = ${id}`));
      if (row === undefined) return undefined;
      const args = row.args.length === 0 ? [] : (unpack(row.args) as readonly unknown[]);
      return { ...view({ ...row, argsBytes: row.args.length }), args };
    },

    runNow: (selection) => steer(selection, ["waiting"], () => sql`nextAt = ${journal.now()}`),

    park: (selection) =>
      steer(
        selection,
        ["waiting", "running"],
        () => sql`state = 'parked', errorCode = coalesce(errorCode, 'PARKED'),
        errorMessage = coalesce(errorMessage, 'parked by an operator')`,
      ),

    release: (selection) =>
      steer(
        selection,
        ["parked"],
        () => sql`state = 'waiting', attempts = 0, misses = 0, nextAt = ${journal.now()},
          expiresAt = iif(expiresAt <= ${journal.clock.wall()}, null, expiresAt)`,
      ),

    discard: (selection) =>
      steer(
        selection,
        ["waiting", "running", "parked"],
        () => sql`state = 'done', args = x'',
        errorCode = 'DISCARDED', errorMessage = 'discarded by an operator'`,
      ),
  };
}

function where({ ids, state, target }: Selection): Sql {
  if (ids !== undefined && ids.length > maxIds)
    throw new CageError("BAD_INPUT", `${ids.length} ids at once; ${maxIds} are possible, or use a filter`);
  const all = sql`1 = 1`;
  const byIds = ids === undefined ? all : sql`id in ${anyOf(ids)}`;
  const byState = state === undefined ? all : sql`state = ${state}`;
  const byTarget = target === undefined ? all : sql`cage = ${target}`;
  return sql`${byIds} and ${byState} and ${byTarget}`;
}

const view = (row: StoredCall & { readonly argsBytes: number }): CallView => ({
  seq: row.seq,
  id: row.id,
  to: row.node === null ? row.cage : `${row.node}.${row.cage}`,
  path: row.path,
  state: row.state,
  attempts: row.attempts,
  argsBytes: row.argsBytes,
  nextAt: row.nextAt,
  expiresAt: row.expiresAt,
  error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? "" },
  trace: row.traceId,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});
