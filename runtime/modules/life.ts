/**
 * Evaluates the new cells of a candidate, in a bounded time, and runs the hooks of a cell: `begin` before its first generation serves, `finish` after its last one has ended. `finish`
 * is owed to every cell that was begun, also when its begin threw.
 */
import { CageError } from "../errors.ts";
import { type Cell, load } from "./cell.ts";
import { LoadError } from "./failure.ts";
import { topOf } from "./stack.ts";

interface Candidates {
  readonly roots: readonly string[];
  readonly dirty: ReadonlySet<string>;
}

/** Answers with the cells that are new, dependencies first. */
export async function evaluate(
  { roots, dirty }: Candidates,
  cells: ReadonlyMap<string, Cell>,
  timeoutMs = 30_000,
): Promise<Cell[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      // The innermost one: those above it wait for it.
      const stuck = [...dirty].filter((file) => cells.get(file)?.evaluating).at(-1) ?? "";
      const message = `did not finish loading in ${timeoutMs} ms: its top-level await waits for something`;
      reject(new LoadError(message, { file: stuck }));
    }, timeoutMs);
  });
  try {
    return await Promise.race([load(roots.map((file) => cells.get(file) as Cell)), late]);
  } catch (error) {
    throw error instanceof CageError && error.name === "LoadError" ? error : thrown(error, cells);
  } finally {
    clearTimeout(timer);
  }
}

/** What a module's body threw, with the place in the author's text. */
function thrown(error: unknown, cells: ReadonlyMap<string, Cell>): LoadError {
  const at = topOf(error);
  const text = at === undefined ? undefined : cells.get(at.file)?.source.text;
  const name = error instanceof Error && error.name !== "Error" ? `${error.name}: ` : "";
  const message = `threw while loading: ${name}${error instanceof Error ? error.message : String(error)}`;
  return new LoadError(message, { file: at?.file ?? "", text, line: at?.line, column: at?.column, cause: error });
}

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
