/**
 * A cage under load from every kind of client that holds connections: what each of them asked, what failed, and how long it
 * took. For restarts that must refuse nobody.
 *
 *     const project = createProject(underLoad(ports));  await project.ok("start");
 *     const traffic = await startTraffic(project, ports);
 *     await project.ok("restart", "shop", "--rolling");
 *     const seen = await traffic.stop();          // { http: { asked, failed: [], ms: [] }, events, thrift, calls, retried }
 *
 * HTTP over keep-alive and server-sent events from this process; our Thrift client and calls between cages from another
 * cage, as they are used. Retried calls are asked for over HTTP; each writes a line where it is done.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { join } from "node:path";
import { eventually, type Project } from "./project.ts";

export interface Ports {
  readonly web: number;
  readonly thrift: number;
}

export interface Seen {
  asked: number;
  readonly failed: string[];
  readonly ms: number[];
}

/** Between two of a client: the processes that start meanwhile need a processor as well. */
const thinkMs = 8;

const idl = "service Shop { string hello(1: string name) }";

export const underLoad = ({ web, thrift }: Ports, processes = 2): Readonly<Record<string, string>> => ({
  "config/shop.ts": `export const config = {
  processes: ${processes},
  interfaces: {
    web: { protocol: "http", port: ${web}, timeoutMs: 60_000 },
    door: { protocol: "thrift", port: ${thrift} },
  },
};
`,
  "cages/shop/web.ts": `import { cage, reply } from "#runtime";
import type * as Api from "./api.ts";
const shop = cage<typeof Api>("shop");
async function* ticks() {
  for (let n = 0; ; n++) { yield \`data: \${process.pid} \${n}\\n\\n\`; await new Promise((later) => setTimeout(later, 20)); }
}
export const routes = {
  "GET /": () => ({ pid: process.pid }),
  "GET /events": () => reply({ headers: { "content-type": "text/event-stream" }, body: ticks() }),
  "POST /later/:id": async (ask: { params: { id: string } }) => await shop.retry({ id: ask.params.id }).effects.add(ask.params.id),
};
`,
  "cages/shop/door.ts": `export const idl = ${JSON.stringify(idl)};
export const services = { Shop: { hello: (name: string) => "hello, " + name } };
`,
  "cages/shop/api.ts": `export * as effects from "./effects.ts";\n`,
  "cages/shop/effects.ts": `import { appendFileSync } from "node:fs";
export const hello = (name: string) => "hello, " + name;
export const add = (id: string) => appendFileSync("state/effects", id + "\\n");
`,
  "config/load.ts": `export const config = {
  resources: { door: { protocol: "thrift", port: ${thrift}, idl: ${JSON.stringify(idl)} } },
};
`,
  "cages/load/api.ts": `import { background, cage, resources } from "#runtime";
import type * as Shop from "../shop/api.ts";
const { effects } = cage<typeof Shop>("shop");
const { door } = resources() as unknown as { door: { Shop: { hello(name: string): Promise<string> } } };
const seen = { thrift: { asked: 0, failed: [] as string[], ms: [] as number[] }, calls: { asked: 0, failed: [] as string[], ms: [] as number[] } };
let ended = false;
async function lane(to: keyof typeof seen, ask: () => Promise<unknown>) {
  while (!ended) {
    const began = performance.now();
    try { await ask(); } catch (error) { seen[to].failed.push(String((error as Error).message)); }
    seen[to].asked++;
    seen[to].ms.push(performance.now() - began);
    await new Promise((next) => setTimeout(next, ${thinkMs}));
  }
}
export const begin = () => { for (let n = 0; n < 3; n++) { one("thrift"); one("calls"); } };
const one = (to: keyof typeof seen) => background(() => lane(to, to === "thrift" ? () => door.Shop.hello("you") : () => effects.hello("you")));
export const end = () => { ended = true; return seen; };
`,
});

export async function startTraffic(project: Project, { web }: Ports) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const streams = new Agent({ keepAlive: true });
  const http: Seen = { asked: 0, failed: [], ms: [] };
  const events: Seen = { asked: 0, failed: [], ms: [] };
  const retried: Seen = { asked: 0, failed: [], ms: [] };
  const taken: string[] = [];
  let ended = false;

  const ask = (path: string, method = "GET"): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ port: web, host: "127.0.0.1", path, method, agent }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
      });
      asked.on("error", reject);
      asked.end();
    });

  async function lane(seen: Seen, one: () => Promise<unknown>): Promise<void> {
    while (!ended) {
      const began = performance.now();
      await one().catch((error: Error) => seen.failed.push(`${error.message}`));
      seen.asked++;
      seen.ms.push(performance.now() - began);
      await new Promise((next) => setTimeout(next, thinkMs));
    }
  }

  /** One stream to its end; it failed if it was refused or cut off, or if nothing came. */
  const follow = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const asked = request({ port: web, host: "127.0.0.1", path: "/events", agent: streams }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        response.on("data", () => ended && asked.destroy());
        response.on("end", resolve);
        response.on("error", (error) => (ended ? resolve() : reject(error)));
      });
      asked.on("error", (error) => (ended ? resolve() : reject(error)));
      asked.end();
    });

  const lanes = [
    ...Array.from({ length: 4 }, () => lane(http, () => ask("/"))),
    ...Array.from({ length: 3 }, () => lane(events, follow)),
    ...Array.from({ length: 2 }, (_, of) =>
      lane(retried, async () => {
        const id = `${of}-${taken.length}`;
        await ask(`/later/${id}`, "POST");
        taken.push(id);
      }),
    ),
  ];
  await project.ok("call", "load", "begin");

  return {
    http,
    events,
    retried,
    async stop() {
      ended = true;
      await Promise.all(lanes);
      agent.destroy();
      streams.destroy();
      const { thrift, calls } = JSON.parse(await project.ok("call", "load", "end")) as { thrift: Seen; calls: Seen };
      // Each acknowledged one has its effect in the end.
      const effects = await eventually(
        "every retried call is done",
        () => {
          const lines = readFileSync(join(project.root, "state/effects"), "utf8").split("\n").filter(Boolean);
          return lines.length >= taken.length && lines;
        },
        60_000,
      );
      return { http, events, thrift, calls, retried, taken, effects };
    },
  };
}
