/** The life of cages as a person drives it: the real launcher, real processes, real sockets, a folder of its own. */
import { readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { get } from "node:http";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

interface Listed {
  readonly cage: string;
  readonly state: string;
  readonly pid: number;
  readonly supervisor: number;
  readonly restarts: number;
  readonly stderr: readonly string[];
  readonly worker: { readonly generation: number; readonly broken: { message: string; frame: string } | null };
}

let project: Project;
let port: number;

const listed = async (cage: string): Promise<Listed | undefined> =>
  (JSON.parse(await project.ok("list", "--json")) as Listed[]).find((row) => row.cage === cage);
const call = async (...args: string[]): Promise<unknown> => JSON.parse(await project.ok("call", ...args)) as unknown;
/** The status over a connection of its own. */
const fresh = (url: string): Promise<number> =>
  new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    }).on("error", reject);
  });
const save = (path: string, text: string): void => writeFileSync(join(project.root, path), text);

const web = (text: string) =>
  `import { hello } from "./hello.ts";\nexport const routes = { "GET /": () => hello(${JSON.stringify(text)}) };\n`;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    "cages/empty/.keep": "",
    "cages/shop/hello.ts": `export const hello = (who: string): string => \`hello, \${who}\`;\n`,
    "cages/shop/web.ts": web("world"),
    "cages/shop/api.ts": `import { cage, CageError, fn, z } from "#runtime";
import type * as Books from "../books/api.ts";
const books = cage<typeof Books>("books");
export const total = fn({ input: z.object({ cents: z.int() }) }, ({ cents }) => cents * 2);
export const refuse = () => { throw new CageError("SOLD_OUT", "no chairs left", { details: { sku: "chair" } }); };
export const relay = async (title: string) => await books.shelf.find(title);
export const wait = async () => { await new Promise(() => {}); };
`,
    "cages/books/api.ts": `export * as shelf from "./shelf.ts";\n`,
    "cages/books/shelf.ts": `import { request } from "#runtime";\nexport const find = async (title: string) => ({ title, found: true, left: request.remaining > 0, trace: request.trace.id.length });\n`,
    "config/shop.ts": `import { defineCage } from "#runtime";\nexport const config = defineCage({ interfaces: { web: { protocol: "http", port: ${port} } } });\n`,
  });
});
afterAll(() => project.remove());

describe("./cage", () => {
  it("starts every cage, an empty directory too, and returns when each is ready", async () => {
    const table = await project.ok("start");
    expect(table).toMatch(/empty +ready/);
    expect(table).toMatch(new RegExp(`shop +ready +\\d+ +1 +http://localhost:${port}`));
    expect(await call("empty", "self.health")).toMatchObject({ ok: true });
    expect(await call("empty", "self.describe")).toMatchObject({ cage: "empty", functions: [] });
  });

  it("says what already runs when it is started again", async () => {
    expect(await project.ok("start", "shop")).toMatch(/shop +already ready/);
  });

  it("keeps sockets in a directory of this user alone", () => {
    const run = join(project.root, "state/run");
    expect(statSync(run).mode & 0o777).toBe(0o700);
    for (const name of readdirSync(run))
      if (name.endsWith(".ctl")) expect(statSync(join(run, name)).mode & 0o777).toBe(0o700);
  });

  it("calls a function, validated by its schema, and reports an application's error by its code", async () => {
    expect(await call("shop", "total", '{"cents":21}')).toBe(42);
    const bad = await project.cage("call", "shop", "total", '{"cents":"many"}');
    expect([bad.code, bad.stderr]).toEqual([2, expect.stringContaining("BAD_INPUT: total: cents:")]);
    expect((await project.cage("call", "shop", "refuse")).stderr).toBe("cage: SOLD_OUT: no chairs left\n");
    expect((await project.cage("call", "shop", "totl")).stderr).toContain("did you mean 'total'?");
    expect((await project.cage("call", "nobody", "x")).stderr).toContain("start it with ./cage start nobody");
  });

  it("carries calls between cages, with what remains of the deadline and the trace", async () => {
    expect(await call("shop", "relay", '"Dune"')).toEqual({ title: "Dune", found: true, left: true, trace: 32 });
  });

  it("ends a wait at the deadline of whoever asked", async () => {
    const startedAt = Date.now();
    expect((await project.cage("call", "shop", "wait", "--timeout", "300")).stderr).toContain("EXPIRED");
    expect(Date.now() - startedAt).toBeLessThan(3_000);
  });

  it("serves a saved file to the next request, with no request lost under load", async () => {
    let failed = 0;
    let served = 0;
    let stopped = false;
    const seen = new Set<string>();
    const load = (async () => {
      while (!stopped) {
        try {
          const response = await fetch(`http://127.0.0.1:${port}/`);
          if (response.status !== 200) failed++;
          seen.add(await response.text());
          served++;
        } catch {
          failed++;
        }
      }
    })();
    for (const name of ["one", "two", "three"]) {
      const file = join(project.root, "cages/shop/web.ts");
      writeFileSync(`${file}.tmp`, web(name));
      renameSync(`${file}.tmp`, file);
      await eventually(`the answer of version ${name}`, () => seen.has(`hello, ${name}`));
    }
    await eventually("a load worth the name", () => served > 10);
    stopped = true;
    await load;
    expect(failed).toBe(0);
  });

  it("keeps the old version serving when a save is broken, shows the code frame, and recovers with the next save", async () => {
    save("cages/shop/web.ts", `export const routes = { "GET /": () => };\n`);
    const broken = await eventually(
      "the broken save to be noticed",
      async () => (await listed("shop"))?.worker.broken ?? undefined,
    );
    expect(broken.frame).toContain('> 1 | export const routes = { "GET /": () => };');
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("hello, three");
    expect(readFileSync(join(project.root, "logs/shop/output.log"), "utf8")).toContain("> 1 | export const routes");
    save("cages/shop/web.ts", web("four"));
    await eventually(
      "the mended version",
      async () => (await (await fetch(`http://127.0.0.1:${port}/`)).text()) === "hello, four",
    );
    expect((await listed("shop"))?.worker.broken).toBeNull();
    expect(await project.ok("history", "shop")).toMatch(/refused/);
  });

  it("keeps the old configuration when a save of it does not validate, and takes a good one without a restart", async () => {
    const before = await listed("shop");
    const [other] = (await freePorts(1)) as [number];
    const config = (text: string) =>
      `import { defineCage } from "#runtime";\nexport const config = defineCage({ interfaces: { web: { protocol: "http", ${text} } } });\n`;
    save("config/shop.ts", config(`prot: ${other}`));
    const broken = await eventually(
      "the bad configuration to be noticed",
      async () => (await listed("shop"))?.worker.broken ?? undefined,
    );
    expect(broken.message).toContain("did you mean 'port'?");
    expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(200);
    save("config/shop.ts", config(`port: ${other}`));
    await eventually("the new port", async () => (await fetch(`http://127.0.0.1:${other}/`)).ok);
    save("config/shop.ts", config(`port: ${port}`));
    await eventually("the old port again", async () => (await fetch(`http://127.0.0.1:${port}/`)).ok);
    expect((await listed("shop"))?.pid).toBe(before?.pid);
  });

  it("reports a taken port in one sentence with the remedy", async () => {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const taken = (server.address() as { port: number }).port;
    save(
      "config/blocked.ts",
      `import { defineCage } from "#runtime";\nexport const config = defineCage({ interfaces: { web: { protocol: "http", port: ${taken} } } });\n`,
    );
    await project.ok("new", "blocked");
    const ran = await project.cage("start", "blocked");
    server.close();
    expect(ran.code).toBe(1);
    expect(ran.stderr).toBe(
      `cage: blocked: port ${taken} on 127.0.0.1 is taken by another program; end that, or set another port in config/blocked.ts (interface web)\n`,
    );
  });

  it("brings a killed worker back, refusing nobody meanwhile", async () => {
    const before = (await listed("shop")) as Listed;
    process.kill(before.pid, "SIGKILL");
    // The supervisor holds the socket: a new connection waits in the kernel for the next worker.
    expect(await fresh(`http://127.0.0.1:${port}/`)).toBe(200);
    const after = (await listed("shop")) as Listed;
    expect(after.restarts).toBe(before.restarts + 1);
    expect(after.pid).not.toBe(before.pid);
    expect(after.supervisor).toBe(before.supervisor);
  });

  it("serves what served last when a killed worker finds code that does not load, until a save mends it", async () => {
    const before = (await listed("books")) as Listed;
    save("cages/books/shelf.ts", "export const find = ;\n");
    await eventually("the broken save", async () => (await listed("books"))?.worker.broken ?? undefined);
    process.kill(before.pid, "SIGKILL");
    const after = await eventually("the restart", async () => {
      const row = await listed("books");
      return row?.state === "ready" && row.pid !== before.pid && row;
    });
    expect(after.worker.broken?.frame).toContain("> 1 | export const find = ;");
    expect(await call("books", "shelf.find", '"Dune"')).not.toHaveProperty("mended");
    save("cages/books/shelf.ts", "export const find = async (title: string) => ({ title, mended: true });\n");
    await eventually("the mended cage", async () => (await listed("books"))?.worker.broken === null);
    expect(await call("books", "shelf.find", '"Dune"')).toEqual({ title: "Dune", mended: true });
  });

  it("follows what a cage says, from its past to what it says next", async () => {
    const child = project.spawn("logs", "-f", "shop");
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await eventually("its past", () => /INFO +generation 1/.test(text));
    save("cages/shop/web.ts", web("followed"));
    await eventually("its news", () => text.includes("cages/shop/web.ts"));
    child.kill("SIGINT");
  });

  it.runIf(process.platform === "linux")("loads no compiler when nothing changed since the last start", async () => {
    // A cage that watches makes one ready for the first save, once it serves.
    await project.ok("stop", "books");
    await project.ok("start", "books", "--no-watch");
    const maps = readFileSync(`/proc/${(await listed("books"))?.pid}/maps`, "utf8");
    expect(maps).toContain("better_sqlite3.node");
    expect(maps).not.toMatch(/oxc|esbuild|typescript/);
  });

  it("stops a cage that crashes more than 5 times in 60 s, and says so with its last words", async () => {
    await project.ok("new", "crasher");
    save(
      "cages/crasher/api.ts",
      `import { hooks } from "#runtime";\nimport { existsSync } from "node:fs";\nexport const die = () => setImmediate(() => { console.error("out of cheese"); process.exit(9); });\nexport const life = hooks({ start() { if (existsSync(${JSON.stringify(join(project.root, "doomed"))})) die(); } });\n`,
    );
    await project.ok("start", "crasher");
    save("doomed", "");
    await project.cage("call", "crasher", "die");
    const failed = await eventually(
      "the supervisor to give up",
      async () => {
        const row = await listed("crasher");
        return row?.state === "failed" ? row : undefined;
      },
      25_000,
    );
    expect(failed.stderr.join("\n")).toContain("out of cheese");
    expect(await project.ok("list")).toMatch(/crashed too often and was stopped:\n(.*\n)*.*out of cheese/);
    await project.ok("stop", "crasher");
  });

  it("cleans up after a supervisor that was killed: its worker leaves, and it can be started again", async () => {
    const before = (await listed("books")) as Listed;
    process.kill(before.supervisor, "SIGKILL");
    await eventually("the orphaned worker to leave", () => {
      try {
        process.kill(before.pid, 0);
        return false;
      } catch {
        return true;
      }
    });
    expect((await project.cage("call", "books", "self.health")).stderr).toContain("does not run");
    expect(await project.ok("start", "books")).toMatch(/books +ready/);
    expect(await call("books", "self.health")).toMatchObject({ ok: true });
  });

  it("runs in the foreground until it is told to stop, for containers", async () => {
    await project.ok("new", "front");
    const child = project.spawn("start", "front", "--foreground");
    let text = "";
    child.stdout?.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await eventually("it to say that it is ready", () => text.includes("front is ready"));
    expect(await call("front", "front.hello", '"you"')).toBe("hello, you");
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    expect(await gone).toBe(0);
  });

  it("drains on stop: what runs is answered, and nothing is left behind", async () => {
    const socket = connect(port, "127.0.0.1");
    const closed = new Promise((resolve) => socket.on("close", resolve).on("error", () => {}));
    await project.ok("stop");
    await closed;
    expect(JSON.parse(await project.ok("list", "--json"))).toEqual([]);
    expect((await project.cage("call", "shop", "total", "{}")).stderr).toContain("does not run");
  });
});
