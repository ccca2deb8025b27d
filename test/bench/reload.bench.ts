/**
 * From a file saved (write beside, rename) to new code answering over HTTP: a leaf module of a 100-module cage, asked on one
 * keep-alive connection as fast as it answers.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { join } from "node:path";
import { createProject, freePorts } from "../kit/project.ts";
import { median, ms, percentile, rounded } from "./figures.ts";
import type { Bench } from "./run.ts";

const modules = 100;

/** A binary tree of modules, about 40 lines each: m0 imports m1 and m2, and so on; the last one is the leaf edited. */
function tree(): Record<string, string> {
  const files: Record<string, string> = {};
  for (let at = 0; at < modules; at++) {
    const children = [2 * at + 1, 2 * at + 2].filter((child) => child < modules);
    const lines = Array.from(
      { length: 30 },
      (_, line) => `const a${line} = (n: number): number => n + ${line};\nvoid a${line};`,
    );
    files[`cages/hundred/m${at}.ts`] = [
      ...children.map((child) => `import { f as f${child} } from "./m${child}.ts";`),
      ...lines,
      leaf(at, children),
    ].join("\n");
  }
  files["cages/hundred/web.ts"] = `import { f } from "./m0.ts";\nexport const routes = { "GET /": () => f() };\n`;
  return files;
}

const leaf = (at: number, children: readonly number[], version = 0): string =>
  children.length > 0
    ? `export function f(): string { return [${children.map((child) => `f${child}()`).join(", ")}].join(""); }`
    : `export function f(): string { return ${at === modules - 1 ? `"<${version}>"` : `""`}; }`;

export const bench: Bench = {
  async run({ quick }) {
    const [port] = (await freePorts(1)) as [number];
    const project = createProject({
      ...tree(),
      "config/hundred.ts": `import { defineCage } from "#runtime";\nexport const config = defineCage({ interfaces: { web: { protocol: "http", port: ${port} } } });\n`,
    });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const answer = (): Promise<string> =>
      new Promise((resolve, reject) => {
        get(`http://127.0.0.1:${port}/`, { agent }, (response) => {
          let text = "";
          response.setEncoding("utf8");
          response.on("data", (chunk: string) => (text += chunk));
          response.on("end", () => resolve(text));
        }).on("error", reject);
      });
    const taken: number[] = [];
    try {
      await project.ok("start", "hundred");
      const file = join(project.root, `cages/hundred/m${modules - 1}.ts`);
      for (let version = 1; version <= (quick ? 40 : 200); version++) {
        writeFileSync(`${file}.tmp`, leaf(modules - 1, [], version));
        const savedAt = performance.now();
        renameSync(`${file}.tmp`, file);
        while (!(await answer()).includes(`<${version}>`)) {
          if (performance.now() - savedAt > 5_000) throw new Error(`version ${version} was not served within 5 s`);
        }
        if (version > 5) taken.push(performance.now() - savedAt);
        // Past the settle pass, so that each save stands alone.
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
    } finally {
      agent.destroy();
      await project.remove();
    }
    return {
      rows: [
        ["SAVE TO NEW CODE ANSWERING", "P50 MS", "P95 MS", "SAVES"],
        [`a leaf of ${modules} modules`, ms(median(taken)), ms(percentile(taken, 0.95)), String(taken.length)],
      ],
      keys: { p50_ms: rounded(median(taken)), p95_ms: rounded(percentile(taken, 0.95)), saves: taken.length },
    };
  },
};
