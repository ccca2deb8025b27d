/**
 * The open connections of an interface: how many there are (in all, and of one client), what each still owes, and how
 * they end when the interface drains.
 *
 *     socket accepted -> counted -> (TLS handshake) -> Connection: requests in turn, or an HTTP/2 session of streams
 *
 * An answer that would go on for ever (server-sent events) is ended, so that its client comes again.
 * A connection that is owed an answer closes with it (a reset would be a lost request). One that was idle for a while
 * closes at once; one that was busy a moment ago may carry a request this very moment, so it is let be idle first.
 */
import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest, ServerHttp2Session } from "node:http2";
import { Server as NetServer, type Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { Numbered } from "../../../lib/numbered.ts";
import type { Options } from "./options.ts";
import { clientOf, type Peers, plain } from "./peers.ts";

/** A connection idle for so long is not about to ask: clients under load ask again within milliseconds. */
const quietMs = 400;
/** One that was at it when the drain began asks again soon, and is told then; on a machine that is starved, not very soon. */
const busyMs = 2_000;

/** Resets of an HTTP/2 client that cancels what it asks, faster than answers can be made (CVE-2023-44487). */
const maxResets = 200;
const resetsPerSecond = 20;

export interface Owed {
  /** Which of its connection's, from 1. */
  readonly number: number;
  /** Whoever asked left. */
  left(): void;
  /** The interface drains: an answer that would never end by itself ends. */
  drain(): void;
}

export class Connection {
  readonly address: string;
  readonly trusted: boolean;
  readonly secure: boolean;
  readonly owed = new Numbered<Owed>();
  readonly end: () => void;
  newest: Owed | undefined;
  idleSince = performance.now();
  asked = 0;
  /** An answer that is owed or sent ends it: what is asked after that was never taken. */
  ending = false;

  constructor(socket: { remoteAddress?: string | undefined }, peers: Peers, secure: boolean, end: () => void) {
    this.address = plain(socket.remoteAddress ?? "");
    this.trusted = peers.trusts(this.address);
    this.secure = secure;
    this.end = end;
  }

  done(owed: Owed): void {
    this.owed.delete(owed.number);
    // An idle connection must not hold what it was asked last.
    if (this.newest === owed) this.newest = undefined;
    if (this.owed.size === 0) this.idleSince = performance.now();
  }

  closed(): void {
    for (const each of this.owed.values()) each.left();
  }
}

export class Connections {
  readonly #server: NetServer;
  readonly #options: Options;
  readonly #peers: Peers;
  readonly #sockets = new Set<Socket>();
  readonly #perClient = new Map<string, number>();
  readonly #byKey = new Map<object, Connection>();
  draining = false;

  constructor(server: NetServer, options: Options, peers: Peers) {
    this.#server = server;
    this.#options = options;
    this.#peers = peers;
    server.maxConnections = options.maxConnections;
    server.on("connection", (socket: Socket) => this.#accepted(socket));
    if (options.tls === undefined) return;
    server.on("secureConnection", (socket: TLSSocket) => {
      if (socket.alpnProtocol !== "h2") this.#opened(socket, true, () => socket.end());
    });
    server.on("session", (session: ServerHttp2Session) => this.#session(session));
  }

  #accepted(socket: Socket): void {
    const address = plain(socket.remoteAddress ?? "");
    const client = clientOf(address);
    const count = (this.#perClient.get(client) ?? 0) + 1;
    if (count > this.#options.maxConnectionsPerAddress && !this.#peers.trusts(address)) return void socket.destroy();
    this.#perClient.set(client, count);
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      const left = (this.#perClient.get(client) ?? 1) - 1;
      if (left > 0) this.#perClient.set(client, left);
      else this.#perClient.delete(client);
    });
    if (this.#options.tls === undefined) this.#opened(socket, false, () => socket.end());
  }

  #opened(socket: Socket, secure: boolean, end: () => void): void {
    const connection = new Connection(socket, this.#peers, secure, end);
    this.#byKey.set(socket, connection);
    socket.once("close", () => {
      this.#byKey.delete(socket);
      connection.closed();
    });
  }

  #session(session: ServerHttp2Session): void {
    const connection = new Connection(session.socket, this.#peers, true, () => session.close());
    this.#byKey.set(session, connection);
    session.once("close", () => {
      this.#byKey.delete(session);
      connection.closed();
    });
    // Nothing moves on it: it is idle, or its client takes nothing. A handler that works is bounded by its deadline.
    session.setTimeout(Math.max(this.#options.idleTimeoutMs, this.#options.stalledTimeoutMs), () => {
      if (connection.owed.size === 0) session.destroy();
    });
    let resets = 0;
    let since = performance.now();
    session.on("stream", (stream) => {
      stream.once("aborted", () => {
        const at = performance.now();
        resets = Math.max(0, resets - ((at - since) / 1_000) * resetsPerSecond) + 1;
        since = at;
        if (resets > maxResets) session.destroy(undefined, 11 /* ENHANCE_YOUR_CALM */);
      });
    });
  }

  /** Undefined: it closed before its request was looked at. */
  of(incoming: IncomingMessage): Connection | undefined {
    if (incoming.httpVersionMajor === 1) return this.#byKey.get(incoming.socket);
    const { session } = (incoming as unknown as Http2ServerRequest).stream;
    return session && this.#byKey.get(session);
  }

  /** Resolves when every connection is gone. */
  async drain(): Promise<void> {
    this.draining = true;
    // Not http's own close: that ends every connection which is idle this instant.
    const closed = new Promise<void>((resolve) => NetServer.prototype.close.call(this.#server, () => resolve()));
    const since = performance.now();
    const closeIdle = (): void => {
      const now = performance.now();
      for (const [key, { owed, idleSince, end }] of this.#byKey) {
        const patienceMs = idleSince < since - quietMs ? quietMs : busyMs;
        if ("goaway" in key || (owed.size === 0 && now - idleSince > patienceMs)) end();
      }
    };
    closeIdle();
    for (const { owed } of this.#byKey.values()) for (const each of owed.values()) each.drain();
    const sweep = setInterval(closeIdle, quietMs / 4);
    await closed;
    clearInterval(sweep);
  }

  destroyAll(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
