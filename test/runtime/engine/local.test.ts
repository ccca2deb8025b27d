import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { Joined } from "../../../runtime/engine/joined.ts";
import { CageError } from "../../../runtime/errors.ts";
import { Session } from "../../../runtime/rpc/session.ts";
import { engineContract } from "../../contract/engine.ts";
import { keyOf } from "../../kit/session.ts";

function flock() {
  const folder = mkdtempSync(join(tmpdir(), "engine-"));
  const runDir = join(folder, "run");
  mkdirSync(runDir);
  const engines: Joined[] = [];
  const socketOf = (cage: string, process = 1): string => join(runDir, `${cage}-${process}.rpc`);
  const processes = new Map<string, number[]>();
  const register = (cage: string): void => {
    const row = { node: "n", cage, pid: process.pid, processes: processes.get(cage) ?? [] };
    writeFileSync(join(runDir, `${cage}.json`), JSON.stringify(row));
  };
  return {
    socketOf,
    join(cage: string, number = 1): Joined {
      const engine = new Joined({
        me: { node: "n", cage, process: number },
        keyOf,
        runDir,
        stateDir: folder,
        socketOf,
        listen: async (server, path) => {
          await new Promise<void>((listening) => server.listen(path, listening));
          processes.set(cage, [...(processes.get(cage) ?? []), number].sort());
          register(cage);
          server.on("close", () => {
            processes.set(
              cage,
              (processes.get(cage) ?? []).filter((each) => each !== number),
            );
            if (existsSync(runDir)) register(cage);
          });
        },
      });
      engines.push(engine);
      return engine;
    },
    async close() {
      for (const engine of engines) await engine.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

engineContract("local", async () => flock());

describe("the local engine", () => {
  it("refuses a socket that another cage answers", async () => {
    const made = flock();
    const engine = made.join("a");
    await engine.start(async () => undefined);
    const server = createServer(
      (socket) =>
        new Session(
          socket,
          { me: { node: "n", cage: "shop" }, side: "accepted", keyOf },
          { serve: async () => 1, event: () => {} },
        ),
    );
    await new Promise<void>((listening) => server.listen(made.socketOf("bill"), listening));
    const carry = { remainingMs: 1_000, trace: { id: "", span: "" }, logLevel: "info" } as const;
    const error = await engine.call({ cage: "bill" }, "m.f", [], carry).catch((thrown: CageError) => thrown);
    expect(error).toBeInstanceOf(CageError);
    expect((error as CageError).message).toContain("the socket of bill was answered by shop");
    server.close();
    await made.close();
  });

  it("spreads calls over the processes of a cage, and asks all of them where that is wanted", async () => {
    const made = flock();
    const caller = made.join("a");
    await caller.start(async () => undefined);
    for (const number of [1, 2, 3]) await made.join("b", number).start(async () => number);
    const carry = { remainingMs: 2_000, trace: { id: "", span: "" }, logLevel: "info" } as const;
    const seen = new Set<unknown>();
    for (let n = 0; n < 60; n++) seen.add(await caller.call({ cage: "b" }, "m.f", [], carry));
    expect([...seen].sort()).toEqual([1, 2, 3]);
    expect(await caller.call({ cage: "b", via: "all" }, "m.f", [], carry)).toEqual(
      [1, 2, 3].map((process) => ({ node: "n", process, ok: true, value: process })),
    );
    await made.close();
  });

  it("asks the successor of a process that leaves, on the same socket: what met the goodbye was not begun", async () => {
    const made = flock();
    const caller = made.join("a");
    await caller.start(async () => undefined);
    const one = made.join("b");
    await one.start(async () => 1);
    const carry = { remainingMs: 5_000, trace: { id: "", span: "" }, logLevel: "info" } as const;
    expect(await caller.call({ cage: "b" }, "m.f", [], carry)).toBe(1);
    const crossing = Array.from({ length: 20 }, () => caller.call({ cage: "b" }, "m.f", [], carry));
    const drained = one.drain();
    await made.join("b").start(async () => 2);
    for (const answer of await Promise.all(crossing)) expect([1, 2]).toContain(answer);
    await drained;
    expect(await caller.call({ cage: "b" }, "m.f", [], carry)).toBe(2);
    // It is not held against the place.
    expect(caller.peers().map(({ breaker }) => breaker)).toEqual(["closed"]);
    await made.close();
  });

  it("goes to another process when one has gone, without its caller's knowing, and repeats what may be repeated", async () => {
    const made = flock();
    const caller = made.join("a");
    await caller.start(async () => undefined);
    let lost = 0;
    const describe = { functions: [{ path: "m.safe", idempotent: true }] };
    const one = made.join("b", 1);
    await one.start(async (_, path) => {
      if (path === "self.describe") return describe;
      // Its process dies over the call.
      lost++;
      await one.stop();
    });
    await made.join("b", 2).start(async (_, path) => (path === "self.describe" ? describe : 2));
    const carry = { remainingMs: 2_000, trace: { id: "", span: "" }, logLevel: "info" } as const;
    for (let n = 0; n < 20; n++) expect(await caller.call({ cage: "b" }, "m.safe", [], carry)).toBe(2);
    expect(lost).toBe(1);
    await made.close();
  });

  it("asks another process after a refusal, and never after a function had begun, whatever that threw", async () => {
    const made = flock();
    const caller = made.join("a");
    await caller.start(async () => undefined);
    let begun = 0;
    for (const number of [1, 2])
      await made.join("b", number).start(async (_, path, __, ___, stop) => {
        if (number === 2 && path === "m.refused") return "done";
        stop.begun = path === "m.begun";
        if (stop.begun) begun++;
        throw new CageError("UNAVAILABLE", "one of mine is away");
      });
    const carry = { remainingMs: 2_000, trace: { id: "", span: "" }, logLevel: "info" } as const;
    for (let n = 0; n < 20; n++)
      await expect(caller.call({ cage: "b" }, "m.begun", [], carry)).rejects.toMatchObject({ code: "UNAVAILABLE" });
    expect(begun).toBe(20);
    // Nor is it held against who answered: it is well.
    expect(caller.peers().map(({ breaker }) => breaker)).toEqual(["closed", "closed"]);
    for (let n = 0; n < 4; n++) expect(await caller.call({ cage: "b" }, "m.refused", [], carry)).toBe("done");
    await made.close();
  });
});
