import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { plansOf } from "../../../lib/thrift/plan.ts";
import { schemaOf } from "../../../lib/thrift/schema.ts";
import { serveConnection } from "../../../lib/thrift/server.ts";
import { type ThriftClients, thrift } from "../../../runtime/resources/thrift.ts";
import { asRequest } from "../../kit/request.ts";

const idl = "service Echo { string say(1: string value), oneway void tell(1: string value) }";
const plans = plansOf(schemaOf(idl));
const host = { name: "echo", cage: "test", stateDir: "" };

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

type Say = (value: unknown) => unknown;

async function listen(say: Say, port = 0): Promise<{ server: Server; port: number; sockets: Set<Socket> }> {
  const sockets = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket.on("close", () => sockets.delete(socket)));
    serveConnection(socket, {
      find: (name) => plans.find(name),
      invoke: async (_, args) => say(args[0]),
      told: (error) => ({ code: "INTERNAL", message: String(error), open: false }),
    });
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  closing.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { server, port: (server.address() as AddressInfo).port, sockets };
}

async function open(port: number, more: Record<string, unknown> = {}) {
  const made = await thrift.open(thrift.options.parse({ port, idl, ...more }), host);
  closing.push(() => made.close());
  const echo = (made.client as ThriftClients)["Echo"] as { say: Say; tell: Say };
  return { made, say: (value: unknown, timeoutMs?: number) => asRequest(async () => echo.say(value), timeoutMs) };
}

async function freePort(): Promise<number> {
  const { server, port } = await listen(() => "");
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe("the thrift resource", () => {
  test("opens without its service, fails calls at once with UNAVAILABLE, and serves once the service is there", async () => {
    const port = await freePort();
    const { say, made } = await open(port);
    await expect(made.check()).rejects.toMatchObject({ code: "UNAVAILABLE" });
    const before = performance.now();
    for (let n = 0; n < 5; n++)
      await expect(say("x")).rejects.toMatchObject({
        code: "UNAVAILABLE",
        message: expect.stringMatching(
          `cannot connect to 127.0.0.1:${port} .*ECONNREFUSED.*; is the service running\\?`,
        ),
      });
    expect(performance.now() - before).toBeLessThan(1000);
    await listen((value) => value, port);
    await expect.poll(() => say("x").catch(() => "not yet"), { timeout: 5000 }).toBe("x");
    await made.check();
  });

  test("tells a call that was sent before the connection was lost UNKNOWN_OUTCOME, and connects anew for the next", async () => {
    const far = await listen((value) => (value === "lose" ? new Promise(() => {}) : value));
    const { say } = await open(far.port);
    expect(await say("x")).toBe("x");
    const lost = say("lose");
    lost.catch(() => {});
    for (const socket of far.sockets) socket.destroy();
    await expect(lost).rejects.toMatchObject({ code: "UNKNOWN_OUTCOME" });
    expect(await say("y")).toBe("y");
  });

  test("leaves a connection from which nothing came in the time of a whole request", async () => {
    let silent = false;
    let connections = 0;
    const far = await listen((value) => (silent ? new Promise(() => {}) : value));
    far.server.on("connection", () => connections++);
    const { say } = await open(far.port);
    // Connected before, so that the short time is not spent on that.
    await say("w");
    silent = true;
    await expect(say("x", 200)).rejects.toMatchObject({
      code: "EXPIRED",
      message: "Echo.say: the deadline of test passed",
    });
    silent = false;
    expect(await say("y")).toBe("y");
    // Ever made: the old one ends by itself, half a second later.
    expect(connections).toBe(2);
  });

  test("spreads calls over its connections, and needs one only while calls come one by one", async () => {
    const answers: (() => void)[] = [];
    const far = await listen((value) => (value === "wait" ? new Promise((r) => answers.push(() => r(value))) : value));
    const { say } = await open(far.port, { poolSize: 2 });
    for (let n = 0; n < 3; n++) await say("x");
    expect(far.sockets.size).toBe(1);
    const waiting = [say("wait"), say("wait"), say("wait")];
    await expect.poll(() => answers.length).toBe(3);
    expect(far.sockets.size).toBe(2);
    for (const answer of answers) answer();
    expect(await Promise.all(waiting)).toEqual(["wait", "wait", "wait"]);
  });

  test("says that an argument is wrong before anything is sent, as a fault of the calling code", async () => {
    const far = await listen((value) => value);
    const { say } = await open(far.port);
    await expect(say(7)).rejects.toMatchObject({
      code: "INTERNAL",
      message: "Echo.say.value > expected a string, found 7",
    });
  });

  test("with an IDL that cannot be read is refused when it opens, with the place", async () => {
    const options = thrift.options.parse({ port: 1, idl: "service Echo {" });
    await expect(thrift.open(options, host)).rejects.toMatchObject({
      code: "CONFIG",
      message: "resource echo: echo.idl:1:15: expected a type, found the end of the file",
    });
  });

  test("lets no more calls under way at once than configured; the others wait by deadline, and leave with their request", async () => {
    const answers: (() => void)[] = [];
    const arrived: unknown[] = [];
    const { port } = await listen((value) => {
      arrived.push(value);
      return new Promise((resolve) => answers.push(() => resolve(value)));
    });
    const { say } = await open(port, { running: 1, waiting: 3 });
    const first = say("first");
    await expect.poll(() => arrived).toEqual(["first"]);
    const late = say("late", 20_000);
    const urgent = say("urgent", 10_000);
    const gone = expect(say("gone", 500)).rejects.toMatchObject({ code: "EXPIRED" });
    await expect(say("too many")).rejects.toMatchObject({
      code: "OVERLOADED",
      details: { retryAfterMs: expect.any(Number) },
    });
    await gone;
    for (const expected of ["first", "urgent", "late"]) {
      await expect.poll(() => arrived.at(-1)).toBe(expected);
      answers.shift()?.();
    }
    expect(await Promise.all([first, urgent, late])).toEqual(["first", "urgent", "late"]);
    expect(arrived).toEqual(["first", "urgent", "late"]);
  });
});
