/**
 * One process of the list, watched from here: a connection on which it says every 400 ms that it is there.
 *
 *     greet --> there --3 beats missed, leaving, closed--> pause --> greet ...
 *        `------- failed (once an event `problem`) ---------^
 *
 * A pause is 50 to 100 ms at first and doubles to 2 s with each failure. Who looks for it ends the pause, and waits for the
 * attempt, unless one has just failed or it took long to: a host that drops what it gets must not hold up every call.
 */
import type { TLSSocket } from "node:tls";
import { coded, Unavailable } from "../../errors.ts";
import { events } from "../../health/events.ts";
import { outside } from "../../request/request.ts";
import type { Instance } from "../engine.ts";
import { Pause } from "../pause.ts";
import { beatMs } from "./door.ts";
import type { Identity } from "./identity.ts";
import { type Greeted, knock, type Listed, nameOf } from "./knock.ts";
import { here, readLine, type Wanted } from "./line.ts";

export interface PeerOptions {
  readonly listed: Listed;
  readonly me: Required<Instance>;
  readonly identity: Identity;
  came(listed: Listed): void;
  went(listed: Listed): void;
}

const longestPauseMs = 2_000;
const beatsMissed = 3;
/** Between attempts that callers ask for: a call that finds nobody is repeated at once by some. */
const askedMs = 50;
/** A host that is there refuses or answers sooner; a longer attempt is not waited for again. */
const patienceMs = 300;

export class Peer {
  readonly #options: PeerOptions;
  readonly #pause = new Pause(longestPauseMs);
  #there = false;
  #why: Error | undefined;
  #failedAt = Number.NEGATIVE_INFINITY;
  #slow = false;
  #watched: TLSSocket | undefined;
  /** Not greeted yet, for sessions. */
  readonly #opening = new Set<TLSSocket>();
  #stopped = false;
  #reported = "";
  /** Of the attempt under way, or the next one. */
  #attempt = decision();

  constructor(options: PeerOptions) {
    this.#options = options;
  }

  get listed(): Listed {
    return this.#options.listed;
  }

  /** Resolves when the first attempt has ended. */
  start(): Promise<void> {
    const { promise } = this.#attempt;
    // It lives on: whatever request is current must not be kept by it.
    outside(() => void this.#watch());
    return promise;
  }

  /** Resolves when it is there; rejects with UNAVAILABLE. */
  async look(): Promise<void> {
    if (this.#there) return;
    const recent = performance.now() - this.#failedAt < askedMs;
    if (this.#why === undefined || !(recent || this.#slow)) {
      const { promise } = this.#attempt;
      this.#pause.end();
      await promise;
    }
    if (!this.#there) throw this.#why ?? new Unavailable("this side stopped");
  }

  /** It came to this node by itself. */
  wake(): void {
    this.#failedAt = Number.NEGATIVE_INFINITY;
    this.#slow = false;
    this.#pause.end();
  }

  /** A connection for a session. Rejects as soon as the peer is gone: beats may tell it before an answer fails to come. */
  async open(): Promise<TLSSocket> {
    if (!this.#there) throw this.#why ?? new Unavailable(`${nameOf(this.listed)} is gone`);
    let opening: TLSSocket | undefined;
    try {
      const { socket, here } = await this.#knock("calls", (begun) => {
        opening = begun;
        this.#opening.add(begun);
      });
      if (!here.leaving) return socket;
      socket.destroy();
      throw new Unavailable(`${nameOf(this.listed)} is leaving`);
    } finally {
      if (opening !== undefined) this.#opening.delete(opening);
    }
  }

  stop(): void {
    this.#stopped = true;
    this.#watched?.destroy();
    this.#hangUp("this side stopped");
    this.#pause.end();
  }

  #hangUp(why: string): void {
    for (const socket of this.#opening) socket.destroy(new Unavailable(why));
  }

  #knock(wants: Wanted["wants"], begun?: (socket: TLSSocket) => void): Promise<Greeted> {
    const { listed, me, identity } = this.#options;
    return knock(listed, identity, { cage: me.cage, process: me.process, wants }, begun);
  }

  async #watch(): Promise<void> {
    while (!this.#stopped) {
      const startedAt = performance.now();
      try {
        await this.#listen();
      } catch (error) {
        this.#failed(error as Error, performance.now() - startedAt);
      }
      this.#decided();
      this.#pause.ended(startedAt);
      if (!this.#stopped) await this.#pause.over();
    }
    this.#decided();
  }

  /** Resolves when it had been there, and is no more. */
  async #listen(): Promise<void> {
    const { socket } = await this.#knock("beats", (begun) => {
      this.#watched = begun;
      if (this.#stopped) begun.destroy();
    });
    // Counted, not timed: a turn of our own event loop that takes a minute is one beat.
    let missed = 0;
    const beating = setInterval(() => missed++ >= beatsMissed && socket.destroy(), beatMs).unref();
    try {
      for (;;) {
        const heard = await readLine(socket, here);
        if ("refused" in heard) throw new Unavailable(`${nameOf(this.listed)} refuses this node: ${heard.refused}`);
        if (heard.leaving) return;
        missed = 0;
        this.#came();
      }
    } catch (error) {
      if (!this.#there) throw error;
    } finally {
      clearInterval(beating);
      socket.destroy();
      this.#went();
    }
  }

  #came(): void {
    if (this.#there) return;
    this.#there = true;
    this.#slow = false;
    this.#reported = "";
    this.#options.came(this.listed);
    this.#decided();
  }

  #went(): void {
    if (!this.#there) return;
    this.#there = false;
    // What was wrong before it came.
    this.#why = undefined;
    this.#hangUp("it fell silent, or left");
    this.#options.went(this.listed);
  }

  #failed(why: Error, tookMs: number): void {
    this.#slow = tookMs > patienceMs;
    this.#failedAt = performance.now();
    this.#why = why;
    // Where nobody listens nobody runs, and that is no fault.
    if (this.#stopped || isAbsent(why) || why.message === this.#reported) return;
    this.#reported = why.message;
    const what = `joining ${nameOf(this.listed)} (it is tried again and again)`;
    events.emit("problem", { what, error: coded(why) });
  }

  #decided(): void {
    const { resolve } = this.#attempt;
    this.#attempt = decision();
    resolve();
  }
}

const isAbsent = ({ cause }: Error): boolean => (cause as NodeJS.ErrnoException | undefined)?.code === "ECONNREFUSED";

function decision() {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}
