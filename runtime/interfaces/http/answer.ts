/**
 * Answers: a value (JSON), a string (text), bytes, a stream of either, or `reply({ status, headers, body })`, written so
 * that node sends head and body at once. A stream is read as fast as the client takes it, closed when the client leaves or
 * the deadline passes, and cut off (never ended cleanly) when it fails midway.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { ReadableStream } from "node:stream/web";
import { coded, told } from "../../errors.ts";
import { compressed, compressible, encodingFor, leastBytes } from "./compress.ts";

export interface Reply {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  /** A string, bytes, a stream of either (Readable, async iterable, ReadableStream), or a value to be sent as JSON. */
  readonly body?: unknown;
}

const brand = Symbol.for("cage.reply");

export const reply = (parts: Reply): Reply => ({ ...parts, [brand]: true }) as Reply;

export const isReply = (value: unknown): value is Reply =>
  typeof value === "object" && value !== null && brand in value;

/** One request's way out. */
export interface Way {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly compress: boolean;
  readonly stalledTimeoutMs: number;
  /** No other request is taken from this connection once the answer is sent. */
  readonly last: boolean;
  /** This answer goes on until its client leaves; `end` ends it well when the interface drains. */
  endless(end: () => void): void;
}

const jsonType = "application/json";
const textType = "text/plain; charset=utf-8";
const bytesType = "application/octet-stream";

/** Resolves (or returns) when the answer is handed over whole, or its client has left. */
export function send(way: Way, answer: unknown): void | Promise<void> {
  const plain = !isReply(answer);
  const body = plain ? answer : answer.body;
  const stream = streamOf(body);
  const { outgoing } = way;
  if (outgoing.destroyed || outgoing.headersSent) return void stream?.destroy();
  if (plain && stream === undefined && !(body instanceof Uint8Array)) {
    const text = typeof body === "string" ? body : json(body);
    // The answer of most requests: short, and with no header of its author's.
    if (!(way.compress && text.length >= leastBytes)) {
      const type = text === body ? textType : jsonType;
      const pairs = ["content-type", type, "content-length", String(Buffer.byteLength(text))];
      return end(way, 200, way.last ? [...pairs, ...closing(way)] : pairs, text);
    }
  }
  const status = plain ? 200 : (answer.status ?? 200);
  const head = new Head(plain ? undefined : answer.headers, way);
  if (stream !== undefined) {
    if (!head.typed) head.push("content-type", bytesType);
    return pump(way, status, head, stream);
  }
  if (body === undefined && !plain) {
    outgoing.writeHead(status, head.finish());
    return void outgoing.end();
  }
  const content = typeof body === "string" || body instanceof Uint8Array ? body : json(body);
  if (!head.typed)
    head.push("content-type", typeof body === "string" ? textType : content === body ? bytesType : jsonType);
  if (status === 200 && head.etag !== undefined && isKnown(way.incoming, head.etag)) {
    outgoing.writeHead(304, head.finish());
    return void outgoing.end();
  }
  if (way.compress && content.length >= leastBytes && head.compressible)
    return squeeze(way, status, head, typeof content === "string" ? Buffer.from(content) : content);
  return whole(way, status, head, content);
}

function whole(way: Way, status: number, head: Head, content: string | Uint8Array): void {
  head.push("content-length", String(typeof content === "string" ? Buffer.byteLength(content) : content.byteLength));
  end(way, status, head.finish(), content);
}

function end(way: Way, status: number, headers: string[], content: string | Uint8Array): void {
  const { outgoing } = way;
  outgoing.writeHead(status, headers);
  // A string goes out in one piece with the head; bytes are a second write. HTTP/2 would wait for a body of HEAD.
  if (way.incoming.method === "HEAD") outgoing.end();
  else outgoing.end(content);
  if (outgoing.writableLength > 0) limitStall(way);
}

/** HTTP/2 knows no such header: there the session says it. */
const closing = ({ incoming }: Way): string[] => (incoming.httpVersionMajor === 1 ? ["connection", "close"] : []);

async function squeeze(way: Way, status: number, head: Head, content: Uint8Array): Promise<void> {
  const encoding = encodingFor(way.incoming.headers["accept-encoding"] as string | undefined);
  head.varyBy("accept-encoding");
  if (encoding === undefined) return whole(way, status, head, content);
  const bytes = await compressed(content, encoding);
  if (way.outgoing.destroyed || way.outgoing.headersSent) return;
  head.push("content-encoding", encoding);
  head.weaken();
  whole(way, status, head, bytes);
}

/** The headers of an answer as node takes them fastest: names and values in turn, none of them looked up again. */
class Head {
  readonly #pairs: (string | string[])[] = [];
  readonly #last: boolean;
  #vary = "";
  #encoded = false;
  type = "";
  etag: string | undefined;

  constructor(given: Reply["headers"], way: Way) {
    this.#last = way.last && way.incoming.httpVersionMajor === 1;
    for (const name in given) {
      const value = given[name] as string | string[];
      const lower = name.toLowerCase();
      if (lower === "content-type") this.type = String(value);
      else if (lower === "content-encoding") this.#encoded = true;
      else if (lower === "cache-control" && String(value).includes("no-transform")) this.#encoded = true;
      else if (lower === "connection" && this.#last) continue;
      else if (lower === "vary") {
        this.#vary = String(value);
        continue;
      } else if (lower === "etag") {
        this.etag = String(value);
        continue;
      }
      this.#pairs.push(name, value);
    }
  }

  get typed(): boolean {
    return this.type !== "";
  }

  get compressible(): boolean {
    return !this.#encoded && compressible(this.type);
  }

  push(name: string, value: string): void {
    if (name === "content-type") this.type = value;
    this.#pairs.push(name, value);
  }

  varyBy(name: string): void {
    if (this.#vary === "*" || this.#vary.toLowerCase().includes(name)) return;
    this.#vary = this.#vary === "" ? name : `${this.#vary}, ${name}`;
  }

  /** Of other bytes with the same meaning (RFC 9110 8.8.1). */
  weaken(): void {
    if (this.etag !== undefined && !this.etag.startsWith("W/")) this.etag = `W/${this.etag}`;
  }

  finish(): string[] {
    if (this.#vary !== "") this.#pairs.push("vary", this.#vary);
    if (this.etag !== undefined) this.#pairs.push("etag", this.etag);
    if (this.#last) this.#pairs.push("connection", "close");
    return this.#pairs as string[];
  }
}

function isKnown({ method, headers }: IncomingMessage, etag: string): boolean {
  if (method !== "GET" && method !== "HEAD") return false;
  const weak = (text: string): string => text.trim().replace(/^W\//, "");
  return (headers["if-none-match"] ?? "").split(",").some((each) => each.trim() === "*" || weak(each) === weak(etag));
}

/** A handler's `undefined` is null to JSON. A replacer is slow, so it is tried without; JSON has no bigint. */
function json(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "null";
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return JSON.stringify(value, (_, member: unknown) => (typeof member === "bigint" ? member.toString() : member));
  }
}

function streamOf(body: unknown): Readable | undefined {
  if (typeof body !== "object" || body === null || body instanceof Uint8Array) return undefined;
  if (body instanceof Readable) return body;
  if (body instanceof ReadableStream) return Readable.fromWeb(body as ReadableStream<Uint8Array>);
  return Symbol.asyncIterator in body ? Readable.from(body as AsyncIterable<unknown>) : undefined;
}

async function pump(way: Way, status: number, head: Head, stream: Readable): Promise<void> {
  const { outgoing } = way;
  outgoing.once("close", () => stream.destroy());
  // After the client left, nobody else hears of an error.
  stream.on("error", () => {});
  const begin = (): void => void outgoing.writeHead(status, head.finish());
  let over = false;
  if (way.incoming.method === "HEAD") {
    stream.destroy();
    begin();
    return void outgoing.end();
  }
  if (head.type.startsWith("text/event-stream"))
    way.endless(() => {
      over = true;
      stream.destroy();
    });
  try {
    for await (const chunk of stream as AsyncIterable<string | Uint8Array>) {
      if (outgoing.destroyed || outgoing.writableEnded) return;
      // Only now: what fails before its first piece is still answered as an error.
      if (!outgoing.headersSent) begin();
      if (!outgoing.write(chunk)) await drained(way);
    }
  } catch (error) {
    if (!outgoing.destroyed && !over) throw error;
  }
  if (outgoing.destroyed || outgoing.writableEnded) return;
  if (!outgoing.headersSent) begin();
  outgoing.end();
  if (outgoing.writableLength > 0) limitStall(way);
}

/** Until the client took what is written, or left. */
function drained(way: Way): Promise<void> {
  const { outgoing } = way;
  const { socket } = outgoing;
  limitStall(way);
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off("drain", done);
      outgoing.off("close", done);
      if (way.incoming.httpVersionMajor === 1) socket?.setTimeout(0);
      resolve();
    };
    outgoing.on("drain", done);
    outgoing.on("close", done);
  });
}

/** The socket's own timer knows progress: it looks at what the kernel took. When it rings, node ends the connection. */
function limitStall({ incoming, outgoing, stalledTimeoutMs }: Way): void {
  if (incoming.httpVersionMajor === 1) outgoing.socket?.setTimeout(stalledTimeoutMs);
  else outgoing.setTimeout(stalledTimeoutMs, () => void outgoing.destroy());
}

/** The plain answer of an error: a code and a sentence; its headers say when to come again, or what is allowed. */
export function refusal(error: unknown): Required<Reply> & { readonly status: number } {
  const known = told(error);
  const details = coded(error).details;
  const headers: Record<string, string> = {};
  if (known.status === 503 || known.status === 429) {
    const afterMs = Number(details?.["retryAfterMs"]);
    headers["retry-after"] = String(afterMs > 0 ? Math.ceil(afterMs / 1_000) : 1);
  }
  if (known.status === 405) headers["allow"] = String(details?.["allow"] ?? "");
  const body = { error: { code: known.code, message: known.message } };
  return reply({ status: known.status, headers, body }) as Required<Reply> & { readonly status: number };
}

/** For a socket whose bytes were no request: no ServerResponse exists. */
export function rawRefusal(status: number, reason: string, code: string, message: string): string {
  const body = JSON.stringify({ error: { code, message } });
  return `HTTP/1.1 ${status} ${reason}\r\ncontent-type: ${jsonType}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`;
}
