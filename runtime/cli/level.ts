/**
 * ./cage level NAME [LEVEL [conditions] | off]: how closely requests are logged, live.
 *
 *     ./cage level shop debug --principal 42 --for 10m      one user's requests, here and in all cages that they pass
 *     ./cage level shop debug --label "GET /orders/:id"     one kind of request; "GET *" is all that begin so
 *     ./cage level shop                                     the rules in force
 *     ./cage level shop off                                 none any more
 */
import { conditionsOf } from "../cage/level.ts";
import { CageError } from "../errors.ts";
import type { LevelRule } from "../request/levels.ts";
import { durationMs } from "../retry/policy.ts";
import { askOf } from "./instances.ts";
import type { Command } from "./main.ts";
import { duration, table } from "./table.ts";

const conditions = {
  label: { type: "string" },
  principal: { type: "string" },
  trace: { type: "string" },
  from: { type: "string" },
} as const;

export const level: Command = {
  usage: "NAME [LEVEL|off] [--principal P] [--label L] [--for 10m]",
  summary: "log requests more closely for a while: by who asks, label, --trace ID, --from ADDRESS",
  options: { ...conditions, for: { type: "string" } },
  async run(given) {
    const [cage, word] = given.words;
    if (cage === undefined)
      throw new CageError("BAD_INPUT", "level takes the name of a cage: ./cage level shop debug --principal 42");
    const { for: lasting } = given.flags;
    const chosen = Object.fromEntries(
      Object.keys(conditions).flatMap((name) => (given.flags[name] === undefined ? [] : [[name, given.flags[name]]])),
    );
    const args = {
      ...(word === "off" ? { off: true } : word === undefined ? {} : { level: word }),
      ...chosen,
      ...(lasting === undefined ? {} : { forMs: durationMs(String(lasting)) }),
    };
    const rules = (await askOf(given.paths, cage, "level", args)) as LevelRule[];
    if (given.flags["json"]) process.stdout.write(`${JSON.stringify(rules)}\n`);
    else if (rules.length === 0) process.stdout.write(`${cage}: requests are logged at the level they come with\n`);
    else process.stdout.write(table([["LEVEL", "REQUESTS", "ENDS IN"], ...rules.map(row)]));
    return 0;
  },
};

const row = (rule: LevelRule): string[] => [rule.level, conditionsOf(rule), duration(rule.endsAt - Date.now() + 500)];
