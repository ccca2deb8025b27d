/**
 * Runs the hooks of a cell: `begin` before its first generation serves, `finish` after its last one has ended. `finish`
 * is owed to every cell that was begun, also when its begin threw.
 */
import type { Cell } from "./cell.ts";
import { LoadError } from "./failure.ts";
import { topOf } from "./stack.ts";

type Run = (hook: () => unknown) => Promise<void>;

/** `old` is the cell of the same file in the serving generation. */
export async function begin(cell: Cell, old: Cell | undefined, run: Run): Promise<void> {
  const { file, text } = cell.source;
  // The very same cell if it had come by a lazy import before: then there is nothing to hand over.
  const before = old !== cell && old?.evaluated ? old.exports : undefined;
  cell.started = true;
  try {
    for (const each of cell.hooks)
      await run(async () => {
        if (before !== undefined) await each.handover?.(before);
        await each.start?.();
      });
  } catch (error) {
    const at = topOf(error);
    const place = at?.file === file ? { line: at.line, column: at.column } : {};
    const message = `its start hook failed: ${error instanceof Error ? error.message : String(error)}`;
    throw new LoadError(message, { file, text, ...place, cause: error });
  }
}

export async function finish(cell: Cell, run: Run): Promise<void> {
  if (!cell.started) return;
  cell.started = false;
  const failures: unknown[] = [];
  // Each of them is owed, whatever becomes of the others.
  for (const each of cell.hooks)
    if (each.stop !== undefined) await run(() => each.stop?.()).catch((error) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}
