/**
 * The framed transport over any duplex stream: four bytes of length, then that many bytes, in both directions.
 *
 *     const framed = new Framed(socket, limits, { frame(bytes) {...}, closed(error) {...} });
 *     framed.send(bytes);  framed.pause();  framed.resume();  framed.end();
 *
 * Incremental: what arrives is kept in the pieces it came in, so that a length that is only claimed costs nothing. A frame
 * that began has to be whole in `frameTimeoutMs`, however its bytes drip; between frames a peer may be silent for ever.
 * Frames sent in one turn of the event loop leave as one write. `closed` is told once, also when the peer just left.
 */
import type { Duplex } from "node:stream";
import { ThriftError } from "./errors.ts";
import type { Limits } from "./limits.ts";

export interface FrameListener {
  frame(bytes: Buffer): void;
  /** The peer can send again: `blocked` has turned false. */
  drained?(): void;
  /** No frame will follow. undefined: the stream ended between two frames. */
  closed(error: Error | undefined): void;
}

const lingerMs = 500;

export class Framed {
  readonly #stream: Duplex;
  readonly #limits: Limits;
  readonly #listener: FrameListener;
  #pieces: Buffer[] = [];
  #held = 0;
  #wanted = -1;
  #paused = false;
  #working = false;
  #corked = false;
  #closed = false;
  #ended = false;
  /** Runs while a frame is half here and we read. */
  #overdue: NodeJS.Timeout | undefined;

  constructor(stream: Duplex, limits: Limits, listener: FrameListener) {
    this.#stream = stream;
    this.#limits = limits;
    this.#listener = listener;
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("drain", () => listener.drained?.());
    stream.on("error", (error) => this.#close(error));
    stream.on("end", () => {
      this.#ended = true;
      this.#finish();
    });
    stream.on("close", () =>
      this.#close(this.#ended ? undefined : new ThriftError("PROTOCOL", "the connection was lost")),
    );
  }

  /** Bytes handed over, but not yet taken by the peer. */
  get unsent(): number {
    return this.#stream.writableLength;
  }

  get blocked(): boolean {
    return this.#stream.writableNeedDrain;
  }

  send(bytes: Buffer): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#stream.cork();
      process.nextTick(() => {
        this.#corked = false;
        this.#stream.uncork();
      });
    }
    const head = Buffer.allocUnsafe(4);
    head.writeInt32BE(bytes.length);
    this.#stream.write(head);
    this.#stream.write(bytes);
  }

  /** No frame is given out until resume(); what is in the stream stays there. */
  pause(): void {
    this.#paused = true;
    // What is missing may lie in the stream: that we do not read it is not the peer's fault.
    this.#rest();
    this.#stream.pause();
  }

  resume(): void {
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#work();
    if (!this.#paused && !this.#closed) {
      this.#stream.resume();
      if (this.#ended) this.#finish();
    }
  }

  /**
   * Sends what was given to send(), then closes. Reads on for a moment, without listening: a socket that is closed with
   * bytes unread resets the connection, and the peer would lose our last answer.
   */
  end(): void {
    if (this.#stream.destroyed || this.#stream.writableEnded) return;
    this.#closed = true;
    this.#rest();
    this.#pieces = [];
    this.#stream.resume();
    this.#stream.end();
    const linger = setTimeout(() => this.#stream.destroy(), lingerMs).unref();
    this.#stream.once("close", () => clearTimeout(linger));
  }

  destroy(): void {
    this.#stream.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    this.#pieces.push(chunk);
    this.#held += chunk.length;
    this.#work();
  }

  #work(): void {
    // A listener may pause and resume while it is told of a frame: only the outermost call goes on.
    if (this.#working) return;
    this.#working = true;
    try {
      while (!this.#paused && !this.#closed) {
        if (this.#wanted < 0) {
          if (this.#held < 4) break;
          const length = this.#take(4).readInt32BE();
          if (length <= 0 || length > this.#limits.messageBytes) {
            this.#close(
              new ThriftError(
                length > 0 ? "TOO_LARGE" : "PROTOCOL",
                `a frame of ${length} bytes; 1 to ${this.#limits.messageBytes} are allowed. Does the peer speak framed Thrift?`,
              ),
            );
            break;
          }
          this.#wanted = length;
        }
        if (this.#held < this.#wanted) break;
        const frame = this.#take(this.#wanted);
        this.#wanted = -1;
        this.#rest();
        this.#listener.frame(frame);
      }
    } finally {
      this.#working = false;
    }
    if (this.#begun && !this.#paused && !this.#closed) this.#watch();
  }

  /** Some of a frame is here. */
  get #begun(): boolean {
    return this.#held > 0 || this.#wanted >= 0;
  }

  #watch(): void {
    const { frameTimeoutMs } = this.#limits;
    this.#overdue ??= setTimeout(
      () => this.#close(new ThriftError("PROTOCOL", `a frame that began is not whole after ${frameTimeoutMs} ms`)),
      frameTimeoutMs,
    ).unref();
  }

  #rest(): void {
    clearTimeout(this.#overdue);
    this.#overdue = undefined;
  }

  #take(size: number): Buffer {
    this.#held -= size;
    const first = this.#pieces[0] as Buffer;
    if (first.length > size) {
      this.#pieces[0] = first.subarray(size);
      return first.subarray(0, size);
    }
    if (first.length === size) {
      this.#pieces.shift();
      return first;
    }
    const all = Buffer.concat(this.#pieces);
    this.#pieces = all.length > size ? [all.subarray(size)] : [];
    return all.subarray(0, size);
  }

  /** The peer ended: what is complete was given out; a piece of a frame is a loss. While paused, resume() comes here. */
  #finish(): void {
    if (this.#paused) return;
    this.#close(this.#begun ? new ThriftError("PROTOCOL", "the connection ended inside a frame") : undefined);
  }

  #close(error: Error | undefined): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#rest();
    this.#pieces = [];
    this.#held = 0;
    this.#listener.closed(error);
  }
}
