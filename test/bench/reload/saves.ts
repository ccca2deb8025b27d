/**
 * Saves a file (writes beside it, renames) and waits until the new code has answered over HTTP, asked on one keep-alive
 * connection as fast as it answers. Each save stands alone.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";

export interface Saved {
  /** From the rename to the answer, ms. */
  readonly taken: readonly number[];
  /** The longest hold-up of the cage's event loop around each save, and around as many moments without one. */
  readonly blocked: readonly number[];
  readonly unblocked: readonly number[];
}

export async function saves(options: {
  readonly port: number;
  readonly file: string;
  readonly count: number;
  text(version: number): string;
}): Promise<Saved> {
  const { port, file, count } = options;
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const ask = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      get(`http://127.0.0.1:${port}${path}`, { agent }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => resolve(text));
      }).on("error", reject);
    });
  // Past the settle pass, which belongs to the save. Asked all the while, or an idle loop would flatter one of them.
  const rest = async () => {
    for (const until = performance.now() + 120; performance.now() < until; ) await ask("/");
  };
  const holdUp = async () => Number(await ask("/block"));
  const taken: number[] = [];
  const blocked: number[] = [];
  const unblocked: number[] = [];
  try {
    for (let version = 1; version <= warmUp + count; version++) {
      writeFileSync(`${file}.tmp`, options.text(version));
      await holdUp();
      const savedAt = performance.now();
      renameSync(`${file}.tmp`, file);
      while (!(await ask("/")).includes(`<${version}>`))
        if (performance.now() - savedAt > 5_000) throw new Error(`version ${version} was not served within 5 s`);
      const spent = performance.now() - savedAt;
      await rest();
      const during = await holdUp();
      for (const until = performance.now() + spent; performance.now() < until; ) await ask("/");
      await rest();
      const beside = await holdUp();
      if (version <= warmUp) continue;
      taken.push(spent);
      blocked.push(during);
      unblocked.push(beside);
    }
  } finally {
    agent.destroy();
  }
  return { taken, blocked, unblocked };
}

const warmUp = 3;
