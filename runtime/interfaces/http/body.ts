/**
 * The body of a request: read whole into memory (bounded in bytes and time) and interpreted by its type, or handed on as
 * a stream with backpressure. Neither ends the connection when it refuses: the refusal is still to be sent on it.
 */
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { Readable } from "node:stream";
import { CageError } from "../../errors.ts";
import { alarmAt, dismiss } from "../../request/deadline.ts";
import { now, type Request } from "../../request/request.ts";

export function hasBody(incoming: IncomingMessage): boolean {
  if (incoming.httpVersionMajor === 2) return !(incoming as unknown as Http2ServerRequest).stream.endAfterHeaders;
  const { headers } = incoming;
  return headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;
}

/** Throws TOO_LARGE for a length that was declared; what is sent without one is counted as it comes. */
export function checkLength(incoming: IncomingMessage, maxBytes: number): void {
  if (Number(incoming.headers["content-length"] ?? 0) > maxBytes) throw tooLarge(maxBytes);
}

const tooLarge = (maxBytes: number): CageError =>
  new CageError("TOO_LARGE", `the body is larger than ${maxBytes} bytes`);

const left = (cause?: unknown): CageError =>
  new CageError("CANCELLED", "the client went away before its body was read", { cause });

/** Rejects with TOO_LARGE, EXPIRED (as 408: the client was slow, not we) or CANCELLED. */
export function readWhole(
  incoming: IncomingMessage,
  request: Request,
  limits: { maxBytes: number; timeoutMs: number },
): Promise<Buffer> {
  const { maxBytes, timeoutMs } = limits;
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const stop = (error: CageError): void => {
      dismiss(alarm);
      forget();
      incoming.off("data", take);
      incoming.pause();
      chunks.length = 0;
      reject(error);
    };
    const take = (chunk: Buffer): void => {
      bytes += chunk.length;
      if (bytes > maxBytes) stop(tooLarge(maxBytes));
      else chunks.push(chunk);
    };
    const late = () =>
      stop(new CageError("EXPIRED", `the body did not arrive within ${timeoutMs} ms`, { status: 408 }));
    const alarm = alarmAt(now() + timeoutMs, late);
    // Once a request was answered before its body had come, node tells nobody that the rest will not: without this the
    // wait, and the slot with it, would have no end.
    const forget = request.onStop(stop);
    incoming.on("data", take);
    incoming.once("end", () => {
      dismiss(alarm);
      forget();
      resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, bytes));
    });
    incoming.once("error", (error) => stop(left(error)));
    incoming.once("close", () => stop(left()));
  });
}

/** JSON as its value, a form as a record, text as a string, all else as bytes. Throws BAD_INPUT. */
export function interpreted(incoming: IncomingMessage, body: Buffer): unknown {
  const encoding = incoming.headers["content-encoding"];
  if (encoding !== undefined && encoding !== "identity")
    throw new CageError("BAD_INPUT", `the body is encoded as ${encoding}; send it plain`, { status: 415 });
  const type = (incoming.headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "application/json") {
    try {
      return JSON.parse(body.toString("utf8")) as unknown;
    } catch (cause) {
      throw new CageError("BAD_INPUT", "the body is not JSON", { cause });
    }
  }
  if (type === "application/x-www-form-urlencoded")
    return Object.fromEntries(new URLSearchParams(body.toString("utf8")));
  return type.startsWith("text/") ? body.toString("utf8") : body;
}

/** What comes, as it is read: the socket is paused while nobody reads. `begin` runs at the first read. */
export class BodyStream extends Readable {
  readonly #incoming: IncomingMessage;
  #begin: (() => void) | undefined;

  constructor(incoming: IncomingMessage, maxBytes: number, begin?: () => void) {
    super();
    this.#incoming = incoming;
    this.#begin = begin;
    // Whoever reads hears of it; a handler that does not read must not end the process.
    this.on("error", () => {});
    // Of such a one there may be no end to wait for (incoming.ts).
    if (!hasBody(incoming)) {
      this.push(null);
      return;
    }
    let bytes = 0;
    incoming.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) this.destroy(tooLarge(maxBytes));
      else if (!this.push(chunk)) incoming.pause();
    });
    incoming.pause();
    incoming.once("end", () => this.push(null));
    incoming.once("error", (error) => this.destroy(left(error)));
    incoming.once("close", () => {
      if (!incoming.readableEnded) this.destroy(left());
    });
  }

  override _read(): void {
    this.#begin?.();
    this.#begin = undefined;
    this.#incoming.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#incoming.removeAllListeners("data");
    this.#incoming.pause();
    done(error);
  }
}
