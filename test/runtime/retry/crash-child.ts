/**
 * The process that crash.test.ts kills: it enqueues calls, delivers them to its parent over IPC, and says what was
 * acknowledged. Its journal is real; nothing here is orderly about dying.
 */
import { openRetries } from "../../../runtime/retry/retry.ts";

export type FromChild =
  | { readonly kind: "acknowledged"; readonly id: string; readonly duplicate: boolean }
  | { readonly kind: "deliver"; readonly id: string; readonly attempt: number; readonly number: number }
  | { readonly kind: "empty" };
export interface ToChild {
  readonly number: number;
  readonly error?: { readonly code: string; readonly message: string };
}

const [file, first, count, again] = process.argv.slice(2) as [string, string, string, string];
const tell = (message: FromChild) => process.send?.(message);
const waiting = new Map<number, (answer: ToChild) => void>();
let number = 0;

process.on("message", (answer: ToChild) => {
  waiting.get(answer.number)?.(answer);
  waiting.delete(answer.number);
});
process.on("disconnect", () => process.exit());

const retries = openRetries({
  file,
  recoveryPerSecond: 100_000,
  backoff: { baseMs: 4, capMs: 20, floorMs: 1 },
  deliver: async (_to, _path, _args, carry) => {
    const mine = ++number;
    tell({ kind: "deliver", id: carry.retry?.id ?? "", attempt: carry.retry?.attempt ?? 0, number: mine });
    const answer = await new Promise<ToChild>((resolve) => waiting.set(mine, resolve));
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
  },
});
await retries.start();

const enqueue = async (id: string) => {
  const { duplicate } = await retries.retry({ cage: "parent" }, { id }, "count.add", [id]);
  tell({ kind: "acknowledged", id, duplicate });
};
// Known ids first: a process that died does not know what it had said already.
for (const id of again === "" ? [] : again.split(",")) await enqueue(id);
for (let n = Number(first); n < Number(first) + Number(count); n += 5)
  await Promise.all(
    Array.from({ length: Math.min(5, Number(first) + Number(count) - n) }, (_, k) => enqueue(`n${n + k}`)),
  );

while (retries.steering.summary().waiting + retries.steering.summary().running > 0)
  await new Promise((resolve) => setImmediate(resolve));
tell({ kind: "empty" });
