/** Types of `#runtime/testing` and of configuration, as authors meet them. */
import { defineCage, type Overrides } from "#runtime";
import { test, testCage } from "#runtime/testing";

export async function use(): Promise<void> {
  const shop = await testCage("shop", {
    config: { settings: { currency: "EUR" }, test: "gate" },
    cages: { billing: { holds: { create: () => 1 } } },
    interfaces: ["events"],
  });
  const beside = await testCage("billing", { beside: shop });
  // @ts-expect-error the api of a fake is an object
  await testCage("shop", { cages: { billing: 1 } });
  // @ts-expect-error there is no such option
  await testCage("shop", { fakes: {} });

  const seven: number = await beside.run(() => 7);
  const later: number = await beside.run(async () => seven);
  // @ts-expect-error it answers with what the function does
  const text: string = await beside.run(() => 7);
  // @ts-expect-error what crosses from another cage is unknown until it is looked at
  const crossed: number = await shop.call("orders.place", { sku: "tea" });

  const own = shop.module<typeof import("./testing.ts")>("testing");
  await own.use();
  // @ts-expect-error the module has no such export
  own.used;

  const answer = await shop.fetch("web", "/", { method: "PUT", body: { n: later } });
  const status: number = answer.status;
  void [text, crossed, status];
}

export const titled = () => test("a title", async (shop) => void (await shop.call("a.b")), { timeoutMs: 5 });
// @ts-expect-error a test has a body
export const bare = () => test("a title");

export const config = defineCage({ test: "gate", interfaces: { web: { protocol: "http", port: 1 } } });
export const port: 1 = config.interfaces.web.port;
// @ts-expect-error it is "gate" or "off"
defineCage({ test: "on" });
// @ts-expect-error an interface has a protocol
defineCage({ interfaces: { web: { port: 1 } } });

export type Fits = Overrides<{ send(to: string): void }, { send(to: string, copy?: string): void; more: 1 }>;
// @ts-expect-error an override lacks nothing
export type Lacks = Overrides<{ send(to: string): void }, { more: 1 }>;
