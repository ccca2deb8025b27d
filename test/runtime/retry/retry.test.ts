import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createOutbox } from "../../../lib/outbox.ts";
import { openDatabase } from "../../../lib/sqlite.ts";
import { type Lease, Request, run, type Services } from "../../../runtime/request/request.ts";
import { enlistment } from "../../../runtime/retry/retry.ts";
import { settled } from "./fake-clock.ts";
import { type Stage, stage } from "./stage.ts";

let at: Stage;
beforeEach(async () => {
  at = await stage();
});
afterEach(async () => await at.end());

const lease: Lease = {
  id: 7,
  module: () => undefined,
  resource: () => undefined,
  config: undefined,
  again: () => lease,
  release() {},
};
const request = (retry?: { id: string; attempt: number }) =>
  new Request({
    services: {} as Services,
    lease,
    interface: "web",
    label: "POST /",
    timeoutMs: 1_000,
    logLevel: "debug",
    ...(retry ? { retry } : {}),
  });

describe("retry", () => {
  it("scopes an id inside a retried call by that call's id", async () => {
    const inner = await run(request({ id: "order:1", attempt: 2 }), () =>
      at.retries.retry({ cage: "mail" }, { id: "receipt" }, "send", []),
    );
    expect(inner).toEqual({ id: "order:1/receipt", duplicate: false });
    const other = await run(request({ id: "order:2", attempt: 1 }), () =>
      at.retries.retry({ cage: "mail" }, { id: "receipt" }, "send", []),
    );
    expect(other).toEqual({ id: "order:2/receipt", duplicate: false });
  });

  it("takes trace and log level along, and runs outside the caller's request", async () => {
    const caller = request();
    await run(caller, () => at.retries.retry({ cage: "mail" }, { id: "a" }, "send", []));
    await settled();
    expect(at.retries.steering.show("a")?.trace).toBe(caller.trace.id);
  });

  it("keeps the types of its arguments", async () => {
    const args = [{ at: new Date(5), ids: new Set([1n]), none: undefined }];
    await at.retries.retry({ cage: "mail" }, {}, "send", args);
    await settled();
    expect(at.delivered[0]?.args).toEqual(args);
  });

  it("exists with its transaction, or not at all", async () => {
    const db = openDatabase(join(at.dir, "shop.sqlite"));
    const outbox = createOutbox(db);
    const intake = async () => {
      const rows = outbox.take("retry", 100);
      for (const row of rows) await at.retries.intake(row);
      // A relay that dies here hands the same rows on again.
      for (const row of rows) await at.retries.intake(row);
      outbox.remove(rows.map((row) => row.seq));
    };
    const place = (id: string) => {
      const row = enlistment({ cage: "billing" }, { id, expiresIn: "7d", maxAttempts: 9 }, "invoices.send", [id]);
      outbox.add(row.kind, row.key, row.payload);
    };
    db.transaction(() => place("kept"));
    expect(() =>
      db.transaction(() => {
        place("lost");
        throw new Error("changed my mind");
      }),
    ).toThrow("changed my mind");
    await intake();
    await settled();
    expect(at.delivered).toMatchObject([{ id: "kept", cage: "billing", path: "invoices.send", args: ["kept"] }]);
    expect(at.retries.steering.show("kept")).toMatchObject({ state: "done", expiresAt: expect.any(Number) });

    // The same through options, as a cage's author writes it.
    db.transaction(() => void at.retries.retry({ cage: "billing" }, { id: "third", in: outbox }, "invoices.send", [3]));
    await intake();
    await settled();
    expect(at.delivered.map((call) => call.id)).toEqual(["kept", "third"]);
    db.close();
  });

  it("refuses an outbox row that is no call, and a transaction that has no outbox", async () => {
    await expect(at.retries.intake({ key: "k", payload: { to: "core" } })).rejects.toMatchObject({ code: "BAD_INPUT" });
    await expect(at.retries.retry({ cage: "c" }, { in: {} }, "f", [])).rejects.toMatchObject({ code: "BAD_INPUT" });
    await expect(at.retries.retry({ cage: "c" }, { expiresIn: "soon" }, "f", [])).rejects.toMatchObject({
      code: "BAD_INPUT",
    });
  });
});
