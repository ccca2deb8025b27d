/**
 * The variables of CSP: how a client asks for a transport. There are no transports in the protocol, only sets of these
 * (PROTOCOL.md has the table); they arrive in the query of any request and stay for the session.
 *
 *     const next = readVariables(defaults, new URLSearchParams("is=1&bp=data:%20&bs=%0D%0A&se=1&ct=text/event-stream"), 30)
 *
 * A number that is none is ignored, as the draft says. A text is written back to browsers in the name of this origin,
 * so only what a transport needs is allowed (reflected scripts otherwise): a dotted identifier or the fixed affixes of
 * server-sent events, and content types from a list. Anything else throws BAD_INPUT.
 */
import { limits } from "./limits.ts";

export interface Variables {
  /** rp, rs: around the answers of handshake, send and close. */
  readonly requestPrefix: string;
  readonly requestSuffix: string;
  /** bp, bs: around each batch. */
  readonly batchPrefix: string;
  readonly batchSuffix: string;
  /** du: how long a poll stays open. 0 answers at once. */
  readonly durationS: number;
  /** is: a poll does not end with its first batch. */
  readonly streaming: boolean;
  /** i: on a stream, an empty batch after so much silence; 0 is never. */
  readonly intervalS: number;
  /** ps: blanks first, for browsers that show nothing before a kilobyte. */
  readonly prebufferBytes: number;
  /** se: each batch carries its last id as the event's. */
  readonly sse: boolean;
  /** ct */
  readonly contentType: string;
}

export const defaults: Variables = Object.freeze({
  requestPrefix: "",
  requestSuffix: "",
  batchPrefix: "",
  batchSuffix: "",
  durationS: 30,
  streaming: false,
  intervalS: 0,
  prebufferBytes: 0,
  sse: false,
  contentType: "text/html",
});

const identifier = /^[A-Za-z_$][\w$]*(\.[A-Za-z_$][\w$]*)*$/;
const contentTypes = new Set([
  "text/html",
  "text/plain",
  "text/javascript",
  "application/javascript",
  "application/json",
  "text/event-stream",
]);
const suffixes = new Set(["", ";", "\n", "\r\n"]);

/** The same object comes back when the query changes nothing: most sessions share one. */
export function readVariables(old: Variables, query: URLSearchParams, maxDurationS: number): Variables {
  let next: { -readonly [Name in keyof Variables]: Variables[Name] } | undefined;
  const change = <Name extends keyof Variables>(name: Name, value: Variables[Name]) => {
    if ((next ?? old)[name] !== value) (next ??= { ...old })[name] = value;
  };
  for (const [name, value] of query) {
    switch (name) {
      case "rp":
        if (value !== "" && !identifier.test(value)) throw refused(name);
        change("requestPrefix", value);
        break;
      case "bp":
        if (value !== "" && value !== "data: " && !identifier.test(value)) throw refused(name);
        change("batchPrefix", value);
        break;
      case "rs":
        if (!suffixes.has(value)) throw refused(name);
        change("requestSuffix", value);
        break;
      case "bs":
        if (!suffixes.has(value)) throw refused(name);
        change("batchSuffix", value);
        break;
      case "ct":
        if (!contentTypes.has(value)) throw refused(name);
        change("contentType", value);
        break;
      case "p":
        // The preamble is a page of the client's own making: it comes with the iframe transport, as a fixed value.
        if (value !== "") throw refused(name);
        break;
      case "du":
        change("durationS", number(value, old.durationS, maxDurationS));
        break;
      case "i":
        change("intervalS", number(value, old.intervalS, maxDurationS));
        break;
      case "ps":
        change("prebufferBytes", Math.floor(number(value, old.prebufferBytes, limits.maxPrebufferBytes)));
        break;
      case "is":
        change("streaming", value === "1");
        break;
      case "se":
        change("sse", value === "1");
        break;
    }
  }
  const result = next ?? old;
  return result.durationS === 0 && result.streaming ? { ...result, streaming: false } : result;
}

function number(text: string, old: number, max: number): number {
  return /^\d{1,6}(\.\d{1,3})?$/.test(text) ? Math.min(Number(text), max) : old;
}

function refused(name: string): Error {
  return Object.assign(new Error(`the variable ${name} has a value that is not on the list of allowed ones`), {
    code: "BAD_INPUT",
  });
}
