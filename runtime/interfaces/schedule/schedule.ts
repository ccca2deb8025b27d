/**
 * The schedule interface: time asks. Each firing is a request, with its deadline, on the generation that is current.
 *
 *     interfaces: {
 *       nightly: { protocol: "schedule", cron: "0 3 * * *", timeZone: "Europe/Stockholm", answers: { fire: "reports.build()" } },
 *       tick: { protocol: "schedule", every: "30s", overlap: "queue" },          // cages/NAME/tick.ts exports fire()
 *     }
 *
 * Firings follow the wall clock (times.ts) and never come in a burst: however many were missed while the machine slept or
 * its clock was moved forward, there is one to make up for them. A clock that is moved back a little is waited for; one
 * moved back by more than a minute begins anew. A firing that is due while the last one's work still runs is skipped, or
 * with `overlap: "queue"` follows it, once.
 *
 * Of several processes of a cage only the first fires, and of nodes that share memory (engine "nats") one, which leads:
 * another takes over within 6 s of its loss. `everywhere: true` is for what each node has to do itself, and without shared
 * memory each node fires. Who takes a place makes up for a firing that was due while nobody fired, if that is less than a
 * minute ago. A firing is claimed before its work begins: it is done once or, if its node is lost meanwhile, in part or not.
 *
 * A reload that leaves the configuration alone changes nothing of this; a changed schedule takes the place of the old one
 * with the swap.
 */
import { z } from "../../../lib/schema.ts";
import { CageError } from "../../errors.ts";
import { events } from "../../health/events.ts";
import { outside, type Request } from "../../request/request.ts";
import { answerWith, checkFields } from "../answers.ts";
import type { Handler, Interface, InterfaceHost, InterfaceProtocol } from "../interface.ts";
import { type Times, timesOf } from "./times.ts";

const options = z
  .strictObject({
    /** Five fields, six with seconds before them, or a name: @daily. */
    cron: z.string().optional(),
    /** "30s", "15m", "12h" or milliseconds. */
    every: z.union([z.string(), z.number()]).optional(),
    timeZone: z.string().min(1).default("UTC"),
    overlap: z.enum(["skip", "queue"]).default("skip"),
    /** On each node that has the cage, instead of one of them. */
    everywhere: z.boolean().default(false),
  })
  .superRefine((when, context) => {
    const issue = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if ((when.cron === undefined) === (when.every === undefined)) return issue([], "say either cron or every");
    try {
      timesOf(when);
    } catch (error) {
      issue([when.cron === undefined ? "every" : "cron"], (error as Error).message);
    }
  });

export type ScheduleOptions = z.output<typeof options>;

export interface Clock {
  /** The wall's, in ms since 1970. */
  now(): number;
  /** Calls back once, so much later on the monotonic clock; returns how to cancel that. */
  after(ms: number, callback: () => void): () => void;
}

const wall: Clock = {
  now: Date.now,
  after(ms, callback) {
    const timer = outside(() => setTimeout(callback, ms).unref());
    return () => clearTimeout(timer);
  },
};

/** The wall clock moves on its own, and timers do not while a machine sleeps: it is looked at this often. */
const lookEveryMs = 10_000;
/** A clock moved back by less is being set right, and what fired does not fire again. */
const smallMs = 60_000;

export class Schedule implements Interface {
  readonly url = undefined;
  readonly #options: ScheduleOptions;
  readonly #times: Times;
  readonly #host: InterfaceHost;
  readonly #clock: Clock;
  #next: number | undefined;
  #last: number | undefined;
  #lookedAt = 0;
  #skipped = 0;
  #cancel: (() => void) | undefined;
  #busy = false;
  #queued = false;
  #stopped = false;
  #claimed: Promise<void> = Promise.resolve();
  #served: Promise<void> = Promise.resolve();

  constructor(chosen: ScheduleOptions, host: InterfaceHost, clock: Clock = wall) {
    this.#options = chosen;
    this.#times = timesOf(chosen);
    this.#host = host;
    this.#clock = clock;
  }

  get status(): Readonly<Record<string, string | number | null>> {
    const shown = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
    return { next: shown(this.#next), last: shown(this.#last), skipped: this.#skipped };
  }

  async start(): Promise<void> {
    this.#lookedAt = this.#clock.now();
    this.#next = this.#times.next(this.#host.since ?? this.#lookedAt);
    this.#arm();
  }

  async drain(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
    await this.#claimed;
    await this.#served;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancel?.();
  }

  #arm(): void {
    if (this.#next === undefined || this.#stopped) return;
    const waitMs = Math.max(1, Math.min(lookEveryMs, this.#next - this.#clock.now()));
    this.#cancel = this.#clock.after(waitMs, () => this.#look());
  }

  #look(): void {
    const now = this.#clock.now();
    const due = this.#next as number;
    if (now >= due) {
      this.#next = this.#times.next(now);
      // Before the swap it does not serve yet, and after the one that replaced it no more.
      if (this.#host.named) this.#claim(now);
    } else if (now < this.#lookedAt - smallMs) this.#next = this.#times.next(now);
    this.#lookedAt = now;
    this.#arm();
  }

  #claim(now: number): void {
    const claimed = this.#host.claim(now);
    const fire = (mine: boolean) => {
      if (mine) this.#fire(now);
    };
    if (typeof claimed === "boolean") return fire(claimed);
    this.#claimed = claimed.then(fire, (error) =>
      events.emit("problem", { what: `a firing of ${this.#host.name} that was not claimed, and is not done`, error }),
    );
  }

  #fire(now: number): void {
    if (this.#busy && this.#options.overlap === "queue") this.#queued = true;
    else if (this.#busy) {
      this.#skipped++;
      events.emit("log", {
        level: "warn",
        message: `${this.#host.name}: a firing was skipped, because the last one's work still runs`,
        fields: { interface: this.#host.name },
      });
    } else {
      this.#last = now;
      this.#busy = true;
      void this.#run();
    }
  }

  /** Busy until the work is done, which may be after its deadline released who waited for it. */
  async #run(): Promise<void> {
    let work: Promise<unknown> | undefined;
    const served = this.#host.serve({ label: "fire" }, (module, request) => (work = this.#work(module, request)));
    // What it threw is in the event of its request.
    const quiet = () => {};
    this.#served = served.then(quiet, quiet);
    await this.#served;
    await work?.then(quiet, quiet);
    this.#busy = false;
    if (!this.#queued) return;
    this.#queued = false;
    if (!this.#stopped && this.#host.named) this.#fire(this.#clock.now());
  }

  async #work(module: Handler, request: Request): Promise<unknown> {
    const own = module["fire"];
    if (typeof own === "function") return (await own()) as unknown;
    const answer = this.#host.answers.get("fire");
    if (answer !== undefined) return await answerWith(answer, [], request);
    throw new CageError(
      "NOT_FOUND",
      `nothing is done when ${this.#host.name} fires; export fire(), or say answers: { fire }`,
    );
  }
}

export const schedule: InterfaceProtocol<ScheduleOptions> = {
  protocol: "schedule",
  once: true,
  led: ({ everywhere }) => !everywhere,
  options: options as unknown as z.ZodType<ScheduleOptions>,
  create: (chosen, host) => new Schedule(chosen, host),
  validate(module, _, answers) {
    if (typeof module["fire"] !== "function" && !answers?.has("fire"))
      throw new CageError(
        "LOAD",
        "the module of a schedule exports fire(), or its configuration has answers: { fire }",
      );
  },
  checkName(name, answer) {
    if (name !== "fire") throw new CageError("CONFIG", `a schedule asks for 'fire' only, not '${name}'`);
    checkFields(answer, []);
  },
};
