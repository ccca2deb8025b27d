/**
 * The interface of protocol "comet": reliable sessions with browsers (CSP, lib/csp/PROTOCOL.md) at /csp, over HTTP long
 * polls, polls, streams and server-sent events. The cage's module of the interface's name handles them (conversation.ts).
 *
 * Sessions belong to the interface, not to a generation: a reload of code drops none. They do not outlive the process;
 * a client of another process is told that its session is unknown, makes a new one, and catches up by itself.
 *
 * Promises: a slow or silent client costs at most its buffer and its time-out; every refusal is readable by the page
 * that caused it, if its origin is allowed; draining ends each open poll with an empty batch and `Connection: close`,
 * so that the client comes again on a new connection and is accepted by the process that took over.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { CspHttp, type Headers, type Reply } from "../../../lib/csp/http.ts";
import { limits } from "../../../lib/csp/limits.ts";
import { judge } from "../../../lib/csp/origins.ts";
import type { Session } from "../../../lib/csp/session.ts";
import { Sessions } from "../../../lib/csp/sessions.ts";
import { CageError } from "../../errors.ts";
import { outside } from "../../request/request.ts";
import type { Interface, InterfaceHost, InterfaceProtocol } from "../interface.ts";
import { Conversation } from "./conversation.ts";
import { type CometOptions, options } from "./options.ts";

const base = "/csp";

/** How exact `du`, `i` and time-outs are; half a second is nothing beside them and costs a loop over the sessions. */
const sweepEveryMs = 500;
/** The clients of 2009 give up on a poll after 45 s; what is between us, often after 60. */
const longestPollS = 40;
/** A connection that moves no byte for so long is dead; the longest honest silence is a poll. */
const idleSocketMs = 90_000;

export const comet: InterfaceProtocol<CometOptions> = {
  protocol: "comet",
  options,
  validate(module) {
    for (const name of ["connect", "message", "disconnect"])
      if (module[name] !== undefined && typeof module[name] !== "function")
        throw new CageError("LOAD", `a comet module's ${name} has to be a function, or not be exported`);
  },
  create: (given, host) => new Comet(given, host),
};

class Comet implements Interface {
  readonly #options: CometOptions;
  readonly #host: InterfaceHost;
  readonly #server: Server;
  readonly #sessions: Sessions;
  readonly #csp: CspHttp;
  /** Open connections, and how many answers each still awaits. */
  readonly #owed = new Map<Socket, number>();
  readonly #conversations = new Map<Session, Conversation>();
  /** The origin and the address of the handshake being answered: `accept` is called in the middle of it. */
  #origin: string | undefined;
  #from = "";
  #url: string | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #draining = false;
  #sequence = 0;

  constructor(options: CometOptions, host: InterfaceHost) {
    this.#options = options;
    this.#host = host;
    this.#sessions = new Sessions({
      clock: () => performance.now(),
      randomKey: () => randomBytes(16).toString("base64url"),
      // Outside of the request that sends: its context would be held until the flush.
      schedule: (flush) => outside(() => setImmediate(flush)),
      limits: { ...options, lingerMs: Math.min(limits.lingerMs, options.sessionTimeoutMs) },
      accept: (session) => this.#accept(session),
    });
    this.#csp = new CspHttp({
      sessions: this.#sessions,
      maxDurationS: Math.min(longestPollS, options.sessionTimeoutMs / 2000),
      maxStreamBytes: Math.min(limits.maxStreamBytes, options.maxBufferedBytes / 4),
    });
    this.#server = createServer(
      {
        headersTimeout: options.requestTimeoutMs,
        requestTimeout: options.requestTimeoutMs,
        connectionsCheckingInterval: Math.min(2_000, options.requestTimeoutMs / 2),
        keepAliveTimeout: 65_000,
        maxHeaderSize: 8 * 1024,
      },
      (request, response) => {
        const { socket } = request;
        this.#owed.set(socket, (this.#owed.get(socket) ?? 0) + 1);
        response.once("close", () => this.#paid(socket));
        void this.#take(request, response);
      },
    );
    this.#server.on("connection", (socket) => {
      this.#owed.set(socket, 0);
      socket.once("close", () => this.#owed.delete(socket));
    });
    // One poll, one send and a spare for each session: past that it is not clients of ours that connect.
    this.#server.maxConnections = options.maxSessions * 3;
    this.#server.setTimeout(idleSocketMs);
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
      const status = error.code === "ERR_HTTP_REQUEST_TIMEOUT" ? "408 Request Timeout" : "400 Bad Request";
      if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    });
  }

  get url(): string | undefined {
    return this.#url;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options;
    const bound = await this.#host.listen(this.#server, { host, port });
    const name = host === "127.0.0.1" || host === "0.0.0.0" ? "localhost" : host.includes(":") ? `[${host}]` : host;
    this.#url = `http://${name}:${bound.port}${base}`;
    this.#sweep = setInterval(
      () => this.#sessions.sweep(),
      Math.min(sweepEveryMs, this.#options.sessionTimeoutMs / 4),
    ).unref();
  }

  async drain(): Promise<void> {
    this.#draining = true;
    this.#csp.drain();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const [socket, answers] of this.#owed) if (answers === 0) socket.end();
    await Promise.all([closed, ...[...this.#conversations.values()].map((conversation) => conversation.settled())]);
  }

  async stop(): Promise<void> {
    this.#draining = true;
    clearInterval(this.#sweep);
    const leaving = [...this.#conversations.values()];
    for (const session of this.#sessions) session.drop("drain");
    await Promise.all(leaving.map((conversation) => conversation.settled()));
    this.#server.close();
    this.#server.closeAllConnections();
  }

  /** A connection that is owed nothing more is closed when draining; a browser's spare one may never ask. */
  #paid(socket: Socket): void {
    const answers = this.#owed.get(socket);
    if (answers === undefined) return;
    this.#owed.set(socket, answers - 1);
    if (this.#draining && answers === 1) socket.end();
  }

  #accept(session: Session): Pick<Conversation, "ready" | "message" | "ended"> {
    const id = `${process.pid.toString(36)}-${(++this.#sequence).toString(36)}`;
    const conversation = new Conversation(this.#host, session, { id, origin: this.#origin, from: this.#from });
    this.#conversations.set(session, conversation);
    return {
      ready: () => conversation.ready(),
      message: (text) => conversation.message(text),
      ended: (reason) => {
        conversation.ended(reason);
        void conversation.settled().then(() => this.#conversations.delete(session));
      },
    };
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const cors = this.#cors(request);
    const reply = replyOn(response, cors.headers, () => this.#draining);
    try {
      if (!cors.allowed) return reply.answer(403, plain, "'this origin may not connect'");
      if (request.method === "OPTIONS") return reply.answer(204, preflight, "");
      const { path, query } = split(request.url ?? "/");
      if (!path.startsWith(`${base}/`)) return reply.answer(404, plain, "'no such path'");
      const body = request.method === "POST" ? await bodyOf(request, this.#options.maxBodyBytes) : "";
      if (body === undefined) {
        response.shouldKeepAlive = false;
        return reply.answer(413, plain, `'the body is longer than ${this.#options.maxBodyBytes} bytes'`);
      }
      const eventId = request.headers["last-event-id"];
      this.#origin = request.headers.origin;
      this.#from = request.socket.remoteAddress ?? "";
      const left = this.#csp.answer(
        {
          method: request.method ?? "",
          path: path.slice(base.length),
          query,
          body,
          lastEventId: typeof eventId === "string" ? eventId : undefined,
        },
        reply,
      );
      response.once("close", () => {
        if (!response.writableFinished) left();
      });
    } catch (error) {
      if (response.destroyed) return;
      if (!response.headersSent) reply.answer(500, plain, "'the server could not do this'");
      else response.destroy(error as Error);
    }
  }

  #cors(request: IncomingMessage): { allowed: boolean; headers: Headers } {
    const verdict = judge(request.headers, this.#options.origins);
    if (verdict.header === undefined) return { allowed: verdict.allowed, headers: { Vary: "Origin" } };
    return { allowed: verdict.allowed, headers: { "Access-Control-Allow-Origin": verdict.header, Vary: "Origin" } };
  }
}

const plain: Headers = { "Content-Type": "application/javascript", "X-Content-Type-Options": "nosniff" };
const preflight: Headers = {
  "Access-Control-Allow-Methods": "GET, POST",
  "Access-Control-Allow-Headers": "Content-Type, Last-Event-ID",
  "Access-Control-Max-Age": "600",
};

function replyOn(response: ServerResponse, cors: Headers, leaving: () => boolean): Reply {
  const head = (status: number, headers: Headers) => {
    if (leaving()) response.shouldKeepAlive = false;
    response.writeHead(status, { ...headers, ...cors });
  };
  return {
    answer(status, headers, body) {
      if (response.headersSent || response.destroyed) return;
      head(status, status === 204 ? headers : { ...headers, "Content-Length": String(Buffer.byteLength(body)) });
      response.end(body);
    },
    begin(status, headers) {
      if (response.headersSent || response.destroyed) return;
      head(status, headers);
      response.socket?.setNoDelay(true);
    },
    write: (text) => void response.write(text),
    end: () => void response.end(),
  };
}

/** The path as sent and the query undecoded; no URL object, which costs more than the rest of a poll. */
function split(url: string): { path: string; query: string } {
  const at = url.indexOf("?");
  return at < 0 ? { path: url, query: "" } : { path: url.slice(0, at), query: url.slice(at + 1) };
}

/** Undefined: it is longer than allowed; what is left of it is not read. */
async function bodyOf(request: IncomingMessage, maxBytes: number): Promise<string | undefined> {
  if (Number(request.headers["content-length"] ?? 0) > maxBytes) return undefined;
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    if (bytes > maxBytes) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces, bytes).toString("utf8");
}
