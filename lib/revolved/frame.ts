/**
 * The frames of Revolved: JSON arrays over a session's packets (PROTOCOL.md has the grammar and the life of a
 * subscription). A packet may hold several, each on its own line.
 *
 *     client -> server   [n, "AUTH", [user, token]]   [n, "SUBSCRIBE", [channel, since, token?]]
 *                        [n, "UNSUBSCRIBE", [channel, ...]]   [n, "DISCONNECT", []]
 *                        [n, "PUBLISH", ...]   [n, "SEND", ...]      announced; refused until there are rules for them
 *     server -> client   ["OK", [n, position?]]   ["ERR", [n, sentence, code]]
 *                        ["PUBLISH", [channel, sender, data, offset, type]]   ["GAP", [channel, position]]
 *
 * What is encoded is ASCII (other characters as \uXXXX): a session sends it as it is, without base64.
 */
import type { Entry } from "./channels.ts";

export const kinds = ["AUTH", "SUBSCRIBE", "UNSUBSCRIBE", "PUBLISH", "SEND", "DISCONNECT"] as const;
export type Kind = (typeof kinds)[number];

export interface Command {
  readonly n: number;
  readonly kind: Kind;
  readonly args: readonly unknown[];
}

export const encodeOk = (n: number, position?: string): string =>
  position === undefined ? `["OK",[${n}]]` : `["OK",[${n},${ascii(position)}]]`;

export const encodeErr = (n: number, sentence: string, code: string): string =>
  `["ERR",[${n},${ascii(sentence)},${ascii(code)}]]`;

export const encodeGap = (channel: string, position: string): string =>
  `["GAP",[${ascii(channel)},${ascii(position)}]]`;

/** `sender` is null: it came from the server's side. */
export const encodePublish = (entry: Entry, offset: number): string =>
  `["PUBLISH",[${ascii(entry.channel)},null,${ascii(entry.data ?? null)},${offset},${ascii(entry.type)}]]`;

/** Throws BAD_INPUT with the announced texts; `n` on the error is the command's number, 0 when none could be read. */
export function decodeCommand(text: string): Command {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch (cause) {
    throw bad(0, "invalid json", cause);
  }
  if (!Array.isArray(frame)) throw bad(0, "invalid message format");
  const [n, kind, args] = frame as [unknown, unknown, unknown];
  if (!Number.isSafeInteger(n) || (n as number) < 1) throw bad(0, "invalid message format");
  if (!kinds.includes(kind as Kind) || !Array.isArray(args)) throw bad(n as number, "invalid message format");
  return { n: n as number, kind: kind as Kind, args };
}

function ascii(value: unknown): string {
  const json = JSON.stringify(value) ?? "null";
  return json.replace(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

function bad(n: number, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code: "BAD_INPUT", n });
}
