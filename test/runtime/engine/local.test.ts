import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { LocalEngine } from "../../../runtime/engine/local.ts";
import { CageError } from "../../../runtime/errors.ts";
import { Session } from "../../../runtime/rpc/session.ts";
import { engineContract } from "../../contract/engine.ts";
import { keyOf } from "../../kit/session.ts";

function flock() {
  const folder = mkdtempSync(join(tmpdir(), "engine-"));
  const runDir = join(folder, "run");
  mkdirSync(runDir);
  const engines: LocalEngine[] = [];
  const socketOf = (cage: string): string => join(runDir, `${cage}.rpc`);
  return {
    socketOf,
    join(cage: string): LocalEngine {
      const registry = join(runDir, `${cage}.json`);
      const engine = new LocalEngine({
        me: { node: "n", cage },
        keyOf,
        runDir,
        stateDir: folder,
        socketOf,
        listen: async (server, path) => {
          await new Promise<void>((listening) => server.listen(path, listening));
          writeFileSync(registry, JSON.stringify({ node: "n", cage, pid: process.pid, ready: true }));
          server.on("close", () => {
            try {
              unlinkSync(registry);
            } catch {
              // Its folder is gone already.
            }
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
});
