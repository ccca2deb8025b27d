/**
 * A connection of two instances through messages that may be lost: a Duplex, over which a session speaks (rpc/session.ts).
 *
 *     message = kind (1 byte) + number (u32, little endian) + bytes
 *
 *     OPEN     0              who dials; answered by ACCEPT or RESET
 *     ACCEPT   0
 *     DATA     1, 2, 3 ...    a piece of the stream: what was written in one turn of the event loop, cut to `pieceBytes`
 *     CREDIT   bytes taken since the beginning (modulo 2^32): so much and a window more may be sent
 *     END      as DATA        no more follows
 *     RESET    0              it is over; the bytes are why
 *
 * Promises: what arrives is what was sent, each byte once and in order, or the tunnel ends with an error: a gap in the
 * numbers, a repeated one, or more than a window ends it. A message that was the last is missed by the session's beats.
 * Bytes that were not taken are at most a window at either side: beyond it writes wait, as on a socket.
 */
import { Duplex } from "node:stream";
import { CageError, Unavailable } from "../../errors.ts";

export const messages = { open: 0, accept: 1, data: 2, credit: 3, end: 4, reset: 5 } as const;

/**
 * Of each direction. A server cuts off a client for which 64 MiB wait: a hundred peers that all send at once may, and
 * 512 KiB per round trip are 10 MB/s around the world.
 */
export const windowBytes = 512 * 1024;
/** Small beside the window and the server's max_payload (1 MiB by default): calls of others pass between two pieces. */
const longestPiece = 64 * 1024;
/** Told in quarters: a message for each would cost as much as what it confirms. */
const tellBytes = windowBytes / 4;
const headBytes = 5;
const longestReason = 1_024;

export interface TunnelOptions {
  send(message: Uint8Array): void;
  /** The server's limit. */
  readonly maxPayload: number;
  readonly onClose: () => void;
}

export function message(kind: number, number = 0, text = ""): Buffer {
  const body = Buffer.from(text.slice(0, longestReason));
  const bytes = Buffer.allocUnsafe(headBytes + body.length);
  bytes[0] = kind;
  bytes.writeUInt32LE(number, 1);
  body.copy(bytes, headBytes);
  return bytes;
}

/** 32 bits, as they travel. */
const wrapped = (number: number): number => number >>> 0;

export class Tunnel extends Duplex {
  readonly #options: TunnelOptions;
  readonly #pieceBytes: number;
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #scheduled = false;
  #sentNumber = 0;
  #takenNumber = 0;
  /** Bytes since the beginning, modulo 2^32. */
  #sent = 0;
  #credited = 0;
  #received = 0;
  #told = 0;
  /** Whoever wrote waits for credit. */
  #written: (() => void) | undefined;
  #ending: (() => void) | undefined;
  #heardAt = performance.now();
  #accepted: () => void = () => {};
  #refused: (error: Error) => void = () => {};
  /** The peer ended it, or knows nothing of it: there is nobody to tell. */
  #over = false;
  /** Resolves when the other side accepted it; rejects when it ends before. */
  readonly accepted: Promise<void>;

  constructor(options: TunnelOptions) {
    super({ allowHalfOpen: false });
    this.#options = options;
    this.#pieceBytes = Math.min(longestPiece, options.maxPayload - headBytes);
    this.accepted = new Promise((resolve, reject) => {
      this.#accepted = resolve;
      this.#refused = reject;
    });
    this.accepted.catch(() => {});
    // It may end before a session listens; whoever opens it hears why from `accepted`.
    this.on("error", () => {});
  }

  get silentMs(): number {
    return performance.now() - this.#heardAt;
  }

  /** Asks the other side to accept it. */
  begin(): void {
    this.#options.send(message(messages.open));
  }

  accept(): void {
    this.#options.send(message(messages.accept));
  }

  /** A message of this tunnel; `bytes` are kept as they are. */
  receive(bytes: Buffer): void {
    if (this.destroyed) return;
    this.#heardAt = performance.now();
    if (bytes.length < headBytes) return this.#broken(`a message of ${bytes.length} bytes`);
    const number = bytes.readUInt32LE(1);
    switch (bytes[0]) {
      case messages.accept:
        return this.#accepted();
      case messages.data:
        return this.#take(number, bytes.subarray(headBytes));
      case messages.credit:
        this.#credited = number;
        return this.#flush();
      case messages.end:
        if (number === wrapped(++this.#takenNumber)) return void this.push(null);
        return this.#gap(number);
      case messages.reset:
        this.#over = true;
        return void this.destroy(new Unavailable(bytes.subarray(headBytes).toString()));
      default:
        return this.#broken(`a message of kind ${bytes[0]}`);
    }
  }

  /** Ends it without a word to the other side, which could not be told, or said so itself. */
  cut(why: Error): void {
    this.#over = true;
    this.destroy(why);
  }

  #take(number: number, bytes: Buffer): void {
    if (number !== wrapped(++this.#takenNumber)) return this.#gap(number);
    this.#received = wrapped(this.#received + bytes.length);
    if (wrapped(this.#received - this.#told) > windowBytes) return this.#broken("more than the window");
    this.push(bytes);
    this.#tell();
  }

  #gap(number: number): void {
    this.destroy(
      new Unavailable(
        `message ${number} came in place of ${wrapped(this.#takenNumber)}: some were lost, or came twice`,
      ),
    );
  }

  #broken(what: string): void {
    this.destroy(new CageError("PROTOCOL", `the peer sent ${what}`));
  }

  #tell(): void {
    const taken = wrapped(this.#received - this.readableLength);
    if (wrapped(taken - this.#told) < tellBytes) return;
    this.#told = taken;
    this.#options.send(message(messages.credit, taken));
  }

  get #room(): number {
    return windowBytes - wrapped(this.#sent - this.#credited);
  }

  /** All of a turn leave as one message: each costs the server, and both ends, as much as several calls. */
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#pendingBytes > 0 && this.#room > 0 && !this.destroyed) this.#sendPiece();
    if (this.#pendingBytes > 0) return;
    const written = this.#written;
    this.#written = undefined;
    written?.();
    this.#finish();
  }

  #sendPiece(): void {
    const length = Math.min(this.#pieceBytes, this.#room, this.#pendingBytes);
    const bytes = Buffer.allocUnsafe(headBytes + length);
    bytes[0] = messages.data;
    bytes.writeUInt32LE(wrapped(++this.#sentNumber), 1);
    let at = headBytes;
    let taken = 0;
    while (at < bytes.length) {
      const chunk = this.#pending[taken] as Buffer;
      const copied = chunk.copy(bytes, at);
      at += copied;
      if (copied === chunk.length) taken++;
      else this.#pending[taken] = chunk.subarray(copied);
    }
    this.#pending.splice(0, taken);
    this.#pendingBytes -= length;
    this.#sent = wrapped(this.#sent + length);
    this.#options.send(bytes);
  }

  #finish(): void {
    if (this.#ending === undefined || this.destroyed) return;
    this.#options.send(message(messages.end, wrapped(++this.#sentNumber)));
    this.#ending();
    this.#ending = undefined;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this._writev([{ chunk }], done);
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) {
      this.#pending.push(chunk);
      this.#pendingBytes += chunk.length;
    }
    if (this.#pendingBytes >= this.#pieceBytes) this.#flush();
    else this.#schedule();
    if (this.#pendingBytes < this.#room) done();
    else this.#written = done;
  }

  override _final(done: () => void): void {
    this.#ending = done;
    this.#flush();
  }

  override _read(): void {
    // It is called before what is read leaves the buffer, and then not again until more came.
    if (this.readableLength > 0) process.nextTick(() => !this.destroyed && this.#tell());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const whole = this.readableEnded && this.writableFinished;
    if (!whole && !this.#over) this.#options.send(message(messages.reset, 0, error?.message ?? "the peer closed it"));
    this.#pending = [];
    this.#refused(error ?? new Unavailable("it was closed"));
    this.#options.onClose();
    done(error);
  }
}
