/**
 * One request and its answer, from the moment its headers are here:
 *
 *     refuse what no route should see -> route -> (100 Continue) -> body, whole or as a stream -> handler -> answer
 *
 * all of it inside one request of the host, so every refusal is counted and every wait has the deadline. It is cancelled
 * when its connection closes before the answer was handed over. Nearly every request is a GET answered without waiting:
 * what that path costs is what `npm run bench -- http` measures, so it makes no promise and no listener of its own.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { CageError, coded } from "../../errors.ts";
import { levelName, levelOf } from "../../request/carried.ts";
import type { LogLevel, Request, Trace } from "../../request/request.ts";
import { traceOf } from "../../request/traceparent.ts";
import type { Handler, InterfaceHost, Runner, Work } from "../interface.ts";
import { isReply, type Reply, refusal, reply, send, type Way } from "./answer.ts";
import { type Arrived, type Ask, Asked } from "./ask.ts";
import { BodyStream, checkLength, hasBody, interpreted, readWhole } from "./body.ts";
import type { Connection, Owed } from "./connections.ts";
import type { Options } from "./options.ts";
import type { Peers } from "./peers.ts";
import { type Found, match, type Routes } from "./routes.ts";

/** What all exchanges of an interface share. */
export interface Site {
  readonly options: Options;
  readonly host: InterfaceHost;
  readonly peers: Peers;
  /** What the configuration answers. */
  readonly answered: Routes | undefined;
  draining(): boolean;
}

export type Expectation = "none" | "continue" | "other";

type Headers = Readonly<Record<string, string>>;

export class Exchange implements Work, Runner<unknown>, Owed, Way, Arrived {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly method: string;
  readonly raw: string;
  readonly path: string;
  readonly number: number;
  readonly #site: Site;
  readonly #connection: Connection;
  readonly #expects: Expectation;
  #continued = false;
  #left = false;
  #endless: (() => void) | undefined;
  #request: Request | undefined;
  #module: Handler | undefined;
  #ask: Ask | undefined;

  constructor(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    connection: Connection,
    site: Site,
    expects: Expectation,
  ) {
    this.incoming = incoming;
    this.outgoing = outgoing;
    this.method = incoming.method ?? "GET";
    const raw = (this.raw = incoming.url ?? "/");
    const mark = raw.indexOf("?");
    this.path = mark < 0 ? raw : raw.slice(0, mark);
    this.number = ++connection.asked;
    this.#connection = connection;
    this.#site = site;
    this.#expects = expects;
  }

  start(): void {
    const { host, options } = this.#site;
    const connection = this.#connection;
    connection.owed.set(this.number, this);
    connection.newest = this;
    if (this.number >= options.maxRequestsPerConnection) connection.ending = true;
    // Of HTTP/1 the connection tells; here only this stream may be gone.
    if (this.incoming.httpVersionMajor === 2) this.outgoing.once("close", () => this.left());
    host.take(this, this);
  }

  resolve(): void {
    this.#connection.done(this);
  }

  reject(error: unknown): void {
    const done = (): void => this.resolve();
    this.#fail(error).then(done, done);
  }

  left(): void {
    this.#left = true;
    this.#request?.cancel("the client went away");
  }

  drain(): void {
    // Its connection is not closed with it, which would lose what is asked on it next: the answer to that closes it.
    this.#endless?.();
  }

  // --- what an answer needs to know (Way) --------------------------------------------------------------------------

  get compress(): boolean {
    return this.#site.options.compress;
  }

  get stalledTimeoutMs(): number {
    return this.#site.options.stalledTimeoutMs;
  }

  endless(end: () => void): void {
    this.#endless = end;
    if (this.#site.draining()) this.drain();
  }

  /** Read when the answer's head is made; what is asked on the connection after that is never taken. */
  get last(): boolean {
    const connection = this.#connection;
    const wanted = connection.ending || this.#site.draining();
    const streamed = this.incoming.httpVersionMajor === 2;
    // An earlier one of several must not cut off the others; and what was not read of a body would be taken for the
    // next request. HTTP/2 has neither fault: its session says that it goes, and ends after its streams.
    const last = streamed ? wanted : (wanted && connection.newest === this) || this.#unread;
    if (last) connection.ending = true;
    if (last && streamed) connection.end();
    return last;
  }

  /** Some of the body has not come. (node says "incomplete" of a GET too, until its handler has returned.) */
  get #unread(): boolean {
    return !this.incoming.complete && hasBody(this.incoming);
  }

  // --- what a handler may know (Arrived) ---------------------------------------------------------------------------

  get headers(): Headers {
    return this.incoming.headers as Headers;
  }

  get secure(): boolean {
    const { trusted, secure } = this.#connection;
    const said = trusted ? this.headers["x-forwarded-proto"] : undefined;
    return said === undefined ? secure : said === "https";
  }

  get from(): string {
    const { address, trusted } = this.#connection;
    return trusted ? this.#site.peers.behind(address, this.headers["x-forwarded-for"]) : address;
  }

  // --- the way of a request ----------------------------------------------------------------------------------------

  /** While there is no route: whatever strangers ask for must not become a label each. */
  get label(): string {
    return noRoute[this.method] ?? "OTHER (no route)";
  }

  get trace(): Trace | undefined {
    const { traceparent, tracestate } = this.incoming.headers;
    return traceparent === undefined ? undefined : traceOf(traceparent, tracestate);
  }

  accepted(request: Request): void {
    this.#request = request;
    if (this.#left) this.left();
  }

  /** What a trusted peer still has; anybody else could only harm itself with it, but also learn how we fail. */
  get timeoutMs(): number | undefined {
    const { deadlineHeader } = this.#site.options;
    if (deadlineHeader === undefined || !this.#connection.trusted) return undefined;
    const said = this.headers[deadlineHeader];
    return said !== undefined && /^\d{1,10}$/.test(said) ? Number(said) : undefined;
  }

  /** Of a trusted peer: a stranger could fill the disk. */
  get logLevel(): LogLevel | undefined {
    return this.#connection.trusted ? levelOf(this.headers[levelName]) : undefined;
  }

  handle(module: Handler, request: Request): unknown {
    this.#module = module;
    this.#admit();
    const hit = match(module, this.#site.answered, this.method, this.path);
    if (isReply(hit)) {
      request.label = "OPTIONS";
      return send(this, hit);
    }
    const { found, params } = hit;
    request.label = found.label;
    const body = hasBody(this.incoming);
    if (!body && !found.streams) return this.#answer(found, new Asked(this, params, undefined));
    const maxBytes = found.maxBodyBytes ?? this.#site.options.maxBodyBytes;
    checkLength(this.incoming, maxBytes);
    if (found.streams) {
      const stream = new BodyStream(this.incoming, maxBytes, () => this.#continue());
      // As of a body that is read whole: an answer that was given before it came is the end of waiting for it.
      request.onStop((why) => stream.destroy(why));
      return this.#answer(found, new Asked(this, params, undefined, stream));
    }
    this.#continue();
    return readWhole(this.incoming, request, { maxBytes, timeoutMs: this.#site.options.bodyTimeoutMs }).then((bytes) =>
      this.#answer(found, new Asked(this, params, interpreted(this.incoming, bytes))),
    );
  }

  #answer(found: Found, ask: Ask): unknown {
    this.#ask = ask;
    const answer = found.answer(ask);
    return answer instanceof Promise ? answer.then((value) => send(this, value)) : send(this, answer);
  }

  /** Refuses what no route should see. */
  #admit(): void {
    const { maxUrlBytes, maxHeaders } = this.#site.options;
    const { rawHeaders, httpVersionMajor, httpVersionMinor } = this.incoming;
    if (this.raw.length > maxUrlBytes)
      throw new CageError("TOO_LARGE", `the address is longer than ${maxUrlBytes} bytes`, { status: 414 });
    if (rawHeaders.length > 2 * maxHeaders)
      throw new CageError("TOO_LARGE", `there are more than ${maxHeaders} headers`, { status: 431 });
    if (httpVersionMajor === 1 && httpVersionMinor === 1) {
      let hosts = 0;
      for (let at = 0; at < rawHeaders.length; at += 2) {
        const name = rawHeaders[at] as string;
        if (name.length === 4 && name.toLowerCase() === "host") hosts++;
      }
      // Two of them are how one proxy is made to see another host than we do.
      if (hosts !== 1) throw new CageError("BAD_INPUT", `one host header is needed, not ${hosts}`);
    }
    if (this.#expects === "other")
      throw new CageError("BAD_INPUT", "the only expectation that can be met is 100-continue", { status: 417 });
  }

  #continue(): void {
    if (this.#expects !== "continue" || this.#continued || this.outgoing.headersSent) return;
    this.#continued = true;
    this.outgoing.writeContinue();
  }

  async #fail(thrown: unknown): Promise<void> {
    const { outgoing } = this;
    if (outgoing.headersSent || outgoing.destroyed) return void outgoing.destroy();
    // Whoever is slow to send a body is told so, and not that we were.
    const slow = this.#unread && coded(thrown).code === "EXPIRED";
    const error =
      slow && this.#ask === undefined ? new CageError("EXPIRED", messageOf(thrown), { status: 408 }) : thrown;
    const plain = refusal(error);
    const own = this.#module?.["failed"];
    if (typeof own === "function") {
      try {
        const answer = (await own(error, this.#ask ?? new Asked(this, {}, undefined))) as unknown;
        if (isReply(answer))
          return await send(this, reply({ ...answer, headers: { ...plain.headers, ...answer.headers } }));
      } catch {
        // Its error page failed too: the plain answer below.
      }
    }
    await send(this, plain as Reply);
  }
}

const messageOf = (thrown: unknown): string => coded(thrown).message;

const noRoute: Readonly<Record<string, string>> = Object.fromEntries(
  ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"].map((method) => [method, `${method} (no route)`]),
);
