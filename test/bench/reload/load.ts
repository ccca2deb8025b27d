/**
 * The cage at 70 % of what it can do, with and without saves, in turns: what a user of a service notices of the work on
 * it. One save each 250 ms, every fourth broken. Requests are sent at fixed times whatever the answers do, and a
 * latency counts from when its request was due, so a held-up cage cannot hide in a slower sender.
 */
import { renameSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { median, percentile } from "../figures.ts";

export interface Loaded {
  readonly rate: number;
  readonly sent: number;
  readonly failed: number;
  /** Of a round; medians of all rounds, since others use the machine too. */
  readonly p99Ms: number;
  readonly quietP99Ms: number;
  readonly generations: number;
}

/** Who does the work of a request (cages.ts). */
export type Where = "work" | "kept" | "anew";

export async function load(options: {
  readonly port: number;
  readonly file: string;
  readonly where: Where;
  readonly rounds: number;
  /** Above all that were saved before: a version is seen in answers, which may lag behind. */
  readonly firstVersion: number;
  readonly roundMs: number;
  text(version: number): string;
}): Promise<Loaded> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const versions = new Set<string>();
  let failed = 0;
  const ask = (): Promise<void> =>
    new Promise((resolve) => {
      const asked = get(`http://127.0.0.1:${options.port}/${options.where}`, { agent }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => (text += chunk));
        response.on("end", () => {
          const version = /<\d+>/.exec(text)?.[0];
          if (response.statusCode !== 200 || version === undefined) failed++;
          else versions.add(version);
          resolve();
        });
      });
      asked.on("error", () => {
        failed++;
        resolve();
      });
    });
  try {
    await throughput(ask, 1_000);
    const rate = 0.7 * (await throughput(ask, 2_000));
    const quiet: number[] = [];
    const saved: number[] = [];
    let sent = 0;
    let version = options.firstVersion;
    const save = () => {
      version++;
      // The broken ones carry a version of their own, which must never be seen.
      writeFileSync(`${options.file}.tmp`, options.text(version) + (version % 4 === 0 ? "\nconst broken = ;" : ""));
      renameSync(`${options.file}.tmp`, options.file);
    };
    for (let round = 0; round < options.rounds; round++) {
      // The type check waits for a quiet second, and would be counted as quiet.
      await new Promise((checked) => setTimeout(checked, options.roundMs * 2));
      const before = await paced(ask, rate, options.roundMs);
      const timer = setInterval(save, 250);
      const during = await paced(ask, rate, options.roundMs);
      clearInterval(timer);
      quiet.push(percentile(before, 0.99));
      saved.push(percentile(during, 0.99));
      sent += before.length + during.length;
    }
    const broken = [...versions].filter(
      (each) => Number(each.slice(1, -1)) > options.firstVersion && Number(each.slice(1, -1)) % 4 === 0,
    );
    return {
      rate,
      sent,
      failed: failed + broken.length,
      p99Ms: median(saved),
      quietP99Ms: median(quiet),
      generations: versions.size,
    };
  } finally {
    agent.destroy();
  }
}

/** Requests a second that 16 callers get, each asking as soon as it was answered. */
async function throughput(ask: () => Promise<void>, forMs: number): Promise<number> {
  const startedAt = performance.now();
  let done = 0;
  const caller = async () => {
    for (; performance.now() - startedAt < forMs; done++) await ask();
  };
  await Promise.all(Array.from({ length: 16 }, caller));
  return (done / (performance.now() - startedAt)) * 1_000;
}

/** The latency of each request, ms. */
async function paced(ask: () => Promise<void>, rate: number, forMs: number): Promise<number[]> {
  const latencies: number[] = [];
  const startedAt = performance.now();
  const gapMs = 1_000 / rate;
  const total = Math.floor(forMs / gapMs);
  const running: Promise<void>[] = [];
  for (let sent = 0; sent < total; ) {
    for (; sent < total && startedAt + sent * gapMs <= performance.now(); sent++) {
      const dueAt = startedAt + sent * gapMs;
      running.push(ask().then(() => void latencies.push(performance.now() - dueAt)));
    }
    await new Promise((next) => setTimeout(next, 1));
  }
  await Promise.all(running);
  return latencies;
}
