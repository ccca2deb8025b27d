/**
 * The http interface of a real cage (its router, a request with id, deadline, trace and context, metrics and health on)
 * beside bare node:http, fastify and hono, each in a process of its own, turn by turn in one run: GET /hello/:name, an
 * async handler, JSON. The ratios are medians of the turns' own. The load is Debian's wrk where it is installed. Where
 * the machine is busy with other things, the processor time of a request (Linux, the main thread) says more: `cpu_ratio`.
 *
 * What was tried, as processor time of a request in multiples of bare node:http's in the same run (Node 20.20, 2 cores; 11 to
 * 12 us, most of it the system's write). All within some 10 %: other programs ran beside.
 *
 *     bare, its handler async and inside an AsyncLocalStorage      1.15     hooks see every tick and promise
 *     ours, as it was                                              2.0      of which much in random bytes for trace ids
 *     AsyncLocalStorage.run(undefined) in place of exit            1.6      exit turns node's hooks off and on again
 *     callbacks (Host.take) in place of a promise, catch and then;
 *     classes in place of closures, rings in place of sets, no
 *     joined names in metrics, trace ids on first use              1.4
 *     one listener in place of a set of them, ids on first use,
 *     the clock read 4 times in place of 9                         1.3
 *     a request without a body ends in silence (incoming.ts)       1.1      7 ticks of 9 that bare and all others pay for
 *     fastify 1.1, hono 1.2
 *
 * The last of these is no gain over bare but something that bare, fastify and hono go on paying for: context, metrics and
 * router cost what they did. Without effect within the noise: an answer written as latin1 where it is ASCII; a young
 * generation of 32 or 64 MB (no less time, up to 10 MB more memory).
 */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { createProject, freePorts, home } from "../kit/project.ts";
import { median, rounded } from "./figures.ts";
import { load } from "./load.ts";
import type { Bench } from "./run.ts";

const contestants = ["ours", "bare", "fastify", "hono"] as const;
type Contestant = (typeof contestants)[number];
const shown: Readonly<Record<Contestant, string>> = {
  ours: "the http interface of a cage",
  bare: "bare node:http",
  fastify: "fastify",
  hono: "hono on its node server",
};

const connections = 32;
const run = promisify(execFile);

/** Requests a second. */
type Generator = (url: string, seconds: number) => Promise<number>;

const wrk: Generator = async (url, seconds) => {
  const { stdout } = await run("wrk", ["-t1", `-c${connections}`, `-d${seconds}s`, url]);
  const found = /Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1];
  if (found === undefined || /Non-2xx|Socket errors/.test(stdout)) throw new Error(`wrk ${url}: ${stdout}`);
  return Number(found);
};

async function generator(): Promise<{ name: string; perSecond: Generator }> {
  const there = await run("wrk", ["-v"]).then(
    () => true,
    (error: NodeJS.ErrnoException) => error.code !== "ENOENT",
  );
  if (there) return { name: "wrk", perSecond: wrk };
  const own: Generator = async (url, seconds) => (await load(url, { connections, ms: seconds * 1_000 })).perSecond;
  return { name: "this process", perSecond: own };
}

/** Microseconds of processor time that a process's main thread has had; NaN where the system does not tell. */
function processorUs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, "utf8").split(" ")[0]) / 1_000;
  } catch {
    return Number.NaN;
  }
}

export const bench: Bench = {
  async run({ quick }) {
    const [port] = (await freePorts(1)) as [number];
    const project = createProject({
      "cages/hello/web.ts": `import type { Routes } from "#runtime";
export const routes: Routes = { "GET /hello/:name": async (ask) => ({ hello: ask.params["name"] }) };
`,
      "config/hello.ts": `import { defineCage } from "#runtime";
export const config = defineCage({ interfaces: { web: { protocol: "http", port: ${port} } } });
`,
    });
    const rivals: ReturnType<typeof spawn>[] = [];
    try {
      // As in production: no watching, and so no type check beside what is measured.
      await project.ok("start", "--no-watch");
      const listed = JSON.parse(await project.ok("list", "--json")) as { pid: number }[];
      const pids: Record<string, number> = { ours: listed[0]?.pid ?? 0 };
      const urls: Record<string, string> = { ours: `http://127.0.0.1:${port}/hello/world` };
      for (const name of contestants) {
        if (name === "ours") continue;
        const rival = spawn(process.execPath, [join(home, `test/bench/http/${name}.mjs`)], {
          stdio: ["ignore", "pipe", "inherit"],
          // A session of its own, as a cage has: where the machine is busy, Linux shares the processor among sessions.
          detached: true,
        });
        rivals.push(rival);
        pids[name] = rival.pid ?? 0;
        const [said] = (await once(rival.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
        urls[name] = `http://127.0.0.1:${Number(String(said))}/hello/world`;
      }
      for (const name of contestants) {
        const answer = await (await fetch(urls[name] as string)).text();
        if (answer !== '{"hello":"world"}') throw new Error(`${name} answered ${answer}`);
      }

      const { name: by, perSecond } = await generator();
      const sample: Record<Contestant, number[]> = { ours: [], bare: [], fastify: [], hono: [] };
      const spent: Record<Contestant, number[]> = { ours: [], bare: [], fastify: [], hono: [] };
      const rounds = quick ? 2 : 15;
      for (const name of contestants) await perSecond(urls[name] as string, quick ? 1 : 3);
      for (let round = 0; round < rounds; round++) {
        // Each begins in turn, so that what a turn leaves behind falls on all.
        for (let turn = 0; turn < contestants.length; turn++) {
          const name = contestants[(round + turn) % contestants.length] as Contestant;
          const seconds = quick ? 1 : 2;
          const before = processorUs(pids[name] as number);
          const rate = await perSecond(urls[name] as string, seconds);
          sample[name].push(rate);
          spent[name].push((processorUs(pids[name] as number) - before) / (rate * seconds));
        }
      }
      const ratio = (to: Contestant): number =>
        rounded(median(sample.ours.map((own, round) => own / (sample[to][round] as number))));
      return {
        rows: [
          [`GET, ${connections} CONNECTIONS, LOAD BY ${by.toUpperCase()}`, "REQUESTS/S", "OURS TO IT", "CPU US"],
          ...contestants.map((name) => [
            shown[name],
            median(sample[name]).toFixed(0),
            ratio(name).toFixed(2),
            median(spent[name]).toFixed(1),
          ]),
        ],
        keys: {
          node_ratio: ratio("bare"),
          fastify_ratio: ratio("fastify"),
          hono_ratio: ratio("hono"),
          requests_per_s: rounded(median(sample.ours), 0),
          node_per_s: rounded(median(sample.bare), 0),
          cpu_ratio: rounded(median(spent.bare) / median(spent.ours)),
        },
      };
    } finally {
      for (const rival of rivals) rival.kill();
      await project.remove();
    }
  },
};
