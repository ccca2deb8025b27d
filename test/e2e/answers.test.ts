/**
 * One way to answer: the example's function, as its file stands, over every protocol by configuration alone; and whatever
 * the protocol, one shape of request.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openCsp } from "../../lib/csp/client.ts";
import { askControl } from "../../runtime/cage/control.ts";
import { keysOf } from "../../runtime/cage/keys.ts";
import { pathsOf, socketOf } from "../../runtime/cage/paths.ts";
import type { Snapshot } from "../../runtime/health/metrics.ts";
import { Session } from "../../runtime/rpc/session.ts";
import { dial } from "../kit/askers.ts";
import { needing } from "../kit/needs.ts";
import { createProject, eventually, freePorts, home, type Project } from "../kit/project.ts";
import { thriftCall } from "../kit/thrift.ts";

const idl = "service Greeter { string hello(1: string who), string seen() }";
const greeter = readFileSync(join(home, "cages/greeter/greeter.ts"), "utf8");

/** What a handler sees of its request: the kind of each member, and what is the same for all. */
const mirror = `
import { request } from "#runtime";
const fired: string[] = [];
const kinds = () => ({
  id: typeof request.id, trace: Object.keys(request.trace).slice(0, 2).join(), from: typeof request.from,
  left: request.remaining > 0 && request.remaining <= 10_000, signal: request.signal.aborted,
  generation: request.generation >= 1, principal: typeof request.principal, logLevel: request.logLevel,
});
export const seen = () => JSON.stringify(kinds());
export const fire = () => void fired.push(seen());
export const firings = () => fired;
`;

const config = (ports: readonly number[], every: string) => `
import { defineCage } from "#runtime";
const [web, door, push, lines, looks, calls] = ${JSON.stringify(ports)};
export const config = defineCage({
  interfaces: {
    web: { protocol: "http", port: web, answers: {
      "GET /hello/:who": "greeter.hello(who)", "GET /seen": "mirror.seen()", "GET /firings": "mirror.firings()" } },
    door: { protocol: "thrift", port: door, idl: ${JSON.stringify(idl)}, answers: {
      "Greeter.hello": "greeter.hello(who)", "Greeter.seen": "mirror.seen()" } },
    push: { protocol: "comet", port: push, answers: { hello: "greeter.hello(who)", seen: "mirror.seen()" } },
    lines: { protocol: "tcp", port: lines, answers: { line: "greeter.hello(who)" } },
    looks: { protocol: "tcp", port: looks, format: "text", answers: { line: "mirror.seen()" } },
    calls: { protocol: "rpc", port: calls, answers: { "greeter.hello": "greeter.hello", "mirror.seen": "mirror.seen()" } },
    tick: { protocol: "schedule", every: "${every}", answers: { fire: 'greeter.hello("everybody")' } },
    tock: { protocol: "schedule", every: "200ms", answers: { fire: "mirror.fire()" } },
  },
});
`;

let project: Project;
let ports: number[];
const url = (at: number, path = "") => `http://127.0.0.1:${ports[at]}${path}`;
const ask = (verb: string) => askControl(socketOf(pathsOf(home, project.root), "ctl", "greeter"), verb);

beforeAll(async () => {
  ports = await freePorts(6);
  project = createProject({
    "cages/greeter/greeter.ts": greeter,
    "cages/greeter/mirror.ts": mirror,
    "config/greeter.ts": config(ports, "200ms"),
  });
  await project.ok("start", "greeter");
});
afterAll(() => project.remove());

const overHttp = async (path: string) => await (await fetch(url(0, path))).text();

function overComet(path: string, data: object): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const session = openCsp(
      { url: url(2, "/csp"), transport: "longpoll" },
      {
        message(text) {
          resolve((JSON.parse(text) as { answer: unknown }).answer);
          session.close();
        },
        gone: reject,
      },
    );
    session.send(JSON.stringify({ path, data }));
  });
}

async function overTcp(at: number, line: string): Promise<string> {
  const socket = await dial(url(at));
  socket.end(`${line}\n`);
  let text = "";
  for await (const piece of socket) text += String(piece);
  return text.trimEnd();
}

async function overRpc(path: string, ...args: unknown[]): Promise<unknown> {
  const handlers = { serve: () => Promise.reject(new Error("nobody asks here")), event: () => {} };
  // An outsider is known by a key that lies here and there; here both are one place.
  const keyOf = keysOf({ state: join(project.root, "state") }, "asker");
  const session = new Session(
    await dial(url(5)),
    { me: { node: "n", cage: "asker" }, side: "dialled", keyOf },
    handlers,
  );
  const carry = { remainingMs: 10_000, trace: { id: "a".repeat(32), span: "b".repeat(16) }, logLevel: "info" } as const;
  try {
    return await session.call(path, args, carry);
  } finally {
    session.close();
  }
}

describe("hello(who) of the example", () => {
  it("answers over http", async () => expect(await overHttp("/hello/you")).toBe("hello, you"));
  it("answers over thrift", async () => expect(await thriftCall(url(1), idl, "hello", "you")).toBe("hello, you"));
  it("answers over comet", async () => expect(await overComet("hello", { who: "you" })).toBe("hello, you"));
  it("answers over tcp", async () => expect(await overTcp(3, '{"who":"you"}')).toBe('"hello, you"'));
  it("answers over rpc", async () => expect(await overRpc("greeter.hello", "you")).toBe("hello, you"));
  it("is run by a schedule, whose next firing can be seen", async () => {
    await eventually("two firings", async () => {
      const { interfaces } = (await ask("metrics")) as Snapshot;
      const row = interfaces.find((each) => each.interface === "tick");
      return row !== undefined && row.success >= 2 && row.failure === 0;
    });
    const { interfaces } = (await ask("describe")) as { interfaces: { name: string; status?: { next: string } }[] };
    const next = interfaces.find(({ name }) => name === "tick")?.status?.next as string;
    expect(Date.parse(next) - Date.now()).toBeLessThan(1_000);
    expect(await project.ok("list")).toMatch(/^greeter: tick \(schedule\): next 2\d{3}-\S+Z, last \S+Z, skipped \d+$/m);
  });

  const python = needing("thrift", "thriftForPython");
  python.test("answers Apache's Python client", () => {
    const made = mkdtempSync(join(tmpdir(), "thrift-py-"));
    writeFileSync(join(made, "greeter.thrift"), idl);
    execFileSync("thrift", ["--gen", "py", "-out", made, join(made, "greeter.thrift")], { stdio: "ignore" });
    const program = `
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift.transport.TTransport import TFramedTransport
from greeter import Greeter
transport = TFramedTransport(TSocket("127.0.0.1", ${ports[1]}))
transport.open()
print(Greeter.Client(TBinaryProtocol(transport)).hello("Guido"))
`;
    const env = { ...process.env, PYTHONPATH: made };
    expect(execFileSync("/usr/bin/python3", ["-c", program], { env }).toString()).toBe("hello, Guido\n");
    rmSync(made, { recursive: true });
  });
});

it("a handler sees one shape of request, whatever the protocol", async () => {
  const firings = await eventually("a firing", async () => {
    const all = (await (await fetch(url(0, "/firings"))).json()) as string[];
    return all.length > 0 && all;
  });
  const seen = {
    http: await overHttp("/seen"),
    thrift: await thriftCall(url(1), idl, "seen"),
    comet: await overComet("seen", {}),
    tcp: await overTcp(4, "anything"),
    rpc: await overRpc("mirror.seen"),
    schedule: firings[0],
  };
  expect(JSON.parse(seen.http)).toEqual({
    id: "string",
    trace: "id,span",
    from: "string",
    left: true,
    signal: false,
    generation: true,
    principal: "undefined",
    logLevel: "info",
  });
  for (const [protocol, shape] of Object.entries(seen)) {
    // Over rpc who asks has proven it.
    const principal = protocol === "rpc" ? "object" : "undefined";
    const { principal: found, ...rest } = JSON.parse(String(shape)) as { principal: string };
    expect([protocol, { ...rest, principal: found }]).toEqual([protocol, { ...JSON.parse(seen.http), principal }]);
  }
});

it("a save that takes the function away is refused, naming what is there, and the old one serves on", async () => {
  project.write({ "cages/greeter/greeter.ts": greeter.replaceAll("hello(", "hallo(") });
  const reload = await project.cage("reload", "greeter");
  expect(reload.code).toBe(1);
  expect(reload.stderr).toContain(
    "config/greeter.ts: interfaces.web.answers.GET /hello/:who: there is no function 'greeter.hello'; did you mean 'hallo'?",
  );
  expect(await overHttp("/hello/you")).toBe("hello, you");
  project.write({ "cages/greeter/greeter.ts": greeter.replace("hello, ", "good day, ") });
  await eventually("the new code", async () => (await overTcp(3, '{"who":"you"}')) === '"good day, you"');
});

it("a changed schedule takes the place of the old one with the save", async () => {
  project.write({ "config/greeter.ts": config(ports, "1h") });
  const next = await eventually("the new schedule", async () => {
    const { interfaces } = (await ask("describe")) as { interfaces: { name: string; status?: { next: string } }[] };
    const all = interfaces.filter(({ name }) => name === "tick").map(({ status }) => status?.next as string);
    return all.length === 1 && all[0]?.endsWith(":00:00.000Z") && all[0];
  });
  expect(Date.parse(next) % 3_600_000).toBe(0);
});
