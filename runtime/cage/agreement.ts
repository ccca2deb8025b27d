/**
 * All processes of an instance swap to a generation, or none does:
 *
 *     leader: load -> propose --> supervisor --> each of the others: prepare (load, open, start hooks: all but the swap)
 *             swap  <-- agreed <--'                 `--> one cannot, or not in time: all forget it, the leader as well
 *             serving ----------> supervisor --> each of the others: follow (the swap)
 *
 * A process that is not there at that moment, or only starts, begins with what serves when it does.
 */
import { LoadError, type ReloadFailure } from "../modules/failure.ts";
import type { Candidate } from "../modules/generation.ts";
import type { Link } from "./link.ts";
import type { Process } from "./process.ts";

/** As long as one module may take to load; one that does not answer in it counts as failing. */
const prepareMs = 30_000;

export interface Refusal {
  readonly process: number;
  readonly failure: Pick<ReloadFailure, "message"> & Partial<ReloadFailure>;
}

/** The leader's part: throws, with the place, when one of the others cannot. `kept` resolves when they can read its texts. */
export async function agree(
  candidate: Pick<Candidate, "text"> & { readonly id: number },
  kept: () => Promise<void>,
  link: Pick<Link, "propose">,
): Promise<void> {
  await kept();
  const refusal = await link.propose(candidate.id);
  if (refusal === undefined) return;
  const { message, file = "", line, column, code } = refusal.failure;
  throw new LoadError(`process ${refusal.process} cannot serve it, so none does: ${message}`, {
    file,
    text: candidate.text(file),
    line,
    column,
    ...(code === "CONFIG" ? { code } : {}),
  });
}

/** The supervisor's: answers with who cannot, and why; then none of them has it. */
export async function propose(generation: number, processes: readonly Process[]): Promise<Refusal | undefined> {
  const outcomes = await Promise.all(
    processes.map(async (process) => {
      const failure = await process.ask("process.prepare", { generation }, prepareMs).catch((error) => error as Error);
      return failure instanceof Error
        ? { process: process.number, failure: { message: failure.message } }
        : failure && { process: process.number, failure: failure as ReloadFailure };
    }),
  );
  const refusal = outcomes.find((outcome) => outcome !== undefined && outcome !== null);
  if (refusal !== undefined) forget(processes);
  return refusal as Refusal | undefined;
}

/** What they have made ready is not coming. */
export function forget(processes: readonly Process[]): void {
  // One that does not answer has made nothing ready, or ends it with the next one.
  for (const process of processes) process.ask("process.forget", undefined, prepareMs).catch(() => {});
}
