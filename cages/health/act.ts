/**
 * What the dashboard's buttons do: verbs of the control socket, a few of them, each written to the log with what it was
 * about. The CLI uses the same verbs, so both do the same.
 */
import { CageError, log, operator, z } from "#runtime";

const shape = z.object({
  verb: z.enum(["reload", "retries.run", "retries.park", "retries.release", "retries.discard"]),
  cage: z.string().regex(/^[\w-]{1,32}$/),
  /** Of a retried call, or empty. */
  id: z.string().max(512).default(""),
  /** All retried calls of this state, or empty. */
  state: z.enum(["", "parked", "waiting"]).default(""),
});

export async function act(form: Readonly<Record<string, string>>): Promise<void> {
  const given = shape.safeParse(form);
  if (!given.success)
    throw new CageError("BAD_INPUT", `the form is not one of the dashboard's: ${given.error.issues[0]?.message}`);
  const { verb, cage, id, state } = given.data;
  const about = id !== "" ? { ids: [id] } : state !== "" ? { state } : {};
  log.info("operator", { verb, cage, ...about });
  try {
    await operator.ask(cage, verb, about);
  } catch (error) {
    // The reload that failed is on the page already, with its frame.
    if ((error as { code?: string }).code !== "LOAD") throw error;
  }
}
