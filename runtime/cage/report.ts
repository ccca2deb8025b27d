/**
 * What a worker tells its operator of what happens: the log gets everything (health/record.ts), the terminal (or
 * output.log) the reloads. It only listens to events; nothing else reports.
 */
import { events } from "../health/events.ts";
import { recordEvents } from "../health/record.ts";

export function report(cage: string, say: (text: string) => void): void {
  recordEvents();

  events.on("reload.done", ({ generation, files, dependents, durationMs, trigger, of }) => {
    if (of !== undefined)
      say(`${clock()} ${cage}: generation ${generation} is generation ${of} again, and holds until the next save`);
    if (trigger === "start" || of !== undefined) return;
    const more = dependents > 0 ? ` and ${dependents} importers` : "";
    say(`${clock()} ${cage}: generation ${generation} (${files.join(", ")}${more}) in ${durationMs.toFixed(0)} ms`);
  });

  events.on("reload.failed", ({ file, message, frame }) => {
    const where = file === "" ? "" : `${file}: `;
    say(
      `${clock()} ${cage}: not loaded, what served before serves on: ${where}${message}${frame === "" ? "" : `\n${frame}`}`,
    );
  });
}

const clock = (): string => new Date().toISOString().slice(11, 23);
