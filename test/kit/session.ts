/** Two sessions over a real unix socket, and a peer made by hand, for tests of the wire. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Frame, Framer, kinds } from "../../runtime/rpc/frame.ts";
import { type KeyOf, nonceBytes, prove, type Side, speech } from "../../runtime/rpc/hello.ts";
import { type Handlers, Session, type SessionOptions } from "../../runtime/rpc/session.ts";

export const keyOf: KeyOf = (cage) => Buffer.from(`the key of ${cage}`);
export const carry = {
  remainingMs: 5_000,
  trace: { id: "0".repeat(32), span: "1".repeat(16) },
  logLevel: "info",
} as const;
const quiet: Handlers = { serve: async () => undefined, event: () => {} };

export function deferred<T>() {
  let resolve!: (value: T) => void;
  const promise = new Promise<T>((done) => (resolve = done));
  return { promise, resolve };
}

export function bytesOf(framer: Framer, ...frames: readonly Frame[]): Buffer {
  for (const frame of frames) framer.encode(frame);
  return framer.take();
}

export interface Pair {
  readonly caller: Session;
  readonly callee: Session;
  /** The caller's end. */
  readonly socket: Socket;
}

/** What tests opened; call `end` after each. */
export class Sessions {
  readonly #open: (() => void)[] = [];

  end(): void {
    for (const close of this.#open.splice(0)) close();
  }

  /** A server of unix sockets that gives away each connection. */
  async #listen(accepted: (socket: Socket) => void): Promise<string> {
    const folder = mkdtempSync(join(tmpdir(), "session-"));
    const server: Server = createServer((socket) => {
      this.#open.push(() => socket.destroy());
      accepted(socket);
    });
    await new Promise<void>((listening) => server.listen(join(folder, "s"), listening));
    this.#open.push(() => {
      server.close();
      rmSync(folder, { recursive: true, force: true });
    });
    return join(folder, "s");
  }

  async pair(
    callee: Partial<Handlers>,
    caller: Partial<Handlers> = {},
    options: { readonly callee?: Partial<SessionOptions>; readonly caller?: Partial<SessionOptions> } = {},
  ): Promise<Pair> {
    const accepted = deferred<Session>();
    const path = await this.#listen((socket) =>
      accepted.resolve(
        new Session(socket, { ...of("callee", "accepted"), ...options.callee }, { ...quiet, ...callee }),
      ),
    );
    const socket = connect(path);
    const session = new Session(socket, { ...of("caller", "dialled"), ...options.caller }, { ...quiet, ...caller });
    this.#open.push(() => session.close());
    return { caller: session, callee: await accepted.promise, socket };
  }

  /** A session, and at the other end a peer made by hand that has proven itself and does what it is told. */
  async byHand(
    handlers: Partial<Handlers> = {},
    by: { readonly cage?: string; readonly proof?: Uint8Array } = {},
  ): Promise<ByHand> {
    const accepted = deferred<Socket>();
    const path = await this.#listen(accepted.resolve);
    const socket = connect(path);
    const session = new Session(socket, of("us", "dialled"), { ...quiet, ...handlers });
    this.#open.push(() => session.close());
    const peer = await accepted.promise;
    peer.on("error", () => {});
    const [writer, reader] = [new Framer(), new Framer()];
    const me = { node: "n", cage: by.cage ?? "hand" };
    const nonce = new Uint8Array(nonceBytes);
    peer.write(bytesOf(writer, [kinds.hello, speech.version, speech.features, me, nonce]));
    const theirs = await new Promise<Uint8Array>((resolve) =>
      peer.once("data", (chunk: Buffer) =>
        reader.decode(chunk, (frame) => frame[0] === kinds.hello && resolve(frame[4])),
      ),
    );
    const proving = { by: me, side: "accepted", to: "us", nonces: { by: nonce, to: theirs } } as const;
    peer.write(bytesOf(writer, [kinds.proof, by.proof ?? prove(proving, keyOf)]));
    return { session, socket, peer, say: (...frames) => void peer.write(bytesOf(writer, ...frames)), reader };
  }
}

export interface ByHand {
  readonly session: Session;
  /** The session's end, and the peer's. */
  readonly socket: Socket;
  readonly peer: Socket;
  say(...frames: readonly Frame[]): void;
  readonly reader: Framer;
}

const of = (cage: string, side: Side): SessionOptions => ({ me: { node: "n", cage }, side, keyOf });
