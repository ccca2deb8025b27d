import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createProject, eventually, freePorts, type Project } from "../kit/project.ts";

let project: Project;
let port: number;

beforeAll(async () => {
  [port] = (await freePorts(1)) as [number];
  project = createProject({
    "config/busy.ts": `export const config = { interfaces: { web: { protocol: "http", port: ${port} } } };`,
    "cages/busy/sums.ts": `export type Count = number;

export function longSum(ms: Count): number {
  let sum = 0;
  for (const until = Date.now() + ms; Date.now() < until; ) sum += Math.sqrt(sum + 1);
  return sum;
}
`,
    "cages/busy/web.ts": `import { longSum } from "./sums.ts";
export const routes = { "GET /sum/:of": async () => { await null; return longSum(500); }, "GET /": () => "quick" };
`,
  });
  await project.ok("start", "busy");
});
afterAll(async () => await project.remove());

describe("a handler that holds the event loop", () => {
  it("is named in the log, with its route and the author's line", async () => {
    const line = await eventually("the log names it", async () => {
      await fetch(`http://127.0.0.1:${port}/sum/7`);
      const told = await project.ok("logs", "busy", "--json");
      return told.split("\n").find((each) => each.includes("held the event loop"));
    });
    const {
      message,
      interface: via,
      fields,
    } = JSON.parse(line) as {
      message: string;
      interface?: string;
      fields: { stack: string; interface: string; generation: number };
    };
    expect([message, via ?? fields.interface, fields.generation]).toEqual([
      expect.stringMatching(/^GET \/sum\/:of held the event loop for \d+ ms$/),
      "web",
      1,
    ]);
    expect(fields.stack.split("\n")[0]).toMatch(/at longSum \(\[g1\] .*cages\/busy\/sums\.ts:5:\d+\)/);
  });
});
