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

/** "small 256": what is asked, and how many at a time. */
export type Cell = `${Load["size"]} ${number}`;

export const allCells: readonly Cell[] = ["small 1", "small 32", "small 256", "large 1", "large 32", "large 256"];

const parts = (cell: Cell) => cell.split(" ") as [Load["size"], string];

/** For a table. */
export function shown(cell: Cell): readonly [size: string, outstanding: string] {
  const [size, outstanding] = parts(cell);
  return [size === "small" ? "200 B" : "10 KB", outstanding];
}

function loadOf(cell: Cell, ms: number): Load {
  const [size, outstanding] = parts(cell);
  return { size, outstanding: Number(outstanding), ms };
}

/** Turn by turn, seven rounds of a second each (`quick`: one of half). */
export async function measured(
  contestants: readonly Contestant[],
  cells: readonly Cell[],
  quick: boolean,
): Promise<Samples> {
  const samples = new Samples();
  // Warm, each of them: what is compiled late would count for whoever comes first.
  for (const each of contestants)
    for (const size of ["small", "large"] as const) await each.run({ size, outstanding: 64, ms: quick ? 500 : 2_000 });
  for (let round = 0; round < (quick ? 1 : 7); round++)
    for (const cell of cells)
      for (const each of contestants) samples.add(each.name, cell, await each.run(loadOf(cell, quick ? 500 : 1_000)));
  return samples;
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
