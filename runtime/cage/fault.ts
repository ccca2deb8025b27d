/**
 * A fault of the configuration, with its place in the text, so that it is shown as any save that does not load:
 *
 *     > 4 |   interfaces: { web: { protocol: "http", prt: 0 } },
 *         |                                          ^
 *
 * The text is searched for the keys on the way, one inside the other. That is good enough to point at: configuration is
 * written as nested literals, and a key that is put together elsewhere is shown as far as it was found.
 */
import { join, relative } from "node:path";
import { CageError } from "../errors.ts";
import { LoadError, placeAt, type ReloadFailure } from "../modules/failure.ts";

export function placed(thrown: unknown, root: string, textOf: (file: string) => string | undefined): unknown {
  if (!(thrown instanceof CageError) || thrown.code !== "CONFIG" || thrown instanceof LoadError) return thrown;
  const { file: shown, path } = (thrown.details ?? {}) as { file?: string; path?: readonly string[] };
  if (shown === undefined || path === undefined) return thrown;
  const file = join(root, shown);
  const text = textOf(file);
  const place = text === undefined ? {} : find(text, path);
  return new LoadError(thrown.message, { code: "CONFIG", file, text, ...place, cause: thrown });
}

/** As it is told at a terminal: the place, the sentence, and the frame below it. */
export function told({ code, message, file, line, column, frame }: ReloadFailure, root: string): CageError {
  // A fault of the configuration names its file and the key itself.
  const where =
    file === "" || code === "CONFIG" ? "" : `${relative(root, file)}${line > 0 ? `:${line}:${column}` : ""}: `;
  return new CageError(code, `${where}${message}${frame === "" ? "" : `\n${frame}`}`);
}

function find(text: string, path: readonly string[]): { line?: number; column?: number } {
  let at = -1;
  for (const key of path) {
    const quoted = key.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const pattern = new RegExp(`(?<![\\w$.])(["']?)${quoted}\\1\\s*:`, "g");
    pattern.lastIndex = at + 1;
    const found = pattern.exec(text);
    if (found === null) break;
    at = found.index;
  }
  return at < 0 ? {} : placeAt(text, at);
}
