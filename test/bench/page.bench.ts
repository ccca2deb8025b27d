/**
 * The 50-post thread page, requests a second over HTTP: Surface's own components with the model in memory, beside the same
 * page concatenated by hand on bare node:http; and the whole path (Surface, Impact over Thrift, Core, SQLite). Contestants
 * take turns in one run; the ratio is the median of the turns'.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync } from "node:fs";
import { join } from "node:path";
import { createPlanet } from "../kit/planet.ts";
import { eventually, freePorts, home } from "../kit/project.ts";
import { median, rounded } from "./figures.ts";
import { load } from "./load.ts";
import { model } from "./page.model.ts";
import type { Bench } from "./run.ts";

/** A module of the surface cage that answers with the page, its model in memory. */
const inMemory = `
import { render } from "#lib/template/html.ts";
import { reply } from "#runtime";
import { addresses } from "./assets.ts";
import { layout } from "./components/site/layout.ts";
import { Thread } from "./components/forum/thread/thread.ts";
import { model } from "./page.model.ts";
const cx = { locale: "en", timeZone: "UTC", viewer: null, once: "" } as const;
export const routes = {
  "GET /": () => {
    const { live: script, site } = addresses();
    const body = render(cx, () =>
      layout({ title: \`\${model.thread.title} · Planet\`, notices: 0, main: Thread(model as never), style: site, script, live: {} }, cx));
    return reply({ headers: { "content-type": "text/html; charset=utf-8" }, body });
  },
};
`;

export const bench: Bench = {
  async run({ quick }) {
    const planet = await createPlanet();
    const [port] = (await freePorts(1)) as [number];
    let floor: ChildProcess | undefined;
    try {
      planet.write({ "cages/surface/bench.ts": inMemory });
      cpSync(join(home, "test/bench/page.model.ts"), join(planet.root, "cages/surface/page.model.ts"));
      planet.env["CAGE_CONFIG__surface__interfaces__bench"] = JSON.stringify({ protocol: "http", port });
      await planet.ok("start", "surface", "impact", "core", "orbit");
      const thread = await fill(planet);
      floor = spawn(process.execPath, ["--import", "tsx", join(home, "test/bench/page.floor.ts")], {
        cwd: home,
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      floor.stdout?.on("data", (chunk: Buffer) => (said += chunk.toString()));
      const floorPort = Number(await eventually("the floor to listen", () => said.includes("\n") && said.trim()));

      const contestants = {
        floor: { port: floorPort, path: "/" },
        page: { port, path: "/" },
        path: { port: planet.ports.surface, path: `/t/${thread}` },
      };
      const perSecond: Record<string, number[]> = { floor: [], page: [], path: [] };
      const bytes: Record<string, number> = {};
      const ms = quick ? 800 : 3_000;
      for (let turn = 0; turn <= (quick ? 3 : 7); turn++) {
        for (const [name, { port, path }] of Object.entries(contestants)) {
          const figures = await load({ port, path, connections: 16, ms });
          bytes[name] = figures.bodyBytes;
          // The first turn warms the compilers of all three.
          if (turn > 0) perSecond[name]?.push(figures.perSecond);
        }
      }
      const of = (name: string): number[] => perSecond[name] as number[];
      const ratio = median(of("page").map((each, at) => each / (of("floor")[at] as number)));
      const pathRatio = median(of("path").map((each, at) => each / (of("floor")[at] as number)));
      const row = (title: string, name: string, share: number): string[] => [
        title,
        median(of(name)).toFixed(0),
        share.toFixed(2),
        String(bytes[name]),
      ];
      return {
        rows: [
          ["THREAD PAGE, 50 POSTS", "REQUESTS/S", "OF FLOOR", "BYTES"],
          row("concatenated by hand, bare node:http", "floor", 1),
          row("Surface's components, model in memory", "page", ratio),
          row("Surface, Impact, Core, SQLite", "path", pathRatio),
        ],
        keys: {
          ratio: rounded(ratio, 3),
          path_ratio: rounded(pathRatio, 3),
          floor_per_second: Math.round(median(of("floor"))),
          page_per_second: Math.round(median(of("page"))),
          path_per_second: Math.round(median(of("path"))),
        },
      };
    } finally {
      floor?.kill();
      await planet.remove();
    }
  },
};

/** The same thread, really stored. Returns its id. */
async function fill(planet: { ok(...args: string[]): Promise<string> }): Promise<string> {
  const call = async (path: string, input: object): Promise<{ id: string }> =>
    JSON.parse(await planet.ok("call", "core", path, JSON.stringify(input))) as { id: string };
  const author = (name: string, at: number) => ({ id: `06xy8b6pn${2000 + at}`, name });
  const [first, ...rest] = model.posts;
  const { id } = await call("threads.start", {
    author: author("Ann", 0),
    title: model.thread.title,
    body: first?.body,
    once: "t",
  });
  for (const [at, post] of rest.entries())
    await call("threads.reply", {
      author: author(post.author.name, at % 7),
      thread: id,
      body: post.body,
      once: `p${at}`,
    });
  return id;
}
