/**
 * The engine: the caller's side of all there is to call. Contract: engine.ts.
 *
 * The processes of this host are reached over unix sockets (local.ts), those of other hosts over what joins them, if
 * anything does (beyond.ts): a call within the host never leaves it, so nothing outside can hold it up. A session to each is
 * dialled on first use and kept; which of them gets a call is balance.ts's business, wherever they are. Who runs here is
 * looked at again after half a second. Cages that dialled in (`adopt`) are called over their own connection, and this one
 * is where it dials (dial.ts). What is published goes to the processes of this host over their sessions, and beyond it
 * once. `kv` is one lossy SQLite file for all processes of the host, or what is beyond has one for all hosts.
 */
import type { Socket } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { pack } from "../../lib/pack.ts";
import { CageError, coded, Unavailable } from "../errors.ts";
import { outside, type Target } from "../request/request.ts";
import { Balance, type Peer, type PeerState } from "../rpc/balance.ts";
import { isThrownThere } from "../rpc/error.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { limits } from "../rpc/limits.ts";
import { type Handlers, Session, type SessionOptions } from "../rpc/session.ts";
import { isStream } from "../rpc/stream.ts";
import type { Beyond, Far } from "./beyond.ts";
import { Dial } from "./dial.ts";
import type { Answered, Carry, Engine, Instance, Kept, Line, Serve, Stop } from "./engine.ts";
import { Local, type LocalOptions } from "./local.ts";
import { Memory } from "./memory.ts";

export interface JoinedOptions extends LocalOptions {
  readonly me: Instance;
  readonly stateDir: string;
  /** Keys that prove who is who on this host; one's own among them. */
  readonly keyOf: KeyOf;
  /** What joins this host with others; asked at the start. */
  readonly beyond?: () => Promise<Beyond | undefined>;
}

export class Joined implements Engine {
  readonly #options: JoinedOptions;
  readonly #dialled = new Map<string, Promise<Session>>();
  /** Those that came to be, for a quick look. */
  readonly #greeted = new Map<string, Session>();
  readonly #accepted = new Set<Session>();
  readonly #local: Local;
  #beyond: Beyond | undefined;
  readonly #balance = new Balance<Place>();
  readonly #places = new Map<string, readonly Place[]>();
  readonly #farPlaces = new WeakMap<readonly Far[], readonly Place[]>();
  #seenAt = Number.NEGATIVE_INFINITY;
  /** When the connection to a place was lost; for a moment. */
  readonly #lost = new Map<string, number>();
  /** Those that dialled in, by cage. */
  readonly #adopted = new Map<string, readonly Place[]>();
  #adoptions = 0;
  readonly #dials = new Set<Dial>();
  #started = false;
  readonly #repeatable = new Map<string, { readonly at: number; readonly paths: ReadonlySet<string> }>();
  readonly #subscriptions = new Map<string, Subscription>();
  #serve: Serve = async () => {
    throw new CageError("UNAVAILABLE", "this process serves no calls");
  };
  #memory: Memory | undefined;

  constructor(options: JoinedOptions) {
    this.#options = options;
    this.#local = new Local(options);
  }

  async start(serve: Serve): Promise<void> {
    this.#serve = serve;
    if (this.#options.listen === undefined) return;
    this.#started = true;
    for (const dial of this.#dials) dial.open();
    await this.#local.start(this.#options.me, (socket) => this.#accept(socket, {}, this.#handlers));
    // Last: who hears of this instance may call it at once.
    const beyond = await this.#options.beyond?.();
    await beyond?.start({
      accept: (stream, from) => this.#accept(stream, { proven: from, beatMs: limits.farBeatMs }, this.#farHandlers),
      event: (from, pattern, data) => this.#tell(pattern, from, data),
      there: (far) => this.#balance.revive((key) => key === keyOf(far)),
    });
    this.#beyond = beyond;
    for (const [pattern, subscription] of this.#subscriptions) subscription.leave = beyond?.subscribe(pattern);
  }

  #accept(stream: Duplex, options: Partial<SessionOptions>, handlers: Handlers): void {
    const { me, keyOf } = this.#options;
    const session = new Session(stream, { me, side: "accepted", keyOf, ...options }, handlers);
    this.#accepted.add(session);
    session.onEnd = () => this.#accepted.delete(session);
  }

  async discover(cage?: string): Promise<readonly Instance[]> {
    const dialledIn = [...this.#adopted.values()].flat().filter((place) => this.#open(place) !== undefined);
    // With the way down, those beyond it do not answer.
    await this.#beyond?.look().catch(() => {});
    const all = [...this.#local.registered(), ...dialledIn, ...(this.#beyond?.instances() ?? [])];
    return all
      .map(({ node, cage, process }) => ({ node, cage, process }))
      .filter((instance) => cage === undefined || instance.cage === cage);
  }

  adopt(line: Line): () => void {
    const { node, cage } = line.peer as Instance;
    const others = this.#adopted.get(cage) ?? [];
    const taken = new Set(others.filter((other) => other.node === node).map(({ process }) => process));
    let process = 1;
    while (taken.has(process)) process++;
    // A key of its own for each: what was held against one that is gone is not held against the next.
    const place: Place = { key: `${cage}#dialled in ${++this.#adoptions}`, node, cage, process, line };
    this.#adopted.set(cage, [...others, place]);
    return () => {
      const rest = (this.#adopted.get(cage) ?? []).filter((other) => other !== place);
      if (rest.length > 0) this.#adopted.set(cage, rest);
      else this.#adopted.delete(cage);
    };
  }

  async dial(address: string): Promise<Kept> {
    const { me, keyOf } = this.#options;
    const dial = new Dial({ address, me, keyOf, handlers: this.#farHandlers });
    this.#dials.add(dial);
    if (this.#started) await dial.open();
    return {
      get status() {
        return dial.status;
      },
      close: async () => {
        await dial.retire();
        this.#dials.delete(dial);
      },
    };
  }

  call(to: Target, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    const at = performance.now();
    const places = this.#placesOf(to, at);
    if (places.length === 0) return this.#callUnlisted(to, path, args, carry, stop);
    const [only] = places;
    const session = only !== undefined && places.length === 1 ? this.#open(only) : undefined;
    if (only !== undefined && session !== undefined && to.via !== "all")
      return this.#ask(only, session, at, path, args, carry, stop);
    return this.#callAmong(places, to, path, args, carry, stop);
  }

  #callAmong(
    places: readonly Place[],
    to: Target,
    path: string,
    args: readonly unknown[],
    carry: Carry,
    stop?: Stop,
  ): Promise<unknown> {
    if (to.via === "all") return this.#everywhere(places, path, args, carry, stop);
    return this.#balance.call(places, (place, stop) => this.#send(place, path, args, carry, stop), {
      stop,
      hedgeMs: to.hedgeMs,
      once: args.some(isStream),
      repeatable: () => this.#isRepeatable(to.cage, path, carry),
    });
  }

  /** It may have begun on another node this moment; or it starts on this one, and its first process is tried. */
  async #callUnlisted(to: Target, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    const { node } = this.#options.me;
    const looked = this.#beyond?.look(to).then(
      () => undefined,
      (error) => error as CageError,
    );
    const down = await unless(stop, Promise.resolve(looked));
    const found = this.#placesOf(to);
    if (found.length > 0) return await this.#callAmong(found, to, path, args, carry, stop);
    if (to.node !== undefined && to.node !== node)
      throw (
        down ??
        new CageError(
          "NO_SUCH_CAGE",
          this.#beyond === undefined
            ? `${to.cage} on node ${to.node}: the local engine joins one node only, and who dialled in to it`
            : `${to.cage} does not run on node ${to.node}, or that node is not there; start it there with ./cage start ${to.cage}`,
        )
      );
    try {
      return await this.#callAmong([this.#placeOf(to.cage, 1)], to, path, args, carry, stop);
    } catch (error) {
      throw down !== undefined && coded(error).code === "NO_SUCH_CAGE" ? down : error;
    }
  }

  /** One promise from here to the answer: each costs a tenth of a call. */
  #ask(
    place: Place,
    session: Line,
    at: number,
    path: string,
    args: readonly unknown[],
    carry: Carry,
    stop?: Stop,
  ): Promise<unknown> {
    return new Promise<unknown>((resolve, reject) => {
      const attempt = this.#balance.begin(place, at);
      session.ask(path, args, carry, stop, {
        resolve(value) {
          attempt.answered();
          resolve(value);
        },
        reject: (thrown) => {
          const failed = (error: unknown): void => {
            attempt.failed(error);
            reject(error);
          };
          if (!hasMoved(place, thrown, args, stop)) return failed(thrown);
          this.#sendOnce(place, path, args, carry, stop).then((value) => {
            attempt.answered();
            resolve(value);
          }, failed);
        },
      });
    });
  }

  async #send(place: Place, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    try {
      return await this.#sendOnce(place, path, args, carry, stop);
    } catch (error) {
      if (!hasMoved(place, error, args, stop)) throw error;
      return await this.#sendOnce(place, path, args, carry, stop);
    }
  }

  #sendOnce(place: Place, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    const session = this.#open(place);
    if (session !== undefined) return session.call(path, args, carry, stop);
    if (place.line !== undefined)
      return Promise.reject(new Unavailable(`${place.cage}, which dialled in here, has left; ask again`));
    return unless(stop, this.#session(place)).then((greeted) => greeted.call(path, args, carry, stop));
  }

  async #everywhere(
    places: readonly Place[],
    path: string,
    args: readonly unknown[],
    carry: Carry,
    stop?: Stop,
  ): Promise<readonly Answered<unknown>[]> {
    if (args.some(isStream))
      throw new CageError("BAD_INPUT", "a stream can be taken once, and so not be sent to all instances");
    return await Promise.all(
      places.map(async (place) => {
        const { node, process } = place;
        try {
          return { node, process, ok: true, value: await this.#send(place, path, args, carry, stop) };
        } catch (error) {
          return { node, process, ok: false, error: coded(error) };
        }
      }),
    );
  }

  /** As its api says; asked of the cage itself, for only the types of another cage are known here. */
  async #isRepeatable(cage: string, path: string, carry: Carry): Promise<boolean> {
    const now = performance.now();
    let known = this.#repeatable.get(cage);
    if (known === undefined || now - known.at > repeatableMs) {
      const described = (await this.call({ cage }, "self.describe", [], carry).catch(() => undefined)) as
        | { readonly functions: readonly { readonly path: string; readonly idempotent: boolean }[] }
        | undefined;
      const functions = described?.functions.filter(({ idempotent }) => idempotent) ?? [];
      known = { at: now, paths: new Set(functions.map((each) => each.path)) };
      if (described !== undefined) this.#repeatable.set(cage, known);
    }
    return known.paths.has(path);
  }

  revive(cage: string): void {
    this.#seenAt = Number.NEGATIVE_INFINITY;
    this.#repeatable.delete(cage);
    this.#balance.revive((key) => key.startsWith(`${cage}#`));
  }

  peers(): readonly PeerState[] {
    return this.#balance.states();
  }

  /** Where a cage can be called, as far as is known. */
  #placesOf({ cage, node }: Target, now = performance.now()): readonly Place[] {
    if (now - this.#seenAt > seenMs) {
      this.#seenAt = now;
      this.#places.clear();
      for (const { cage, process } of this.#local.registered())
        this.#places.set(cage, [...(this.#places.get(cage) ?? []), this.#placeOf(cage, process)]);
    }
    const here = this.#kept(this.#places.get(cage) ?? none);
    const dialledIn = this.#adopted.get(cage)?.filter((place) => this.#open(place) !== undefined) ?? none;
    const far = this.#farPlacesOf(cage);
    const all = dialledIn.length + far.length === 0 ? here : [...here, ...dialledIn, ...far];
    return node === undefined ? all : all.filter((place) => place.node === node);
  }

  /** One that was lost this moment may be listed still, and a call to it would wait for its next process. */
  #kept(places: readonly Place[]): readonly Place[] {
    if (this.#lost.size === 0) return places;
    const now = performance.now();
    for (const [key, at] of this.#lost) if (now - at > seenMs) this.#lost.delete(key);
    const kept = places.filter(({ key }) => !this.#lost.has(key));
    return kept.length > 0 ? kept : places;
  }

  #farPlacesOf(cage: string): readonly Place[] {
    const instances = this.#beyond?.instances(cage) ?? none;
    if (instances.length === 0) return none;
    let places = this.#farPlaces.get(instances);
    if (places === undefined) {
      places = instances.map((far) => {
        const { node, process } = far;
        return { key: keyOf(far), node, cage, process, far };
      });
      this.#farPlaces.set(instances, places);
    }
    return places;
  }

  #placeOf(cage: string, process: number): Place {
    return { key: `${cage}#${process}`, node: this.#options.me.node, cage, process };
  }

  async publish(subject: string, data: unknown): Promise<void> {
    this.#beyond?.publish(subject, pack(data));
    this.#deliver(this.#options.me, subject, data);
    const { cage: own, process: mine = 1 } = this.#options.me;
    const others = this.#local.registered().filter(({ cage, process }) => cage !== own || process !== mine);
    // At most once: an instance that cannot be reached now is not told, and one that hangs holds up no other.
    await Promise.all(
      others.map(({ cage, process }) =>
        this.#session(this.#placeOf(cage, process)).then(
          (session) => session.publish(subject, data),
          () => {},
        ),
      ),
    );
  }

  subscribe(subject: string, listener: (data: unknown, from: Instance) => void): () => void {
    let row = this.#subscriptions.get(subject);
    if (row === undefined) {
      row = { listeners: new Set(), leave: this.#beyond?.subscribe(subject) };
      this.#subscriptions.set(subject, row);
    }
    const { listeners } = row;
    listeners.add(listener);
    return () => {
      if (!listeners.delete(listener) || listeners.size > 0) return;
      this.#subscriptions.get(subject)?.leave?.();
      this.#subscriptions.delete(subject);
    };
  }

  get kv(): Engine["kv"] {
    if (this.#beyond !== undefined) return this.#beyond.kv;
    this.#memory ??= new Memory(join(this.#options.stateDir, "memory.sqlite"));
    return this.#memory;
  }

  async drain(): Promise<void> {
    this.#local.drain();
    await this.#beyond?.drain();
    await Promise.all([
      ...[...this.#accepted].map((session) => session.drain()),
      ...[...this.#dials].map((dial) => dial.close()),
    ]);
  }

  async stop(): Promise<void> {
    for (const session of this.#accepted) session.close();
    for (const dial of this.#dials) dial.stop();
    this.#local.stop();
    for (const dialled of this.#dialled.values())
      await dialled.then(
        (session) => session.close(),
        () => {},
      );
    await this.#beyond?.stop();
    this.#memory?.close();
  }

  readonly #handlers: Handlers = {
    serve: (from, path, args, carry, stop, send) => this.#serve(from, path, args, carry, stop, send),
    event: (from, subject, data) => this.#deliver(from, subject, data),
  };

  /** What is published crosses hosts by what joins them, and not again by a session. */
  readonly #farHandlers: Handlers = { serve: this.#handlers.serve, event: () => {} };

  #deliver(from: Instance, subject: string, data: unknown): void {
    for (const pattern of this.#subscriptions.keys())
      if (pattern === subject || (pattern.endsWith(".*") && subject.startsWith(pattern.slice(0, -1))))
        this.#tell(pattern, from, data);
  }

  #tell(pattern: string, from: Instance, data: unknown): void {
    for (const listener of this.#subscriptions.get(pattern)?.listeners ?? []) listener(data, from);
  }

  /** The session that is there, if it takes calls: nearly always, and then a call waits for nothing. */
  #open({ key, line }: Place): Line | undefined {
    const session = line ?? this.#greeted.get(key);
    return session !== undefined && !session.ended && !session.leaving ? session : undefined;
  }

  async #session(place: Place): Promise<Session> {
    const { key } = place;
    const known = this.#dialled.get(key);
    if (known !== undefined) {
      const session = await known.catch(() => undefined);
      if (session !== undefined && !session.ended && !session.leaving) return session;
      if (this.#dialled.get(key) === known) this.#dialled.delete(key);
    }
    const again = this.#dialled.get(key);
    if (again !== undefined) return await again;
    // Outside the request that happens to be first: the socket lives on and would pin it.
    const dialled = outside(() => this.#dial(place));
    this.#dialled.set(key, dialled);
    dialled.catch(() => {
      if (this.#dialled.get(key) === dialled) this.#dialled.delete(key);
    });
    return await dialled;
  }

  #dial(place: Place): Promise<Session> {
    const { cage, process, far } = place;
    if (far === undefined)
      return this.#local.connect(cage, process, (socket) => this.#greet(socket, place, {}, this.#handlers));
    const options = { proven: far, beatMs: limits.farBeatMs };
    return (this.#beyond as Beyond).open(far).then((stream) => this.#greet(stream, place, options, this.#farHandlers));
  }

  async #greet(
    stream: Socket | Duplex,
    { cage, key }: Place,
    options: Partial<SessionOptions>,
    handlers: Handlers,
  ): Promise<Session> {
    const { me, keyOf } = this.#options;
    const session = new Session(stream, { me, side: "dialled", expect: cage, keyOf, ...options }, handlers);
    await session.ready;
    this.#lost.delete(key);
    this.#greeted.set(key, session);
    session.onEnd = () => {
      if (!session.leaving) this.#lost.set(key, performance.now());
      if (this.#greeted.get(key) === session) this.#greeted.delete(key);
    };
    return session;
  }
}

/** One process of a cage. */
interface Place extends Peer {
  readonly node: string;
  readonly cage: string;
  /** Of those that dialled in from a node, a number among them. */
  readonly process: number;
  /** It dialled in, and is called over this. */
  readonly line?: Line;
  /** It is on another node. */
  readonly far?: Far;
}

interface Subscription {
  readonly listeners: Set<(data: unknown, from: Instance) => void>;
  leave: (() => void) | undefined;
}

const none: readonly never[] = [];

const keyOf = ({ cage, node, process, id }: Far): string => `${cage}#${node}.${process} ${id}`;

/** Processes come and go with a save of a configuration, or a crash: soon enough to be seen so late. */
const seenMs = 500;
/** What a cage says of its functions changes with a save. */
const repeatableMs = 5_000;

/**
 * The process that was asked was leaving, and began nothing of it: another has its place, on the same socket. (A stream among
 * the arguments can be taken once.)
 */
function hasMoved({ line, far }: Place, error: unknown, args: readonly unknown[], stop: Stop | undefined): boolean {
  const untouched = coded(error).code === "UNAVAILABLE" && !isThrownThere(error);
  return untouched && line === undefined && far === undefined && stop?.stopped === undefined && !args.some(isStream);
}

/** What `work` answers, or why its waiter stopped as soon as it does; `work` goes on for others. */
function unless<T>(stop: Stop | undefined, work: Promise<T>): Promise<T> {
  if (stop === undefined) return work;
  return new Promise((resolve, reject) => {
    const forget = stop.onStop(reject);
    work.then(resolve, reject).finally(forget);
  });
}
