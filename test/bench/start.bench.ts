/** From `./cage start greeter` (installed, runtime built, cage compiled before) to its first answer over HTTP. */

import { readFileSync } from "node:fs";
import { get } from "node:http";
import { join } from "node:path";
import { createProject, freePorts, home } from "../kit/project.ts";
import { median, ms, percentile, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

export const bench: Bench = {
  async run({ quick }) {
    const [port] = (await freePorts(1)) as [number];
    const read = (path: string): string => readFileSync(join(home, path), "utf8");
    const project = createProject(
      {
        "cages/greeter/greeter.ts": read("cages/greeter/greeter.ts"),
        "cages/greeter/api.ts": read("cages/greeter/api.ts"),
        "config/greeter.ts": read("config/greeter.ts"),
      },
      { CAGE_CONFIG__greeter__interfaces__greeter__port: String(port) },
    );
    const taken: number[] = [];
    const returned: number[] = [];
    try {
      // The first start builds and compiles; it is not what is measured.
      for (let at = 0; at <= (quick ? 5 : 20); at++) {
        const startedAt = performance.now();
        await project.ok("start", "greeter");
        const back = performance.now() - startedAt;
        const answer = await body(`http://127.0.0.1:${port}/`);
        const answered = performance.now() - startedAt;
        if (answer !== "hello, world") throw new Error(`greeter answered '${answer}'`);
        if (at > 0) {
          taken.push(answered);
          returned.push(back);
        }
        await project.ok("stop", "greeter");
      }
    } finally {
      await project.remove();
    }
    return {
      rows: [
        ["FROM ./cage start greeter", "P50 MS", "P95 MS", "RUNS"],
        ["until the command returned", ms(median(returned)), ms(percentile(returned, 0.95)), String(returned.length)],
        ["until the first answer", ms(median(taken)), ms(percentile(taken, 0.95)), String(taken.length)],
      ],
      keys: { p50_ms: rounded(median(taken)), p95_ms: rounded(percentile(taken, 0.95)), runs: taken.length },
    };
  },
};

const body = (url: string): Promise<string> =>
  new Promise((resolve, reject) => {
    get(url, { agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => resolve(text));
    }).on("error", reject);
  });
