/**
 * What a worker tells its operator of what happens: the log gets everything, the terminal (or output.log) the reloads.
 * It only listens to events; nothing else reports.
 */
import { coded } from "../errors.ts";
import { events } from "../health/events.ts";
import { log } from "../health/log.ts";

export function report(cage: string, say: (text: string) => void): void {
  events.on("problem", ({ what, error }) => log.error(`${what}: ${messageOf(error)}`, whole(error)));

  events.on("request.done", ({ error, interface: by, label, id, generation, durationMs }) => {
    // A refusal is the caller's to read; what the code did not foresee is the operator's.
    if (error !== undefined && coded(error).code === "INTERNAL")
      log.error(`${label}: ${messageOf(error)}`, {
        ...whole(error),
        interface: by,
        request: id,
        generation,
        durationMs,
      });
  });

  events.on("reload.done", ({ generation, files, dependents, durationMs, trigger }) => {
    log.info(`generation ${generation}`, { files, dependents, durationMs, trigger });
    if (trigger === "start") return;
    const more = dependents > 0 ? ` and ${dependents} importers` : "";
    say(`${clock()} ${cage}: generation ${generation} (${files.join(", ")}${more}) in ${durationMs.toFixed(0)} ms`);
  });

  events.on("reload.failed", ({ file, files, message, frame }) => {
    log.error(`not reloaded: ${message}`, { file, files, frame });
    const where = file === "" ? "" : `${file}: `;
    say(
      `${clock()} ${cage}: not loaded, what served before serves on: ${where}${message}${frame === "" ? "" : `\n${frame}`}`,
    );
  });
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** An error for the operator: its code, its stack, and what caused it. */
function whole(error: unknown): Record<string, unknown> {
  const { cause, stack } = (error ?? {}) as { cause?: unknown; stack?: string };
  return {
    code: coded(error).code,
    stack: stack ?? String(error),
    ...(cause instanceof Error ? { cause: cause.stack } : {}),
  };
}

const clock = (): string => new Date().toISOString().slice(11, 23);
