/**
 * A connection that is kept open from here, to be called over: the side of a reverse connection that nobody can connect to
 * (the other: interfaces/rpc.ts).
 *
 *     const dial = new Dial({ address: "shop.example.org:7100", me, keyOf, handlers });
 *     await dial.open();      // open, or tried in vain once
 *     await dial.close();     // BYE, what runs is answered, closed (`retire` when another takes its place)
 *
 *     connect, prove --> open --BYE or end--> pause --> connect ...
 *            `---------- failed ---------------^
 *
 * Both sides prove their names, by keys that both have, and say every 15 s that they are alive, so that one that was cut
 * without a word is noticed within a minute. A pause is 50 to 100 ms at first and doubles to 5 s with each
 * connection that fails or does not last. When the other side says BYE (a changed configuration, a restart), the old
 * connection is served a little longer, so that there is always one to call over while the new one opens. Why there is none
 * is an event `problem`, once for each reason.
 */
import { connect, type NetConnectOpts, type Socket } from "node:net";
import { isAbsolute } from "node:path";
import { coded, Unavailable } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { limits } from "../rpc/limits.ts";
import { type Handlers, Session } from "../rpc/session.ts";
import type { Instance, KeptStatus } from "./engine.ts";
import { Pause } from "./pause.ts";

export interface DialOptions {
  readonly address: string;
  readonly me: Instance;
  readonly keyOf: KeyOf;
  readonly handlers: Handlers;
}

/** One attempt in so long costs nobody anything, and is as long as an operator waits without wondering. */
const longestPauseMs = 5_000;
/** Several times the first pause and a round trip around the world: by then a new connection is open, or none will be soon. */
const lingerMs = 750;

export class Dial {
  readonly #options: DialOptions;
  /** Open ones, each with its goodbye when that was begun: the old and the new for a moment, else one. */
  readonly #open = new Map<Session, Promise<void> | undefined>();
  #socket: Socket | undefined;
  #closed = false;
  readonly #pause = new Pause(longestPauseMs);
  #reported = "";
  #why = "";

  constructor(options: DialOptions) {
    this.#options = options;
  }

  get status(): KeptStatus {
    const open = [...this.#open.keys()].some((session) => !session.ended && !session.leaving);
    return { address: this.#options.address, open, why: open ? "" : this.#why };
  }

  /** Resolves when the first attempt has ended, well or not. */
  open(): Promise<void> {
    // It lives on: whatever request is current must not be kept by it.
    return new Promise((tried) => outside(() => void this.#keep(tried)));
  }

  /** As `close`, but it is served a little longer: when another one has opened in its place, no call meets neither. */
  async retire(): Promise<void> {
    this.#leave();
    if (this.#open.size > 0) await new Promise((resolve) => setTimeout(resolve, lingerMs).unref());
    await this.close();
  }

  async close(): Promise<void> {
    this.#leave();
    await Promise.all([...this.#open.keys()].map((session) => this.#hangUp(session)));
  }

  /** At once: what runs is not waited for. */
  stop(): void {
    this.#leave();
    for (const session of this.#open.keys()) session.close();
  }

  #leave(): void {
    this.#closed = true;
    this.#socket?.destroy(new Unavailable("this side stopped dialling"));
    this.#pause.end();
  }

  async #keep(tried: () => void): Promise<void> {
    while (!this.#closed) {
      const startedAt = performance.now();
      try {
        await this.#connect(tried);
      } catch (error) {
        tried();
        this.#report(error);
      }
      if (this.#pause.ended(startedAt)) this.#reported = "";
      if (!this.#closed) await this.#pause.over();
    }
  }

  /** Resolves when another one is needed because the peer leaves; rejects when there is none, or it was lost. */
  async #connect(opened: () => void): Promise<void> {
    const { address, me, keyOf, handlers } = this.#options;
    const where = addressOf(address);
    if (where === undefined) throw new Unavailable(`${address} is no address`);
    const socket = connect({ ...where, noDelay: true });
    this.#socket = socket;
    await connected(socket);
    const session = new Session(socket, { me, side: "dialled", keyOf, beatMs: limits.beatMs }, handlers);
    // It may be refused after the peer's own proof was good, so this says more than `ready`.
    const used = new Promise<void>((resolve, reject) => {
      session.onLeaving = () => {
        setTimeout(() => void this.#hangUp(session), lingerMs).unref();
        resolve();
      };
      session.onEnd = (why) => {
        this.#open.delete(session);
        reject(why);
      };
    });
    await Promise.race([session.ready, used]);
    this.#socket = undefined;
    if (!session.ended) this.#open.set(session, undefined);
    if (this.#closed) await this.#hangUp(session);
    opened();
    await used;
  }

  #hangUp(session: Session): Promise<void> {
    const begun = this.#open.get(session);
    if (begun !== undefined) return begun;
    const done = session.drain().then(() => session.close());
    if (this.#open.has(session)) this.#open.set(session, done);
    return done;
  }

  #report(thrown: unknown): void {
    const error = coded(thrown);
    this.#why = error.message;
    if (this.#closed || error.message === this.#reported) return;
    this.#reported = error.message;
    events.emit("problem", { what: `dialling ${this.#options.address} (it is tried again and again)`, error });
  }
}

/** Of "host:port", "[::1]:port" or an absolute path that fits into a socket's address; undefined for anything else. */
export function addressOf(text: string): NetConnectOpts | undefined {
  if (isAbsolute(text)) return Buffer.byteLength(text) <= 107 ? { path: text } : undefined;
  const [, six, name, digits] = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  const host = six ?? name;
  return host !== undefined && port >= 1 && port <= 65_535 ? { host, port } : undefined;
}

/** A firewall that drops what it does not like answers nothing, for minutes. */
function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => socket.destroy(new Unavailable(`nobody answered within ${limits.helloMs} ms`)),
      limits.helloMs,
    ).unref();
    const fail = (cause: Error) => {
      clearTimeout(late);
      reject(
        cause instanceof Unavailable ? cause : new Unavailable(`it cannot be reached (${cause.message})`, { cause }),
      );
    };
    socket.once("error", fail);
    socket.once("connect", () => {
      clearTimeout(late);
      socket.off("error", fail);
      resolve();
    });
  });
}
