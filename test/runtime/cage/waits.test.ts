/** Every wait of a cage's code ends with its request, whatever it waits for. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { events } from "../../../runtime/health/events.ts";
import { operator } from "../../../runtime/index.ts";
import { current, type Services } from "../../../runtime/request/request.ts";
import { type TestCage, testCage } from "../../../runtime/testing.ts";

let root: string;
let shop: TestCage;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "waits-"));
  mkdirSync(join(root, "cages/shop"), { recursive: true });
  writeFileSync(join(root, "cages/shop/api.ts"), "export const place = () => 1;\n");
  const never = () => new Promise(() => {});
  shop = await testCage("shop", { root, cages: { deaf: { api: { wait: never, note: () => 1 } } } });
});
afterAll(async () => {
  await shop.close();
  rmSync(root, { recursive: true, force: true });
});

const waits: Readonly<Record<string, (services: Services) => Promise<unknown>>> = {
  "a call that is not answered": ({ call }) => call({ cage: "deaf" }, "api.wait", []),
  "a retried call that is not durable yet": ({ retry }) => retry({ cage: "deaf" }, {}, "api.note", []),
  "a question to another cage's supervisor": () => operator.ask("shop", "status"),
};

for (const [what, wait] of Object.entries(waits)) {
  it(`${what} is waited for until the request is cancelled, and no longer`, async () => {
    let ended: Promise<unknown> = Promise.resolve();
    await shop
      .run(() => {
        const request = current();
        ended = wait(request.services).catch((error: unknown) => error);
        request.cancel("enough");
      })
      .catch(() => {});
    expect(await ended).toMatchObject({ code: "CANCELLED", message: "enough" });
  });
}

it("a call has its caller's own limit, though the callee never answers, and is counted as a failed one", async () => {
  const done: { cage: string; error: unknown }[] = [];
  const off = events.on("call.done", (call) => void done.push(call));
  await expect(
    shop.run(() => current().services.call({ cage: "deaf", timeoutMs: 30 }, "api.wait", [])),
  ).rejects.toMatchObject({ code: "EXPIRED" });
  off();
  expect(done).toMatchObject([{ cage: "deaf", error: { code: "EXPIRED" } }]);
});
