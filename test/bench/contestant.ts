/** Who is measured against whom: each with its server and its client in processes of their own, asked by the same lanes (rpc/lanes.mjs). */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { median } from "./figures.ts";

export interface Load {
  readonly size: "small" | "large";
  readonly outstanding: number;
  readonly ms: number;
}

export interface Measured {
  readonly perSecond: number;
  readonly p50Us: number;
  /** Of the caller's process, for one call. */
  readonly cpuUs: number;
}

export interface Contestant {
  readonly name: string;
  run(load: Load): Promise<Measured>;
  close(): Promise<void> | void;
}

async function started(file: string, args: readonly string[], execArgv: string[]): Promise<ChildProcess> {
  const child = fork(file, args, { execArgv });
  const [said] = (await Promise.race([once(child, "message"), once(child, "exit")])) as unknown[];
  if (said !== "ready") throw new Error(`${file} ${args.join(" ")} ended with ${said}`);
  return child;
}

/** A program that is server or client by its first argument, says "ready", and answers a load with what it measured. */
export async function byHand(
  name: string,
  file: string,
  args: readonly string[],
  execArgv: string[] = [],
): Promise<Contestant> {
  const server = await started(file, ["server", ...args], execArgv);
  const client = await started(file, ["client", ...args], execArgv);
  return {
    name,
    async run(load) {
      client.send(load);
      const [measured] = (await once(client, "message")) as [Measured];
      return measured;
    },
    close() {
      client.kill();
      server.kill();
    },
  };
}

/** What each measured, cell by cell, round by round. */
export class Samples {
  readonly #samples = new Map<string, Measured[]>();

  add(name: string, cell: string, measured: Measured): void {
    this.#samples.set(`${name} ${cell}`, [...this.of(name, cell), measured]);
  }

  of(name: string, cell: string): Measured[] {
    return this.#samples.get(`${name} ${cell}`) ?? [];
  }

  rate(name: string, cell: string): number {
    return median(this.of(name, cell).map((each) => each.perSecond));
  }

  /** The median of each round's own ratio: what else the machine did was the same for both. */
  ratio(a: string, b: string, cell: string, key: keyof Measured = "perSecond"): number {
    return median(this.of(a, cell).map((each, round) => each[key] / (this.of(b, cell)[round] as Measured)[key]));
  }
}
