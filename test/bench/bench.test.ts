/** Every benchmark works: its quick form prints its keys as numbers. It never judges a time. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { home } from "../kit/project.ts";

const benches: Readonly<Record<string, readonly string[]>> = {
  start: ["p50_ms"],
  reload:
    "p50_ms p95_ms importers50_p50_ms floor_ratio warm1000_ms heap_growth_mb failed_requests p99_ratio block_ms_p95 call_ratio".split(
      " ",
    ),
  page: ["ratio"],
  http: ["node_ratio", "fastify_ratio", "hono_ratio"],
  nats: ["nats_ratio"],
  rolling: ["failed_requests", "p99_ratio"],
  failover: ["gap_ms"],
  rpc: ["floor_ratio_256", "moleculer_ratio_256", "p50_ratio_1", "floor_ratio_10k"],
};

const run = (name: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = ["--import", "tsx", join(home, "test/bench/run.ts"), name, "--quick"];
    execFile(process.execPath, args, { cwd: home, maxBuffer: 1 << 24 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${name}: ${stderr}`)) : resolve(stdout),
    );
  });

describe("npm run bench", () => {
  for (const [name, keys] of Object.entries(benches)) {
    it(`measures ${name} and prints ${keys.join(", ")}`, { timeout: 180_000 }, async () => {
      const figures = JSON.parse((await run(name)).trim().split("\n").at(-1) as string) as Record<string, unknown>;
      expect(figures).toMatchObject({ name, quick: true, node: process.versions.node });
      for (const key of keys) expect(figures[key], key).toBeTypeOf("number");
    });
  }
});
