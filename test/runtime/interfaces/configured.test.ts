/** What http, thrift and comet make of `answers`: their own names of work, their fields, and their own handlers beside. */
import { afterEach, describe, expect, test } from "vitest";
import { openCsp } from "../../../lib/csp/client.ts";
import { type Answers, parseAnswer } from "../../../runtime/interfaces/answers.ts";
import { comet } from "../../../runtime/interfaces/comet/comet.ts";
import type { CometSession } from "../../../runtime/interfaces/comet/conversation.ts";
import { http } from "../../../runtime/interfaces/http/http.ts";
import type { Handler, InterfaceProtocol } from "../../../runtime/interfaces/interface.ts";
import { thrift } from "../../../runtime/interfaces/thrift.ts";
import { current } from "../../../runtime/request/request.ts";
import { thriftAsker } from "../../kit/askers.ts";
import { createHost } from "../../kit/host.ts";

const open: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close();
});

async function serve(
  protocol: InterfaceProtocol<never>,
  { module = {}, answers, options = {} }: { module?: Handler; answers: Record<string, string>; options?: object },
  functions: Record<string, unknown> = {},
): Promise<string> {
  const greeter = { given: (...args: unknown[]) => args, hello: (who: string) => `hello, ${who}`, ...functions };
  const made = createHost(module, { answers, modules: () => ({ greeter }) });
  const door = protocol.create(protocol.options.parse({ port: 0, ...options }), made.host);
  await door.start();
  open.push(() => door.stop());
  return door.url as string;
}

const answersOf = (texts: Record<string, string>): Answers =>
  new Map(Object.entries(texts).map(([name, text]) => [name, parseAnswer(text)]));

describe("answers over http", () => {
  test("have the path's parameters, then the query's, then the members of a JSON or form body as fields", async () => {
    const url = await serve(http as never, {
      answers: { "POST /:a": "greeter.given(a, b, c, d?)", "PUT /whole": "greeter.given" },
    });
    const ask = async (path: string, type: string, body: string, method = "POST") =>
      (await fetch(url + path, { method, headers: { "content-type": type }, body })).json();
    const json = "application/json";
    expect(await ask("/path?a=query&b=query", json, '{"a":1,"b":2,"c":{"x":3}}')).toEqual([
      "path",
      "query",
      { x: 3 },
      null,
    ]);
    expect(await ask("/path", "application/x-www-form-urlencoded", "b=form&c=f%C3%B6rm&d=4")).toEqual([
      "path",
      "form",
      "förm",
      "4",
    ]);
    expect(await ask("/whole?n=1", json, '{"m":[2]}', "PUT")).toEqual([{ m: [2], n: "1" }]);
    expect(await ask("/path", json, "{}")).toMatchObject({ error: { code: "BAD_INPUT" } });
  });

  test("have the whole body as `body`: JSON and a form as they are, text as a string, all else as bytes", async () => {
    const kept: unknown[] = [];
    const url = await serve(
      http as never,
      {
        answers: {
          "POST /:name": "greeter.keep(name, body)",
          "POST /any/:body": "greeter.keep(body)",
          "PUT /maybe": "greeter.keep(body?)",
          "PUT /whole": "greeter.keep",
        },
      },
      { keep: (...given: unknown[]) => void kept.push(...given) },
    );
    const send = async (path: string, type: string, body: string | Uint8Array<ArrayBuffer>, method = "POST") =>
      (await fetch(url + path, { method, headers: { "content-type": type }, body })).status;
    const bytes = new Uint8Array([0, 10, 255, 13]);
    await send("/file", "application/octet-stream", bytes);
    await send("/json", "application/json", '{"name":"x","body":1}');
    await send("/list", "application/json", "[1,2]");
    await send("/text", "text/plain", "hello");
    await send("/any/path", "text/plain", "hello");
    await fetch(`${url}/maybe`, { method: "PUT" });
    await send("/whole", "image/png", bytes, "PUT");
    const same = expect.toSatisfy(
      (value: Uint8Array) => value instanceof Uint8Array && Buffer.compare(value, bytes) === 0,
    );
    expect(kept).toEqual([
      ...["file", same, "json", { name: "x", body: 1 }, "list", [1, 2], "text", "hello", "path"],
      undefined,
      { body: same },
    ]);
    expect((await fetch(`${url}/none`, { method: "POST" })).status).toBe(400);
  });

  test("come after the module's own routes, and share its 405", async () => {
    const url = await serve(http as never, {
      module: { routes: { "GET /own": () => "own" } },
      answers: {
        "GET /own": 'greeter.hello("x")',
        "POST /own": 'greeter.hello("x")',
        "GET /:who": "greeter.hello(who)",
      },
    });
    expect(await (await fetch(`${url}/own`)).text()).toBe("own");
    expect(await (await fetch(`${url}/you`)).text()).toBe("hello, you");
    expect((await fetch(`${url}/you`, { method: "HEAD" })).status).toBe(200);
    const refused = await fetch(`${url}/own`, { method: "DELETE" });
    expect([refused.status, refused.headers.get("allow")]).toEqual([405, "GET, POST, HEAD, OPTIONS"]);
  });

  test("are named by a method and a path", () => {
    const check = (name: string) => () => http.checkName?.(name, {} as never, {} as never);
    expect(check("GET /x/:y")).not.toThrow();
    expect(check("/x")).toThrow("route '/x': write it as");
  });
});

describe("answers over thrift", () => {
  const idl = "service Greeter { string hello(1: string who), list<string> given(1: string a, 2: optional string b) }";
  const names = (answers: Record<string, string>) => () => {
    for (const [name, answer] of answersOf(answers))
      thrift.checkName?.(name, answer, thrift.options.parse({ port: 0, idl }));
  };

  test("are named as the IDL has it, with its arguments' names as fields", () => {
    expect(names({ "Greeter.hello": "greeter.hello(who)" })).not.toThrow();
    expect(names({ "Greeter.helo": "greeter.hello(who)" })).toThrow("did you mean 'Greeter.hello'?");
    expect(names({ hello: "greeter.hello(who)" })).toThrow("the IDL has no method 'hello'");
    expect(names({ "Greeter.hello": "greeter.hello(whom)" })).toThrow("there is no field 'whom'; did you mean 'who'?");
  });

  test("come after the module's own methods, and fill in those it lacks", async () => {
    const services = { Greeter: { given: () => ["own"] } };
    const answers = { "Greeter.hello": "greeter.hello(who)" };
    expect(() =>
      thrift.validate?.({ services }, thrift.options.parse({ port: 0, idl }), answersOf(answers)),
    ).not.toThrow();
    expect(() => thrift.validate?.({ services }, thrift.options.parse({ port: 0, idl }))).toThrow(
      "services.Greeter.hello is missing",
    );
    const url = await serve(thrift as never, { module: { services }, answers, options: { idl } });
    expect(await (await thriftAsker(url)).ask("you")).toEqual({ answer: "hello, you" });
  });

  test("leave a method that nothing answers unknown", async () => {
    const answers = { "Greeter.given": "greeter.given(a, b?)" };
    const url = await serve(thrift as never, { answers, options: { idl } });
    expect(await (await thriftAsker(url)).ask("you")).toMatchObject({ code: "NO_SUCH_FUNCTION" });
  });
});

describe("answers over comet", () => {
  async function client(url: string) {
    const heard: unknown[] = [];
    const session = openCsp(
      { url, transport: "longpoll" },
      { message: (text) => heard.push(JSON.parse(text)), gone() {} },
    );
    open.push(() => session.close());
    return { heard, session, say: (value: unknown) => session.send(JSON.stringify(value)) };
  }

  test("go to the sender alone, with its id; refusals too, and the session goes on", async () => {
    const url = await serve(comet as never, { answers: { hello: "greeter.hello(who)", all: "greeter.given" } });
    const [one, other] = [await client(url), await client(url)];
    one.say({ path: "hello", id: 7, data: { who: "you" } });
    one.say({ path: "hello", data: {} });
    one.say({ path: "nowhere", id: "x" });
    one.say(["no question"]);
    one.say({ path: "all", id: { odd: 1 } });
    await expect.poll(() => one.heard.length).toBe(5);
    expect(one.heard).toEqual([
      { path: "hello", id: 7, answer: "hello, you" },
      { path: "hello", error: { code: "BAD_INPUT", message: expect.stringContaining("'who'") } },
      { path: "nowhere", id: "x", error: { code: "NOT_FOUND", message: "nothing answers 'nowhere' here" } },
      { error: { code: "BAD_INPUT", message: expect.stringContaining("path") } },
      { path: "all", answer: [{}] },
    ]);
    expect(other.heard).toEqual([]);
  });

  test("leave every other packet to the module's message", async () => {
    const message = (session: CometSession, text: string) => session.send(JSON.stringify({ got: text }));
    const url = await serve(comet as never, { module: { message }, answers: { hello: 'greeter.hello("x")' } });
    const { heard, say } = await client(url);
    say({ path: "hello" });
    say({ path: "other" });
    await expect.poll(() => heard).toEqual([{ path: "hello", answer: "hello, x" }, { got: '{"path":"other"}' }]);
  });

  test("are cancelled by a goodbye, which lets what was said before it be handled", async () => {
    const seen: string[] = [];
    let asked: ReturnType<typeof current> | undefined;
    const message = async (_: CometSession, text: string) => {
      await new Promise((turn) => setImmediate(turn));
      seen.push(text);
    };
    const url = await serve(
      comet as never,
      { module: { message, disconnect: () => seen.push("disconnect") }, answers: { wait: "greeter.wait()" } },
      { wait: () => new Promise(() => (asked = current())) },
    );
    const { session, say } = await client(url);
    say({ path: "wait", id: 1 });
    await expect.poll(() => asked).toBeDefined();
    session.send("last words");
    session.close();
    await expect.poll(() => seen).toEqual(["last words", "disconnect"]);
    expect(asked?.stopped).toMatchObject({ code: "CANCELLED", message: "the client went away" });
  });
});
