/**
 * What a person is told when code does not load: one sentence, the place, and a few lines of source with a caret.
 *
 *     throw new LoadError("unexpected token", { file, text, line: 2, column: 11 });
 *
 *     cages/shop/orders.ts:2:11: unexpected token
 *
 *       1 | export const a = 1;
 *     > 2 | const b = ;
 *         |           ^
 *       3 | place(b);
 *
 * Lines and columns count from 1. The frame is plain text: terminal, log and dashboard colour it as they like.
 */
import { CageError } from "../errors.ts";

export interface Place {
  readonly file: string;
  /** The text that the place refers to: an old generation's may differ from the disk. */
  readonly text?: string | undefined;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
  readonly cause?: unknown;
  /** Default: LOAD. */
  readonly code?: "CONFIG";
}

export class LoadError extends CageError {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly frame: string;

  constructor(message: string, place: Place) {
    super(place.code ?? "LOAD", message, {
      cause: place.cause,
      details: { file: place.file, line: place.line ?? 0, column: place.column ?? 0 },
    });
    this.name = "LoadError";
    this.file = place.file;
    this.line = place.line ?? 0;
    this.column = place.column ?? 0;
    this.frame = place.text === undefined || this.line === 0 ? "" : frameOf(place.text, this.line, this.column);
  }
}

/** A failed reload as data, for history, events and the control socket. */
export interface ReloadFailure {
  readonly code: string;
  readonly message: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly frame: string;
  readonly cause?: unknown;
}

export function failureOf(thrown: unknown): ReloadFailure {
  const error = thrown as Partial<LoadError> | null;
  return {
    code: typeof error?.code === "string" ? error.code : "LOAD",
    message: typeof error?.message === "string" ? error.message : String(thrown),
    file: error?.file ?? "",
    line: error?.line ?? 0,
    column: error?.column ?? 0,
    frame: error?.frame ?? "",
    cause: thrown,
  };
}

// A minified line must not fill the terminal.
const maxWidth = 160;

export function frameOf(text: string, line: number, column: number, around = 2): string {
  const lines = text.split(/\r?\n/);
  const first = Math.max(1, line - around);
  const last = Math.min(lines.length, line + around);
  const width = String(last).length;
  const rows: string[] = [];
  for (let at = first; at <= last; at++) {
    const shown = (lines[at - 1] ?? "").slice(0, maxWidth);
    rows.push(`${at === line ? ">" : " "} ${String(at).padStart(width)} | ${shown}`.trimEnd());
    if (at === line && column > 0 && column <= maxWidth) {
      // Tabs stay tabs, so that the caret stands under its character.
      const lead = shown.slice(0, column - 1).replace(/[^\t]/g, " ");
      rows.push(`  ${" ".repeat(width)} | ${lead}^`);
    }
  }
  return rows.join("\n");
}

/** Line and column, from 1, of an offset in UTF-16 units. */
export function placeAt(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, Math.max(0, offset));
  const line = before.split("\n").length;
  return { line, column: before.length - before.lastIndexOf("\n") };
}
