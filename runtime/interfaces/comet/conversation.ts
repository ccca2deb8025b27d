/**
 * The application's side of one session: connect, then each packet, then disconnect, in that order and one at a time,
 * each as a request of its own on the generation that is current at that moment. So a reload changes the code under a
 * session and drops neither it nor a packet.
 *
 *     cages/chat/comet.ts      export function connect(session) { session.data.name = "guest"; }
 *                              export function message(session, text) { session.send(text); }
 *                              export function disconnect(session, reason) {}
 *
 * All three are optional; a `connect` or `disconnect` that a module lacks takes no place in the queue. The session object
 * outlives generations: what an application keeps in `data` is plain data, never a function or an instance of its own
 * classes, or the generation that made it is never collected.
 *
 * A packet that asks by a path of the configuration's `answers` (question.ts) is answered to its sender, refusals
 * included; all others are `message`'s.
 *
 * A client that falls silent, or does not read, cancels what runs for it. One that says goodbye has its last packets
 * handled, since it sent them with that; what it asked is cancelled, since it will read no answer.
 *
 * A packet refused by a full queue waits and is tried again; one whose handler threw ends the session, because the
 * client believes that it was taken: it starts anew and asks for what it lacks.
 */
import { limits } from "../../../lib/csp/limits.ts";
import { type Packed, pack } from "../../../lib/csp/packet.ts";
import type { EndReason, Session } from "../../../lib/csp/session.ts";
import { CageError } from "../../errors.ts";
import { outside, type Request } from "../../request/request.ts";
import type { Handler, InterfaceHost } from "../interface.ts";
import { answerTo, noQuestion, type Question, questionIn, refusalTo } from "./question.ts";

/** What a cage's `connect`, `message` and `disconnect` are given. */
export interface CometSession {
  /** For logs and maps. Not the key, which is a secret between client and server. */
  readonly id: string;
  /** The page's origin; undefined for programs. */
  readonly origin: string | undefined;
  /** The application's own, kept for the session's life. */
  readonly data: Record<string, unknown>;
  /** Bytes that may be sent before the client counts as slow and is disconnected. */
  readonly room: number;
  /** Queues one packet. False when the session has ended. */
  send(text: string): boolean;
  close(): void;
}

// A message to many is the same string many times: what it looks like on the wire is worked out once. One slot is
// enough, because a fan-out is one synchronous loop.
let lastText = "";
let lastPacked: Packed = pack("");

export function packOnce(text: string): Packed {
  if (text !== lastText) {
    lastPacked = pack(text);
    lastText = text;
  }
  return lastPacked;
}

const firstWaitMs = 20;
const longestWaitMs = 1_000;

const gone = "the client went away";

type Step = { readonly call: "connect" | "disconnect" } | { readonly call: "message"; readonly text: string };

export class Conversation {
  readonly #host: InterfaceHost;
  readonly #session: Session;
  readonly #from: string;
  readonly #handle: CometSession;
  #steps: Step[] = [{ call: "connect" }];
  #reason: EndReason | undefined;
  #running = false;
  /** What runs now, and whether it is a question. */
  #request: Request | undefined;
  #asking = false;
  #settled: (() => void)[] = [];

  constructor(
    host: InterfaceHost,
    session: Session,
    { id, origin, from }: { readonly id: string; readonly origin: string | undefined; readonly from: string },
  ) {
    this.#host = host;
    this.#from = from;
    this.#session = session;
    this.#handle = {
      id,
      origin,
      data: {},
      get room() {
        return session.room;
      },
      send: (text) => session.send(packOnce(text)),
      close: () => session.close("server"),
    };
    void this.#run();
  }

  ready(): boolean {
    return this.#steps.length < limits.maxInboxPackets;
  }

  message(text: string): void {
    this.#add({ call: "message", text });
  }

  ended(reason: EndReason): void {
    this.#reason = reason;
    const silent = reason === "timeout" || reason === "slow";
    if (silent || (reason === "client" && this.#asking)) this.#request?.cancel(gone);
    this.#add({ call: "disconnect" });
  }

  /** Resolves when everything so far has been handled. */
  settled(): Promise<void> {
    return this.#running ? new Promise((resolve) => this.#settled.push(resolve)) : Promise.resolve();
  }

  #add(step: Step): void {
    this.#steps.push(step);
    // A session may end in the middle of some request's send: what follows is not that request's.
    if (!this.#running) outside(() => void this.#run());
  }

  async #run(): Promise<void> {
    this.#running = true;
    for (let step = this.#steps.shift(); step !== undefined; step = this.#steps.shift()) await this.#take(step);
    this.#running = false;
    for (const resolve of this.#settled.splice(0)) resolve();
  }

  async #take(step: Step): Promise<void> {
    const question = step.call === "message" ? this.#question(step.text) : undefined;
    if (question !== undefined) return await this.#ask(question);
    const args = step.call === "message" ? [step.text] : step.call === "disconnect" ? [this.#reason] : [];
    for (let waitMs = firstWaitMs; ; waitMs = Math.min(waitMs * 2, longestWaitMs)) {
      let began = false;
      try {
        if (step.call !== "message" && this.#lacks(step.call)) return;
        await this.#host.serve({ label: step.call, from: this.#from }, (module: Handler, request) => {
          began = true;
          this.#request = request;
          const handler = module[step.call];
          if (typeof handler === "function") return handler(this.#handle, ...args) as unknown;
          if (step.call === "message" && this.#host.answers.size > 0) this.#handle.send(noQuestion);
        });
        return;
      } catch (error) {
        // Refused by the queue, or too long in it: it has not run, so it may be tried again.
        const { code } = error as { code?: unknown };
        if (!began && (code === "OVERLOADED" || code === "EXPIRED")) {
          await new Promise((resolve) => setTimeout(resolve, waitMs).unref());
          continue;
        }
        // Nothing more of this session would make sense to the application; its disconnect still follows.
        if (step.call !== "disconnect") {
          this.#steps = this.#steps.filter((later) => later.call === "disconnect");
          this.#session.close("server");
        }
        return;
      } finally {
        this.#request = undefined;
      }
    }
  }

  /** Then a full queue does not keep a question waiting behind a `connect` that nobody wrote. */
  #lacks(call: "connect" | "disconnect"): boolean {
    const module = this.#host.peek();
    return module === undefined ? this.#host.answers.size > 0 : typeof module[call] !== "function";
  }

  /** A path that nothing answers is a question too, unless the module takes what is none. */
  #question(text: string): Question | undefined {
    const { answers } = this.#host;
    const question = answers.size > 0 ? questionIn(text) : undefined;
    if (question === undefined || answers.has(question.path)) return question;
    return typeof this.#host.peek()?.["message"] === "function" ? undefined : question;
  }

  async #ask(question: Question): Promise<void> {
    if (this.#reason !== undefined) return;
    this.#asking = true;
    try {
      const answer = await this.#host.serve({ label: "ask", from: this.#from }, (_, request) => {
        this.#request = request;
        if (this.#reason !== undefined) throw new CageError("CANCELLED", gone);
        return answerTo(question, this.#host.answers, request);
      });
      this.#handle.send(answer);
    } catch (error) {
      this.#handle.send(refusalTo(question, error));
    }
    this.#asking = false;
    this.#request = undefined;
  }
}
