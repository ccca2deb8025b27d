/**
 * What an operator can see and do, for a cage that shows it (the dashboard): every instance on this node, asked over its
 * control socket, exactly as the CLI asks.
 *
 *     for (const { cage } of operator.instances()) console.log(await operator.ask(cage, "status"));
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { maybeCurrent, within } from "../request/request.ts";
import { askControl } from "./control.ts";
import { cagesOf, type Paths, socketOf } from "./paths.ts";

let paths: Paths | undefined;

/** Once, by the process's wiring. */
export function operateOn(given: Paths): void {
  paths = given;
}

const here = (): Paths => {
  if (paths === undefined) throw new Error("operator is used inside a cage");
  return paths;
};

export const operator = {
  /** Instances with a supervisor on this node, whatever their state. */
  instances(): { cage: string; node: string; ready: boolean }[] {
    return readdirSync(here().run)
      .filter((name) => name.endsWith(".json"))
      .flatMap((name) => {
        try {
          return [
            JSON.parse(readFileSync(join(here().run, name), "utf8")) as { cage: string; node: string; ready: boolean },
          ];
        } catch {
          return [];
        }
      })
      .sort((a, b) => a.cage.localeCompare(b.cage));
  },
  /** Every cage there is, running or not. */
  cages: (): string[] => cagesOf(here()),
  /** Ends with the request that asks, as every wait does. */
  ask(cage: string, verb: string, args?: unknown): Promise<unknown> {
    const answer = askControl(socketOf(here(), "ctl", cage), verb, args);
    const request = maybeCurrent();
    return request === undefined ? answer : within(request, `${verb} of ${cage}`, answer);
  },
};
