import { createPlanet } from "./kit/planet.ts";
import { freePorts } from "./kit/project.ts";
import { load } from "./bench/load.ts";
import { readFileSync } from "node:fs";
const src = readFileSync(new URL("./bench/page.bench.ts", import.meta.url), "utf8");
const at0 = src.indexOf("const at = "), end = src.indexOf("/** In a copy");
const data = src.slice(at0, end).replace(/: number|: string|as string/g, "");
const planet = await createPlanet();
const [port] = (await freePorts(1)) as [number];
planet.env["CAGE_CONFIG__surface__interfaces__bench__protocol"] = "http";
planet.env["CAGE_CONFIG__surface__interfaces__bench__port"] = String(port);
planet.write({ "cages/surface/bench.ts": `
import { Thread } from "./components/forum/thread/thread.ts";
import { show } from "./screen.ts";
import { Session } from "node:inspector";
${data}
const props = { thread, posts };
const who = { cx: { locale: "en", timeZone: "UTC", once: "bench", viewer: { id: "u0", name: "Ann" } }, session: "", notices: 0, cookie: undefined };
const s = new Session(); s.connect();
let shown = 0, times = 0;
export const routes = { "GET /": (ask) => { const t = performance.now(); const r = show({ ask, who, component: Thread, props, title: props.thread.title }); shown += performance.now() - t; times++; return r; },
"GET /start": () => new Promise((r) => s.post("Profiler.enable", () => s.post("Profiler.setSamplingInterval", { interval: 200 }, () => s.post("Profiler.start", () => r("ok"))))),
"GET /us": () => { const x = String(shown / times * 1000); shown = times = 0; return x; },
"GET /stop": (ask) => new Promise((resolve) => { s.post("Profiler.stop", (e, { profile }) => { const self = {}; const byId = new Map(profile.nodes.map((n) => [n.id, n])); profile.samples.forEach((x, i) => { const n = byId.get(x); const k = n.callFrame.functionName + " " + n.callFrame.url.split("/").slice(-2).join("/") + ":" + n.callFrame.lineNumber; self[k] = (self[k] ?? 0) + profile.timeDeltas[i]; }); const tot = Object.values(self).reduce((a, b) => a + b, 0); resolve(Object.entries(self).sort((a, b) => b[1] - a[1]).slice(0, 40).map(([k, v]) => (v / tot * 100).toFixed(1) + "% " + k)); }); }) };
` });
try { await planet.ok("start", "surface"); const u = `http://127.0.0.1:${port}/`;
await load(u, { connections: 8, ms: 3000 }); await fetch(u + "us"); const r = await load(u, { connections: 8, ms: 3000 }); console.log("us/req", 1e6 / r.perSecond, "show us", await (await fetch(u + "us")).text());
await fetch(u + "start"); await load(u, { connections: 8, ms: 3000 });
console.log((await (await fetch(u + "stop")).text()).replaceAll('","','\n')); } finally { await planet.remove(); }
