/**
 * The 50-post thread page through HTTP: Surface's own page from a model in memory, beside the same markup concatenated by
 * hand on bare node:http (hand.mjs), turn by turn in one run; and the whole path, Surface, Impact, Core and SQLite.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createPlanet } from "../kit/planet.ts";
import { freePorts, home } from "../kit/project.ts";
import { median, rounded } from "./figures.ts";
import { load } from "./load.ts";
import type { Bench } from "./run.ts";

const at = Date.UTC(2026, 10, 21, 9, 0);
const names = ["Ann", "Bo", "Åsa", "D'Arcy", "Eve"];
const person = (n: number) => ({ id: `u${n % names.length}`, name: names[n % names.length] as string });
const words = "comets come from the cold beyond the planets & keep <most> of what they are made of".split(" ");
const text = (n: number, length: number): string =>
  Array.from({ length }, (_, i) => words[(n * 7 + i * 3) % words.length]).join(" ");

const thread = { id: "t1", title: 'Where do "comets" come from?', author: person(0), at, posts: 50, lastAt: at };
const posts = Array.from({ length: 50 }, (_, n) => ({
  id: `p${n}`,
  thread: "t1",
  author: person(n),
  body: `${text(n, 30)}\n\n${text(n + 1, 40)}`,
  at: at + n * 60_000,
  rating: { item: `post:p${n}`, up: n % 7, down: n % 3, mine: (n % 3) - 1 },
  comments: Array.from({ length: n % 3 }, (_, c) => ({
    id: `c${n}-${c}`,
    item: `post:p${n}`,
    author: person(n + c),
    body: text(n + c, 12),
    at: at + n * 60_000 + c,
  })),
}));

/** In a copy of the site: its own page and components, with this model in the place of Impact's answer. */
const route = `
import { Thread } from "./components/forum/thread/thread.ts";
import { show } from "./screen.ts";
const props = ${JSON.stringify({ thread, posts })};
const who = { cx: { locale: "en", timeZone: "UTC", once: "bench", viewer: { id: "u0", name: "Ann" } }, session: "", notices: 0, cookie: undefined };
export const routes = { "GET /": (ask) => show({ ask, who, component: Thread, props, title: props.thread.title }) };
`;

const marks = /<!\/?>| s="[^"]*"| k="[^"]*"| s-channel="[^"]*"| s-list="[^"]*"/g;

export const bench: Bench = {
  async run({ quick }) {
    const planet = await createPlanet();
    const [port] = (await freePorts(1)) as [number];
    planet.env["CAGE_CONFIG__surface__interfaces__bench__protocol"] = "http";
    planet.env["CAGE_CONFIG__surface__interfaces__bench__port"] = String(port);
    planet.write({ "cages/surface/bench.ts": route });
    let hand: ReturnType<typeof spawn> | undefined;
    try {
      // As in production: no watching, and so no type check beside what is measured.
      await planet.ok("start", "--no-watch");
      const ours = `http://127.0.0.1:${port}/`;
      const page = await (await fetch(ours)).text();
      const plain = page.replace(marks, "");
      const from = plain.indexOf("<main");
      const to = plain.indexOf("</main>") + "</main>".length;
      const model = join(planet.root, "model.json");
      writeFileSync(model, JSON.stringify({ before: plain.slice(0, from), after: plain.slice(to), thread, posts }));
      hand = spawn(process.execPath, [join(home, "test/bench/hand.mjs"), model], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      const [said] = (await once(hand.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
      const floor = `http://127.0.0.1:${Number(String(said))}/`;
      const byHand = await (await fetch(floor)).text();
      if (byHand !== plain) throw new Error(`the two pages differ: ${differ(byHand, plain)}`);
      const whole = await wholePath(planet.site);

      // Short turns side by side: what else the machine does falls on both. The ratio is the median of the turns' own.
      const ms = quick ? 400 : 1_000;
      const rounds = quick ? 12 : 25;
      const sample: Record<"hand" | "ours" | "ratio" | "whole", number[]> = {
        hand: [],
        ours: [],
        ratio: [],
        whole: [],
      };
      for (const url of [floor, ours, whole]) await load(url, { connections: 8, ms: quick ? 2_000 : 4_000 });
      for (let round = 0; round < rounds; round++) {
        const byHand = (await load(floor, { connections: 8, ms })).perSecond;
        const own = (await load(ours, { connections: 8, ms })).perSecond;
        sample.hand.push(byHand);
        sample.ours.push(own);
        sample.ratio.push(own / byHand);
        if (round % 3 === 0) sample.whole.push((await load(whole, { connections: 8, ms })).perSecond);
      }
      const [handed, own, all] = [median(sample.hand), median(sample.ours), median(sample.whole)];
      const row = (what: string, perSecond: number, bytes: number) => [
        what,
        perSecond.toFixed(0),
        (perSecond / handed).toFixed(2),
        String(bytes),
      ];
      return {
        rows: [
          ["50-POST THREAD PAGE", "PAGES/S", "RATIO", "BYTES"],
          row("concatenated by hand, bare node:http", handed, Buffer.byteLength(byHand)),
          row("Surface, model in memory", own, Buffer.byteLength(page)),
          row(
            "the whole path: Surface, Impact, Core, SQLite",
            all,
            Buffer.byteLength(await (await fetch(whole)).text()),
          ),
        ],
        keys: {
          ratio: rounded(median(sample.ratio)),
          pages_per_s: rounded(own, 0),
          hand_per_s: rounded(handed, 0),
          whole_per_s: rounded(all, 0),
        },
      };
    } finally {
      hand?.kill();
      await planet.remove();
    }
  },
};

/** A thread of 50 posts in the real site, written as people would; answers its address. */
async function wholePath(site: string): Promise<string> {
  const post = async (path: string, fields: Record<string, string>, cookie = "") => {
    const headers = { "sec-fetch-site": "same-origin", cookie };
    const response = await fetch(site + path, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers,
      redirect: "manual",
    });
    if (response.status !== 303)
      throw new Error(`${path} answered ${response.status}: ${(await response.text()).slice(0, 500)}`);
    return response;
  };
  const joined = await post("/sign-up", { name: "Bench", password: "a long password" });
  const cookie = joined.headers.get("set-cookie")?.split(";")[0] ?? "";
  const started = await post("/t", { title: thread.title, body: posts[0]?.body ?? "", once: "t" }, cookie);
  const path = started.headers.get("location") as string;
  for (const [n, { body }] of posts.slice(1).entries()) await post(`${path}/reply`, { body, once: `r${n}` }, cookie);
  return site.replace("localhost", "127.0.0.1") + path;
}

function differ(a: string, b: string): string {
  let at = 0;
  while (a[at] === b[at]) at++;
  return `by hand …${a.slice(at - 40, at + 60)}… and Surface …${b.slice(at - 40, at + 60)}…`;
}
