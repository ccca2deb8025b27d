/**
 * What a worker tells its operator of what happens: the log gets everything (health/record.ts), the terminal (or
 * output.log) the reloads. It only listens to events; nothing else reports.
 */
import { events, type TypeFault } from "../health/events.ts";
import { recordEvents } from "../health/record.ts";
import { restartSentence } from "./stale.ts";

export function report(cage: string, say: (text: string) => void): void {
  recordEvents();

  events.on("reload.done", ({ generation, files, dependents, durationMs, trigger, of }) => {
    if (of !== undefined)
      say(`${clock()} ${cage}: generation ${generation} is generation ${of} again, and holds until the next save`);
    if (trigger === "start" || of !== undefined) return;
    const more = dependents > 0 ? ` and ${dependents} importers` : "";
    say(`${clock()} ${cage}: generation ${generation} (${files.join(", ")}${more}) in ${durationMs.toFixed(0)} ms`);
  });

  events.on("restart.needed", (outdated) => say(`${clock()} ${cage}: ${restartSentence(outdated)}`));

  events.on("canary.done", ({ generation, kept, why }) =>
    say(`${clock()} ${cage}: generation ${generation} on trial ${kept ? "stays" : "is rolled back"}: ${why}`),
  );

  events.on("reload.failed", ({ file, message, frame }) => {
    // A fault of the configuration names its file itself, with the path to the key.
    const where = file === "" || message.startsWith("config/") ? "" : `${file}: `;
    say(
      `${clock()} ${cage}: not loaded, what served before serves on: ${where}${message}${frame === "" ? "" : `\n${frame}`}`,
    );
  });

  let faulty = false;
  events.on("types.done", ({ generation, count, errors }) => {
    if (count === 0 && faulty) say(`${clock()} ${cage}: generation ${generation} has no type errors any more`);
    faulty = count > 0;
    if (count === 0) return;
    const more = count > typesShown ? `\n... and ${count - typesShown} more` : "";
    say(
      `${clock()} ${cage}: generation ${generation} serves with ${count} type error${count > 1 ? "s" : ""}:\n${errors.slice(0, typesShown).map(fault).join("\n")}${more}`,
    );
  });

  events.on("types.off", ({ why }) => say(`${clock()} ${cage}: types are not checked: ${why}`));
}

const fault = ({ file, line, column, code, message, frame }: TypeFault): string =>
  `${file === "" ? "" : `${file}:${line}:${column}: `}${code}: ${message}${frame === "" ? "" : `\n${frame}`}`;

const typesShown = 5;

const clock = (): string => new Date().toISOString().slice(11, 23);
