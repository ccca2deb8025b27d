/**
 * The door for tests: `import { test, testCage } from "#runtime/testing"`. Not part of "#runtime", so that a cage which
 * serves carries none of it.
 *
 *     // cages/shop/orders.test.ts      run by ./cage test shop, inside the cage itself, each test in a request
 *     import assert from "node:assert/strict";
 *     import { test } from "#runtime/testing";
 *     import { place } from "./orders.ts";
 *     test("an order has a number", async (shop) => {
 *       assert.equal((await place({ sku: "tea", cents: 5 })).id, 1);
 *       assert.equal((await shop.fetch("web", "/orders/1")).status, 200);
 *     });
 *
 *     // config/shop.test.ts            what is different in tests; all of it may be left out
 *     export const config = { settings: { currency: "EUR" } };                  // over all other configuration
 *     export const cages = { billing: { holds: { create: () => "hold 1" } } };  // who answers its calls
 *     export const resources = { bank: { get: async () => ({ status: 200 }) } };  // clients that stand for resources
 *     export const interfaces = ["events"];                                     // interfaces that run from the start
 *
 *     const shop = await testCage("shop");      // the same cage for vitest, node:test, a script; then: await shop.close()
 */
export { type TestCage, type TestOptions, testCage } from "./testing/cage.ts";
export { type Body, test } from "./testing/tests.ts";
