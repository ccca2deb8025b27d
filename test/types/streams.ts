/** Types of streams and of patience at a caller. */
import { cage } from "#runtime";
import type * as Api from "./feed.ts";

const feed = cage<typeof Api>("feed", { timeoutMs: 200, signal: new AbortController().signal });

export async function use(): Promise<void> {
  for await (const row of feed.rows.list(3)) {
    const id: number = row.id;
    // @ts-expect-error a row has no such member
    row.name;
    void id;
  }
  // An async function that answers with one is the same to a caller.
  for await (const text of feed.rows.later()) text.toUpperCase();
  const sum: number = await feed.rows.sum(numbers());
  // @ts-expect-error it takes numbers
  await feed.rows.sum(texts());
  for await (const each of feed.rows.double(numbers())) each.toFixed(sum);
  // @ts-expect-error a stream is iterated, not awaited for its items
  (await feed.rows.list(3)).length;
  // @ts-expect-error there is no such option
  cage<typeof Api>("feed", { timeout: 1 });
}

async function* numbers() {
  yield 1;
}
async function* texts() {
  yield "1";
}
