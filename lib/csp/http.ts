/**
 * CSP over HTTP: /handshake, /comet, /send and /close, answered from the table of sessions. It knows the protocol's
 * paths, variables and forms, and no server: a request is a value and a reply is three functions, so that node:http,
 * a leaner server or a test can stand behind them.
 *
 *     const csp = new CspHttp({ sessions, maxDurationS: 30 });
 *     const left = csp.answer({ method, path: "/comet", query: "s=...&a=3", body: "", lastEventId: undefined }, reply);
 *     socket.on("close", left);                                       // the client went away in the middle of a poll
 *
 * An error's body is one quoted JavaScript string, `'Session not found'`: the clients of 2009 evaluate it, and poll for
 * ever when it does not parse.
 */
import { limits } from "./limits.ts";
import { decodeBatch, encodeBatch } from "./packet.ts";
import type { Carrier, Session } from "./session.ts";
import type { Sessions } from "./sessions.ts";
import { defaults, readVariables, type Variables } from "./variables.ts";

export interface Ask {
  readonly method: string;
  /** Behind the session base: "/comet". */
  readonly path: string;
  readonly query: string;
  readonly body: string;
  readonly lastEventId: string | undefined;
}

export type Headers = Readonly<Record<string, string>>;

export interface Reply {
  /** The whole answer. */
  answer(status: number, headers: Headers, body: string): void;
  /** The beginning of a stream, then pieces of it, then its end. */
  begin(status: number, headers: Headers): void;
  write(text: string): void;
  end(): void;
}

export interface CspHttpOptions {
  readonly sessions: Sessions;
  /** `du` and `i` are cut to this: half the session's time-out, or a poll could outlast its session. */
  readonly maxDurationS: number;
  /** Default: limits.ts. Has to be well under what a session may buffer. */
  readonly maxStreamBytes?: number;
}

const nothing = () => {};

export class CspHttp {
  readonly #sessions: Sessions;
  readonly #maxDurationS: number;
  readonly #maxStreamBytes: number;
  readonly #variables = new WeakMap<Session, Variables>();
  #draining = false;

  constructor(options: CspHttpOptions) {
    this.#sessions = options.sessions;
    this.#maxDurationS = options.maxDurationS;
    this.#maxStreamBytes = options.maxStreamBytes ?? limits.maxStreamBytes;
  }

  /** Returns what to call when the client leaves before the reply has ended. */
  answer(ask: Ask, reply: Reply): () => void {
    try {
      if (ask.query.length > limits.maxQueryBytes) return refuse(reply, 414, "the query is too long");
      if (ask.method !== "GET" && ask.method !== "POST") return refuse(reply, 405, "use GET or POST");
      const query = new URLSearchParams(ask.query);
      // A body that is not empty is the value of d.
      const data = ask.body === "" ? (query.get("d") ?? "") : ask.body;
      if (ask.path === "/handshake") return this.#handshake(query, data, reply);
      if (ask.path !== "/comet" && ask.path !== "/send" && ask.path !== "/close")
        return refuse(reply, 404, "no such path");
      const session = this.#sessions.find(query.get("s") ?? "");
      if (session === undefined) return refuse(reply, 404, "Session not found");
      const before = this.#variables.get(session) ?? defaults;
      const variables = readVariables(before, query, this.#maxDurationS);
      if (variables !== before) this.#variables.set(session, variables);
      const arrived = ask.lastEventId ?? query.get("a") ?? "";
      if (/^\d{1,15}$/.test(arrived)) session.acknowledge(Number(arrived));
      // It may just have acknowledged the end.
      if (ask.path === "/comet" && session.state === "gone") return refuse(reply, 404, "Session not found");
      if (ask.path === "/comet") return this.#comet(session, variables, reply);
      return ask.path === "/send"
        ? this.#send(session, variables, data, reply)
        : this.#close(session, variables, reply);
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      if (code !== "BAD_INPUT") throw error;
      return refuse(reply, 400, message);
    }
  }

  /** Ends the open polls and takes no new sessions; whoever polls again is answered at once. */
  drain(): void {
    this.#draining = true;
    for (const session of this.#sessions) session.release();
  }

  #handshake(query: URLSearchParams, data: string, reply: Reply): () => void {
    if (query.has("s")) return refuse(reply, 400, "a handshake has no session yet");
    let greeting: unknown;
    try {
      greeting = JSON.parse(data);
    } catch {
      return refuse(reply, 400, "a handshake carries a JSON object, {} at least");
    }
    if (typeof greeting !== "object" || greeting === null || Array.isArray(greeting))
      return refuse(reply, 400, "a handshake carries a JSON object, {} at least");
    const variables = readVariables(defaults, query, this.#maxDurationS);
    const session = this.#draining ? undefined : this.#sessions.create();
    if (session === undefined) return refuse(reply, 503, "no more sessions at the moment, come back later");
    if (variables !== defaults) this.#variables.set(session, variables);
    return whole(reply, variables, `{"session":"${session.key}"}`);
  }

  #send(session: Session, variables: Variables, data: string, reply: Reply): () => void {
    const packets = decodeBatch(data === "" ? "[]" : data, limits.maxBatchPackets);
    // The 200 is the acknowledgement of the whole batch; what was taken of a refused one is dropped when it comes again.
    if (session.receive(packets) === "busy") return refuse(reply, 503, "too many packets are waiting, send them again");
    return whole(reply, variables, '"OK"');
  }

  #close(session: Session, variables: Variables, reply: Reply): () => void {
    session.close("client");
    return whole(reply, variables, '"OK"');
  }

  #comet(session: Session, variables: Variables, reply: Reply): () => void {
    const carrier = new CometReply(reply, variables, this.#maxStreamBytes, this.#sessions.clock());
    session.attach(carrier);
    if ((variables.durationS === 0 || this.#draining) && session.carries(carrier)) session.release();
    else carrier.open();
    return () => {
      carrier.forsake();
      session.detach(carrier);
    };
  }
}

/** One answer to /comet: held back until there is a batch, or begun at once and written to. */
class CometReply implements Carrier {
  readonly #reply: Reply;
  readonly #variables: Variables;
  readonly #maxBytes: number;
  readonly #endsAtMs: number;
  #wroteAtMs: number;
  #nowMs: number;
  #bytes = 0;
  #begun = false;
  #done = false;

  constructor(reply: Reply, variables: Variables, maxBytes: number, nowMs: number) {
    this.#reply = reply;
    this.#variables = variables;
    this.#maxBytes = maxBytes;
    this.#nowMs = nowMs;
    this.#wroteAtMs = nowMs;
    this.#endsAtMs = nowMs + variables.durationS * 1000;
  }

  /** A stream shows itself at once, so that a client can tell a path that holds streams back. */
  open(): void {
    if (this.#variables.streaming && !this.#begun && !this.#done) this.#write(batch(this.#variables, [], 0));
  }

  deliver(packets: readonly string[], last: number): boolean {
    const body = batch(this.#variables, packets, last);
    if (!this.#variables.streaming) {
      this.#finish(body);
      return false;
    }
    this.#write(body);
    if (this.#bytes < this.#maxBytes) return true;
    this.#done = true;
    this.#reply.end();
    return false;
  }

  complete(): void {
    if (!this.#begun) this.#finish(batch(this.#variables, [], 0));
    if (this.#done) return;
    this.#done = true;
    this.#reply.end();
  }

  tick(nowMs: number): boolean {
    this.#nowMs = nowMs;
    if (nowMs >= this.#endsAtMs) {
      this.complete();
      return false;
    }
    const { streaming, intervalS } = this.#variables;
    if (streaming && intervalS > 0 && nowMs - this.#wroteAtMs >= intervalS * 1000)
      this.#write(batch(this.#variables, [], 0));
    return true;
  }

  forsake(): void {
    this.#done = true;
  }

  #write(text: string): void {
    if (this.#done) return;
    this.#wroteAtMs = this.#nowMs;
    if (!this.#begun) {
      this.#begun = true;
      this.#reply.begin(200, headers(this.#variables.contentType));
      if (this.#variables.prebufferBytes > 0) this.#reply.write(" ".repeat(this.#variables.prebufferBytes));
    }
    this.#bytes += text.length;
    this.#reply.write(text);
  }

  #finish(body: string): void {
    if (this.#done) return;
    this.#done = true;
    this.#reply.answer(200, headers(this.#variables.contentType), body);
  }
}

/** `data: ([[7,0,"x"]])` and the event's id; the blank line is what makes an EventSource hand it on. */
function batch(variables: Variables, packets: readonly string[], last: number): string {
  const body = `${variables.batchPrefix}(${encodeBatch(packets)})${variables.batchSuffix}`;
  if (!variables.sse) return body;
  return packets.length > 0 ? `${body}id: ${last}\r\n\r\n` : `${body}\r\n`;
}

function whole(reply: Reply, variables: Variables, json: string): () => void {
  reply.answer(200, headers(variables.contentType), `${variables.requestPrefix}(${json})${variables.requestSuffix}`);
  return nothing;
}

function refuse(reply: Reply, status: number, sentence: string): () => void {
  const again = status === 503 ? { "Retry-After": "1" } : {};
  reply.answer(
    status,
    { ...headers("application/javascript"), ...again },
    `'${sentence.replaceAll(/['\\<\r\n]/g, " ")}'`,
  );
  return nothing;
}

/** Sandboxed: an answer opened as a page of its own runs nothing, whatever its content type. */
const headers = (contentType: string): Headers => ({
  "Content-Type": `${contentType}; charset=utf-8`,
  "Cache-Control": "no-cache, must-revalidate",
  "X-Content-Type-Options": "nosniff",
  "Content-Security-Policy": "default-src 'none'; sandbox",
  "X-Accel-Buffering": "no",
});
