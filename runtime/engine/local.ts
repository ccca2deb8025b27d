/**
 * The engine of one host: unix sockets between processes, nothing to install. Contract: engine.ts.
 *
 * Each process of a cage listens on a socket named by cage and process (the supervisor holds it, so a call made while a
 * worker restarts waits in the kernel instead of failing). A session to each is dialled on first use and kept; which of
 * them gets a call is balance.ts's business. Who runs is a directory: each supervisor keeps one small file beside its
 * socket, looked at again after half a second. Cages that dialled in (`adopt`) are called over their own connection, and
 * this one is where it dials (dial.ts). `kv` is one lossy SQLite file for all processes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { CageError, coded, Unavailable } from "../errors.ts";
import { outside, type Target } from "../request/request.ts";
import { type Attempt, Balance, type Peer, type PeerState } from "../rpc/balance.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { type Handlers, Session } from "../rpc/session.ts";
import { isStream } from "../rpc/stream.ts";
import { Dial } from "./dial.ts";
import type { Answered, Asker, Carry, Engine, Instance, Kept, Line, Serve, Stop } from "./engine.ts";
import { Memory } from "./memory.ts";

export interface LocalOptions {
  readonly me: Instance;
  /** Where the sockets and the registry are. */
  readonly runDir: string;
  readonly stateDir: string;
  socketOf(cage: string, process: number): string;
  /** Keys that prove who is who; one's own among them. */
  readonly keyOf: KeyOf;
  /** Makes the server accept on a unix socket; absent for a client that serves nothing (the CLI). */
  listen?(server: Server, path: string): Promise<void>;
}

export class LocalEngine implements Engine {
  readonly #options: LocalOptions;
  readonly #dialled = new Map<string, Promise<Session>>();
  /** Those that came to be, for a quick look. */
  readonly #greeted = new Map<string, Session>();
  readonly #accepted = new Set<Session>();
  /** Connected, or not even that, and not greeted yet: a hung cage must not hold up who stops waiting for it. */
  readonly #dialling = new Set<Socket>();
  readonly #balance = new Balance<Place>();
  readonly #places = new Map<string, Place[]>();
  #seenAt = Number.NEGATIVE_INFINITY;
  /** Those that dialled in, by cage. */
  readonly #adopted = new Map<string, readonly Place[]>();
  #adoptions = 0;
  readonly #dials = new Set<Dial>();
  #started = false;
  readonly #repeatable = new Map<string, { readonly at: number; readonly paths: ReadonlySet<string> }>();
  readonly #subscriptions = new Map<string, Set<(data: unknown, from: Instance) => void>>();
  #server: Server | undefined;
  #serve: Serve = async () => {
    throw new CageError("UNAVAILABLE", "this process serves no calls");
  };
  #memory: Memory | undefined;

  constructor(options: LocalOptions) {
    this.#options = options;
  }

  async start(serve: Serve): Promise<void> {
    this.#serve = serve;
    if (this.#options.listen === undefined) return;
    this.#started = true;
    for (const dial of this.#dials) dial.open();
    this.#server = createServer((socket) => {
      const session = new Session(
        socket,
        { me: this.#options.me, side: "accepted", keyOf: this.#options.keyOf },
        this.#handlers,
      );
      this.#accepted.add(session);
      session.onEnd = () => this.#accepted.delete(session);
    });
    const { cage, process = 1 } = this.#options.me;
    await this.#options.listen(this.#server, this.#options.socketOf(cage, process));
  }

  async discover(cage?: string): Promise<readonly Instance[]> {
    const dialledIn = [...this.#adopted.values()].flat().filter((place) => this.#open(place) !== undefined);
    return [...this.#registered(), ...dialledIn.map(({ node, cage, process }) => ({ node, cage, process }))].filter(
      (instance) => cage === undefined || instance.cage === cage,
    );
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
    // What is published is between the cages of a node.
    const dial = new Dial({ address, me, keyOf, handlers: { serve: this.#handlers.serve, event: () => {} } });
    this.#dials.add(dial);
    if (this.#started) await dial.open();
    return {
      close: async () => {
        await dial.retire();
        this.#dials.delete(dial);
      },
    };
  }

  call(to: Target, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
    const at = performance.now();
    let places = this.#placesOf(to.cage, at);
    if (to.node !== undefined) places = places.filter(({ node }) => node === to.node);
    if (places.length === 0)
      return Promise.reject(
        new CageError(
          "NO_SUCH_CAGE",
          `${to.cage} on node ${to.node}: the local engine joins one node only, and who dialled in to it`,
        ),
      );
    if (to.via === "all") return this.#everywhere(places, path, args, carry, stop);
    const [only] = places;
    const session = only !== undefined && places.length === 1 ? this.#open(only) : undefined;
    if (only !== undefined && session !== undefined) return this.#ask(only, session, at, path, args, carry, stop);
    return this.#balance.call(places, (place, stop) => this.#send(place, path, args, carry, stop), {
      stop,
      hedgeMs: to.hedgeMs,
      once: args.some(isStream),
      repeatable: () => this.#isRepeatable(to.cage, path, carry),
    });
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
      session.ask(path, args, carry, stop, new Asked(attempt, resolve, reject));
    });
  }

  #send(place: Place, path: string, args: readonly unknown[], carry: Carry, stop?: Stop): Promise<unknown> {
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

  /** The instances by the supervisors' files. */
  #registered(): readonly (Instance & { readonly process: number })[] {
    const found: (Instance & { readonly process: number })[] = [];
    for (const name of readdirSync(this.#options.runDir)) {
      if (!name.endsWith(".json")) continue;
      try {
        const { node, cage, pid, processes } = JSON.parse(
          readFileSync(join(this.#options.runDir, name), "utf8"),
        ) as Instance & { pid: number; processes: readonly number[] };
        if (processes.length > 0 && alive(pid)) for (const process of processes) found.push({ node, cage, process });
      } catch {
        // Being written or removed this moment: it is not there yet, or not any more.
      }
    }
    return found;
  }

  /** Where a cage can be called. One that is not listed may be starting: its first process is tried. */
  #placesOf(cage: string, now: number): readonly Place[] {
    if (now - this.#seenAt > seenMs) {
      this.#seenAt = now;
      this.#places.clear();
      for (const { cage, process } of this.#registered())
        this.#places.set(cage, [...(this.#places.get(cage) ?? []), this.#placeOf(cage, process)]);
    }
    const here = this.#places.get(cage);
    const dialledIn = this.#adopted.get(cage)?.filter((place) => this.#open(place) !== undefined);
    if (dialledIn === undefined || dialledIn.length === 0) return here ?? [this.#placeOf(cage, 1)];
    return here === undefined ? dialledIn : [...here, ...dialledIn];
  }

  #placeOf(cage: string, process: number): Place {
    return { key: `${cage}#${process}`, node: this.#options.me.node, cage, process };
  }

  async publish(subject: string, data: unknown): Promise<void> {
    this.#deliver(this.#options.me, subject, data);
    const { cage: own, process: mine = 1 } = this.#options.me;
    const others = this.#registered().filter(({ cage, process }) => cage !== own || process !== mine);
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
    const row = this.#subscriptions.get(subject) ?? new Set();
    this.#subscriptions.set(subject, row);
    row.add(listener);
    return () => void row.delete(listener);
  }

  get kv(): Memory {
    this.#memory ??= new Memory(join(this.#options.stateDir, "memory.sqlite"));
    return this.#memory;
  }

  async drain(): Promise<void> {
    this.#server?.close();
    await Promise.all([
      ...[...this.#accepted].map((session) => session.drain()),
      ...[...this.#dials].map((dial) => dial.close()),
    ]);
  }

  async stop(): Promise<void> {
    this.#server?.close();
    for (const session of this.#accepted) session.close();
    for (const dial of this.#dials) dial.stop();
    for (const socket of this.#dialling) socket.destroy(new Error("this engine stopped"));
    for (const dialled of this.#dialled.values())
      await dialled.then(
        (session) => session.close(),
        () => {},
      );
    this.#memory?.close();
  }

  readonly #handlers: Handlers = {
    serve: (from, path, args, carry, stop, send) => this.#serve(from, path, args, carry, stop, send),
    event: (from, subject, data) => this.#deliver(from, subject, data),
  };

  #deliver(from: Instance, subject: string, data: unknown): void {
    for (const [pattern, row] of this.#subscriptions) {
      if (pattern !== subject && !(pattern.endsWith(".*") && subject.startsWith(pattern.slice(0, -1)))) continue;
      for (const listener of row) listener(data, from);
    }
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

  async #dial(place: Place): Promise<Session> {
    const socket = connect(this.#options.socketOf(place.cage, place.process));
    this.#dialling.add(socket);
    try {
      return await this.#greet(socket, place);
    } finally {
      this.#dialling.delete(socket);
    }
  }

  async #greet(socket: Socket, { cage, key }: Place): Promise<Session> {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", (cause: NodeJS.ErrnoException) =>
        reject(
          cause.code === "ENOENT" || cause.code === "ECONNREFUSED"
            ? new CageError(
                "NO_SUCH_CAGE",
                `cage ${cage} does not run on this node; start it with ./cage start ${cage}`,
                { cause },
              )
            : new CageError("UNAVAILABLE", `cage ${cage} cannot be reached`, { cause }),
        ),
      );
    });
    socket.removeAllListeners("error");
    const { me, keyOf } = this.#options;
    const session = new Session(socket, { me, side: "dialled", expect: cage, keyOf }, this.#handlers);
    await session.ready;
    this.#greeted.set(key, session);
    session.onEnd = () => {
      if (this.#greeted.get(key) === session) this.#greeted.delete(key);
    };
    return session;
  }
}

/** Who waits for a call of the only instance. A class: two closures a call are more than it. */
class Asked implements Asker {
  readonly #attempt: Attempt;
  readonly #resolve: (value: unknown) => void;
  readonly #reject: (error: unknown) => void;

  constructor(attempt: Attempt, resolve: (value: unknown) => void, reject: (error: unknown) => void) {
    this.#attempt = attempt;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  resolve(value: unknown): void {
    this.#attempt.answered();
    this.#resolve(value);
  }

  reject(error: unknown): void {
    this.#attempt.failed(error);
    this.#reject(error);
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
}

/** Processes come and go with a save of a configuration, or a crash: soon enough to be seen so late. */
const seenMs = 500;
/** What a cage says of its functions changes with a save. */
const repeatableMs = 5_000;

/** What `work` answers, or why its waiter stopped as soon as it does; `work` goes on for others. */
function unless<T>(stop: Stop | undefined, work: Promise<T>): Promise<T> {
  if (stop === undefined) return work;
  return new Promise((resolve, reject) => {
    const forget = stop.onStop(reject);
    work.then(resolve, reject).finally(forget);
  });
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
