/**
 * A cage under load from every kind of client that holds connections: what each of them asked, how long it took, and what
 * failed. For restarts that must refuse nobody.
 *
 *     const project = createProject(underLoad(ports));  await project.ok("start");
 *     const traffic = await startTraffic(project, ports);
 *     await project.ok("restart", "shop", "--rolling");
 *     const samples = await traffic.take(0);              // since the last time
 *     const { taken, effects } = await traffic.stop();    // retried calls that were acknowledged, and what they did
 *
 * HTTP over keep-alive and server-sent events from this process, and a Thrift client that is not ours ("foreign"): one call
 * at a time, seqid 0, as Python's. Our own Thrift client and calls between cages are used by another cage, as they are meant
 * to be. Retried calls are asked for over HTTP; each writes a line where it is done.
 */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { binary } from "../../lib/thrift/binary.ts";
import { type Plan, plansOf } from "../../lib/thrift/plan.ts";
import { schemaOf } from "../../lib/thrift/schema.ts";
import { messageTypes } from "../../lib/thrift/wire.ts";
import { eventually, type Project } from "./project.ts";

export interface Ports {
  readonly web: number;
  readonly thrift: number;
  /** Of the other cage: each of its requests makes one call. */
  readonly load: number;
}

export type Kind = "http" | "events" | "thrift" | "calls" | "retried" | "foreign";

/** One question of one client. */
export interface Sample {
  readonly kind: Kind;
  /** Of its kind. */
  readonly lane: number;
  /** ms since 1970. */
  readonly asked: number;
  readonly ms: number;
  readonly error?: string;
}

/** Between two of a client: the processes that start meanwhile need a processor as well. */
const thinkMs = 8;

const idl = "service Shop { string hello(1: string name) }";

/** What failed and how often, by kind and sentence; those aside who cannot be told to leave (the benchmark counts them). */
export function failuresOf(samples: readonly Sample[]): Readonly<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const { kind, error } of samples) {
    if (error === undefined || kind === "foreign") continue;
    found[`${kind}: ${error}`] = (found[`${kind}: ${error}`] ?? 0) + 1;
  }
  return found;
}

export const underLoad = ({ web, thrift, load }: Ports, processes = 2): Readonly<Record<string, string>> => ({
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
  interfaces: { web: { protocol: "http", port: ${load} } },
  resources: { door: { protocol: "thrift", port: ${thrift}, idl: ${JSON.stringify(idl)} } },
};
`,
  "cages/load/web.ts": `import { cage, resources } from "#runtime";
import type * as Shop from "../shop/api.ts";
const { effects } = cage<typeof Shop>("shop");
const { door } = resources() as unknown as { door: { Shop: { hello(name: string): Promise<string> } } };
const timed = async (ask: () => Promise<unknown>) => {
  const began = performance.now();
  const error = await ask().then(() => undefined, (error) => error.code + ": " + error.message);
  return { ms: performance.now() - began, error };
};
export const routes = {
  "GET /thrift": () => timed(() => door.Shop.hello("you")),
  "GET /calls": () => timed(() => effects.hello("you")),
};
`,
});

export async function startTraffic(project: Project, ports: Ports) {
  const agent = new Agent({ keepAlive: true, maxSockets: 32 });
  const streams = new Agent({ keepAlive: true });
  const samples: Sample[] = [];
  const taken: string[] = [];
  let ended = false;

  const ask = (path: string, method = "GET", port = ports.web): Promise<string> =>
    new Promise((resolve, reject) => {
      const asked = request({ port, host: "127.0.0.1", path, method, agent }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
        response.on("error", reject);
        response.on("end", () => (response.statusCode === 200 ? resolve(text) : reject(new Error(text))));
      });
      asked.on("error", reject);
      asked.end();
    });

  /** One stream to its end; it failed if it was refused or cut off. */
  const follow = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const gone = (error: Error) => (ended ? resolve() : reject(error));
      const asked = request({ port: ports.web, host: "127.0.0.1", path: "/events", agent: streams }, (response) => {
        if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
        response.on("data", () => ended && asked.destroy());
        response.on("end", resolve);
        response.on("error", gone);
      });
      asked.on("error", gone);
      asked.end();
    });

  const later = async (lane: number): Promise<void> => {
    const id = `${lane}-${taken.length}`;
    await ask(`/later/${id}`, "POST");
    taken.push(id);
  };

  /** From the other cage, which says itself how long it took. */
  const through = (kind: Kind) => async () => {
    const { ms, error } = JSON.parse(await ask(`/${kind}`, "GET", ports.load)) as { ms: number; error?: string };
    if (error !== undefined) throw new Error(error);
    return ms;
  };

  async function lane(kind: Kind, lane: number, one: (lane: number) => Promise<unknown>): Promise<void> {
    while (!ended) {
      const [asked, began] = [Date.now(), performance.now()];
      const outcome = await one(lane).then(
        (ms) => ({ ms: typeof ms === "number" ? ms : performance.now() - began }),
        ({ message: error }: Error) => ({ ms: performance.now() - began, error }),
      );
      samples.push({ kind, lane, asked, ...outcome });
      await new Promise((next) => setTimeout(next, thinkMs));
    }
  }

  const foreign = foreignClient(ports.thrift);
  const several = (count: number, kind: Kind, one: (lane: number) => Promise<unknown>) =>
    Array.from({ length: count }, (_, at) => lane(kind, at, one));
  const lanes = [
    ...several(4, "http", () => ask("/")),
    ...several(3, "events", follow),
    ...several(2, "retried", later),
    ...several(3, "thrift", through("thrift")),
    ...several(3, "calls", through("calls")),
    ...several(1, "foreign", () => foreign.ask()),
  ];

  const take = async (ms: number): Promise<readonly Sample[]> => {
    await new Promise((seen) => setTimeout(seen, ms));
    return samples.splice(0);
  };

  return {
    take,
    async stop() {
      ended = true;
      await Promise.all(lanes);
      for (const each of [agent, streams, foreign]) each.destroy();
      // Each acknowledged one has its effect in the end.
      const effects = await eventually(
        "every retried call is done",
        () => {
          const lines = readFileSync(join(project.root, "state/effects"), "utf8").split("\n").filter(Boolean);
          return lines.length >= taken.length && lines;
        },
        60_000,
      );
      return { samples: await take(0), taken, effects };
    },
  };
}

/** One connection, one call at a time. */
function foreignClient(port: number) {
  const plan = plansOf(schemaOf(idl)).find("hello") as Plan;
  const { output } = binary;
  output.begin();
  output.messageBegin({ name: "hello", type: messageTypes.CALL, seqid: 0 });
  plan.writeArgs(output, ["you"]);
  const message = Buffer.from(output.finish());
  const head = Buffer.alloc(4);
  head.writeInt32BE(message.length);
  let socket: Socket | undefined;
  const open = (): Socket => {
    const opened = connect(port, "127.0.0.1").on("error", () => {});
    // Between two calls it is no fault: the next one opens another.
    opened.once("close", () => socket === opened && (socket = undefined));
    return opened;
  };
  return {
    destroy: () => socket?.destroy(),
    ask: () =>
      new Promise<void>((resolve, reject) => {
        const line = (socket ??= open());
        const over = () => reject(new Error("the connection was closed"));
        line.once("close", over);
        line.once("data", () => {
          line.off("close", over);
          resolve();
        });
        line.write(Buffer.concat([head, message]));
      }),
  };
}
