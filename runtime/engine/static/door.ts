/**
 * Where other nodes come in: one listening address of this process, TLS with both certificates, and a greeting.
 *
 *     connection -- certificate of the authority? -- node in the list? -- greeting --> beats: kept, and told who is here
 *                                                                               `---> calls: given away, for a session
 *
 * Who is refused is told why as far as it is somebody (a node of the authority), and is an event `problem`, once a reason.
 */
import type { Socket } from "node:net";
import { createServer, type Server, type TLSSocket } from "node:tls";
import { CageError, coded } from "../../errors.ts";
import { events } from "../../health/events.ts";
import type { Instance } from "../engine.ts";
import { type Identity, provenBy, whyOf } from "./identity.ts";
import { alpn, greetMs } from "./knock.ts";
import { type Here, lineOf, readLine, wanted } from "./line.ts";

export interface DoorOptions {
  readonly identity: Identity;
  readonly here: { readonly cage: string; readonly process: number };
  /** Why a node may not come in; undefined when it may. */
  refusal(node: string): string | undefined;
  /** It came: it is there. */
  met(from: Required<Instance>): void;
  accept(stream: TLSSocket, from: Instance): void;
}

/** With three missed a cut link is known within 1.6 s, and calls go elsewhere within 2. */
export const beatMs = 400;
/** Of one process: a hundred instances that call each other both ways, and beat, need four hundred. */
const mostConnections = 4_096;
/** Who comes to an open port may bring a new reason each time. */
const mostReasons = 100;

export class Door {
  readonly #options: DoorOptions;
  readonly #server: Server;
  /** Those that want to hear beats, and those that have not greeted yet. */
  readonly #told = new Set<TLSSocket>();
  readonly #strangers = new Set<TLSSocket>();
  /** Given away, for sessions. */
  readonly #callers = new Set<TLSSocket>();
  readonly #reported = new Set<string>();
  readonly #beating: NodeJS.Timeout;
  #leaving = false;

  constructor(options: DoorOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...options.identity.context,
        minVersion: "TLSv1.3",
        requestCert: true,
        // Refused by `#greet`, with a sentence: node itself would close the connection without a word, and tell nobody.
        rejectUnauthorized: false,
        ALPNProtocols: [alpn],
        handshakeTimeout: greetMs,
        noDelay: true,
      },
      (socket) => void this.#greet(socket),
    );
    this.#server.maxConnections = mostConnections;
    this.#server.on("tlsClientError", (error: NodeJS.ErrnoException, socket) => {
      // It left in the middle; that is no fault.
      if (error.code !== "ECONNRESET") this.#report(socket.remoteAddress, whyOf(error));
    });
    this.#beating = setInterval(() => this.#beat(), beatMs).unref();
  }

  /** To be listened on; an address is the caller's business. */
  get server(): Server {
    return this.#server;
  }

  /** For connections from now on. */
  renew(): void {
    this.#server.setSecureContext(this.#options.identity.context);
    this.#reported.clear();
  }

  /** Says that this instance leaves; what is open stays. */
  drain(): void {
    this.#leaving = true;
    this.#server.close();
    this.#beat();
  }

  /**
   * Resolves when those who called have read the last words of their sessions, which were closed before: what TCP has not
   * delivered when a process ends is lost, and with it that a call was never begun. A session waits half a second at most.
   */
  async stop(): Promise<void> {
    this.#server.close();
    clearInterval(this.#beating);
    for (const socket of [...this.#told, ...this.#strangers]) socket.destroy();
    await Promise.all([...this.#callers].map((socket) => new Promise((closed) => socket.once("close", closed))));
  }

  async #greet(socket: TLSSocket): Promise<void> {
    this.#strangers.add(socket);
    socket.on("error", () => {});
    const late = setTimeout(() => socket.destroy(), greetMs).unref();
    try {
      if (socket.alpnProtocol !== alpn) throw new CageError("PROTOCOL", "it does not speak as a node does");
      const node = provenBy(socket);
      const refused = this.#options.refusal(node);
      if (refused !== undefined) throw new CageError("FORBIDDEN", refused);
      socket.write(this.#line);
      const { cage, process, wants } = await readLine(socket, wanted);
      if (wants === "beats") this.#keep(socket);
      else if (this.#leaving) socket.destroy();
      else this.#give(socket, { node, cage });
      this.#options.met({ node, cage, process });
    } catch (error) {
      const { code, message } = coded(error);
      // Others left in the middle.
      if (code === "FORBIDDEN" || code === "PROTOCOL") this.#report(socket.remoteAddress, message);
      socket.end(lineOf({ refused: message }));
      socket.resume();
    } finally {
      clearTimeout(late);
      this.#strangers.delete(socket);
    }
  }

  #keep(socket: TLSSocket): void {
    this.#told.add(socket);
    socket.on("close", () => this.#told.delete(socket));
    // It has nothing more to say, and its end has to be heard.
    socket.resume();
    socket.write(this.#line);
  }

  #give(socket: TLSSocket, from: Instance): void {
    this.#callers.add(socket);
    socket.on("close", () => this.#callers.delete(socket));
    this.#options.accept(socket, from);
  }

  get #line(): string {
    const said: Here = { ...this.#options.here, leaving: this.#leaving };
    return lineOf(said);
  }

  #beat(): void {
    const line = this.#line;
    // One that does not read misses its beats, and comes again.
    for (const socket of this.#told) if (socket.writableLength === 0) socket.write(line);
  }

  #report(address: Socket["remoteAddress"], why: string): void {
    if (this.#reported.has(why) || this.#reported.size >= mostReasons) return;
    this.#reported.add(why);
    const error = new CageError("FORBIDDEN", why);
    events.emit("problem", { what: `a connection from ${address ?? "a node"} was refused`, error });
  }
}
