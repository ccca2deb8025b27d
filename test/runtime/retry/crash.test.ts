import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { FromChild, ToChild } from "./crash-child.ts";

const dir = mkdtempSync(join(tmpdir(), "crash-"));
const children = new Set<ChildProcess>();
afterAll(() => {
  for (const child of children) child.kill("SIGKILL");
  rmSync(dir, { recursive: true, force: true });
});

/** The receiver, and the witness: it lives on while the process with the journal is killed. */
const acknowledged = new Set<string>();
const falselyNew: string[] = [];
const effects = new Set<string>();
const deliveries = new Map<string, number>();

const child = (first: number, count: number, again: readonly string[]) => {
  const process = fork(
    new URL("crash-child.ts", import.meta.url).pathname,
    [join(dir, "retry.sqlite"), String(first), String(count), again.join(",")],
    { execArgv: ["--import", "tsx"], stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );
  children.add(process);
  process.once("exit", () => children.delete(process));
  return process;
};

const rounds = 12;
const perRound = 60;

describe("a process that is killed in mid-work", () => {
  it("loses no acknowledged call, repeats no effect at a receiver that knows ids, and knows its duplicates", async () => {
    let messages = 0;
    for (let round = 0; round <= rounds; round++) {
      const last = round === rounds;
      // Killed after so many messages, so anywhere between the first enqueue and the last answer.
      const dieAt = last ? Number.POSITIVE_INFINITY : 1 + ((round * 53) % 170);
      const process = child(round * perRound, last ? 0 : perRound, [...acknowledged].slice(-10));
      const known = new Set(acknowledged);
      let seen = 0;
      process.on("message", (message: FromChild) => {
        messages++;
        if (++seen === dieAt) process.kill("SIGKILL");
        if (message.kind === "acknowledged") {
          acknowledged.add(message.id);
          if (known.has(message.id) && !message.duplicate) falselyNew.push(message.id);
        }
        if (message.kind === "deliver") {
          const times = (deliveries.get(message.id) ?? 0) + 1;
          deliveries.set(message.id, times);
          // Some attempts fail before their effect, some answers fail after it.
          const fails = (times + message.id.length + message.number) % 7;
          if (fails !== 0) effects.add(message.id);
          const error = fails < 2 ? { code: "INTERNAL", message: "try again" } : undefined;
          if (process.connected)
            process.send({ number: message.number, ...(error ? { error } : {}) } satisfies ToChild, () => {});
        }
        if (message.kind === "empty" && last) process.kill("SIGKILL");
      });
      await once(process, "exit");
    }
    const lost = [...acknowledged].filter((id) => !effects.has(id));
    expect(lost).toEqual([]);
    expect(falselyNew).toEqual([]);
    expect(acknowledged.size).toBeGreaterThan(rounds * 10);
    // The kills did meet deliveries in flight: some were repeated, and the set of effects absorbed them.
    expect([...deliveries.values()].some((times) => times > 1)).toBe(true);
    expect(messages).toBeGreaterThan(acknowledged.size);
  }, 60_000);
});
