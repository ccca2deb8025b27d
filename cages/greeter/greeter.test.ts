/** Run by ./cage test greeter, in the cage itself: each test in a request, its http interface on a private socket. */
import assert from "node:assert/strict";
import { test } from "#runtime/testing";
import { hello } from "./greeter.ts";

test("a name is greeted", () => assert.equal(hello("you"), "hello, you"));

test("another cage may ask for a greeting", async (greeter) => {
  assert.equal(await greeter.call("greeter.hello", "you"), "hello, you");
});

test("a page greets who it names", async (greeter) => {
  const answer = await greeter.fetch("greeter", "/you");
  assert.equal(answer.status, 200);
  assert.equal(await answer.text(), "hello, you");
});
