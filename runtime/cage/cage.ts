/**
 * One cage in one worker process: the only file that knows all parts, and wires them.
 *
 *     link (supervisor) --- Cage --- loader (generations) --- holdings (resources, interfaces)
 *                             |----- engine (calls in and out), retry (durable calls)
 *                             `----- verbs (what the control socket can ask)
 *
 * Of several processes of a cage (`processes: N`) the first leads; the others `follow`: they serve the generation that it
 * says, and leave to it what may be done once only (files, journal, interfaces that begin work by themselves). A process
 * that takes the place of another follows too, until that one has resigned.
 *
 * Start: load the first generation -> open what its configuration names -> swap -> serve. Stop: stop advertising, refuse
 * new work, finish what runs (bounded by the longest deadline), flush, close.
 */
import { join } from "node:path";
import { type Engine, type Kept, type KeptStatus, type Line, stopOf, upSubject } from "../engine/engine.ts";
import { Joined } from "../engine/joined.ts";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { type Figures, startFigures } from "../health/figures.ts";
import { startMetrics } from "../health/metrics.ts";
import { startWatchdog } from "../health/watchdog.ts";
import type { Interface } from "../interfaces/interface.ts";
import type { Candidate, Generation } from "../modules/generation.ts";
import { Loader } from "../modules/loader.ts";
import { placed as placeOf } from "../modules/stack.ts";
import { Types } from "../modules/types.ts";
import { Background } from "../request/background.ts";
import type { GateStatus } from "../request/gate.ts";
import { Levels } from "../request/levels.ts";
import { current, type Lease, Request, run, type Services, within } from "../request/request.ts";
import type { Resource } from "../resources/resource.ts";
import { type MovingRetries, movingRetries } from "../retry/moving.ts";
import { openRetries } from "../retry/retry.ts";
import { handlerOf } from "../rpc/api.ts";
import type { KeyOf } from "../rpc/hello.ts";
import { agree } from "./agreement.ts";
import { beyondOf } from "./beyond.ts";
import { Calls } from "./calls.ts";
import { Canary, type CanaryStatus } from "./canary.ts";
import { keyOf, type Layers, type Plan, type PlannedInterface, planOf } from "./config.ts";
import { type Explained, explain } from "./explain.ts";
import { placed } from "./fault.ts";
import { type Holding, Holdings } from "./holdings.ts";
import { Host } from "./host.ts";
import { keysOf } from "./keys.ts";
import { leaseOf } from "./lease.ts";
import { Led } from "./led.ts";
import type { Link } from "./link.ts";
import { operateOn } from "./operator.ts";
import { Overdue } from "./overdue.ts";
import { type Paths, socketOf } from "./paths.ts";
import { protocols } from "./protocols.ts";
import { withRelays } from "./relays.ts";
import { keepSecretsIn } from "./secret.ts";
import { selfApi } from "./self.ts";
import { Stale } from "./stale.ts";
import { Threads } from "./threads.ts";
import type { Trial } from "./trial.ts";
import { verbs } from "./verbs.ts";

export interface CageOptions {
  readonly paths: Paths;
  readonly name: string;
  readonly node: string;
  readonly watch: boolean;
  /** Started again after a crash: code that does not load is waited for instead of given up. */
  readonly again: boolean;
  /** 1 is the first, which leads. */
  readonly process?: number;
  /** Of one that does not lead, or not yet: the generation to begin with. */
  readonly follow?: number;
  /** It begins beside the process whose place it will take, which has the files until `succeed`. */
  readonly beside?: boolean;
  readonly link: Link;
  /** What `#runtime` is to the cage's modules. */
  readonly door: object;
  /** Runs the cage's own tests on what a candidate is made of, and throws to refuse it (`test: "gate"`). */
  readonly gate?: (candidate: Candidate) => Promise<void>;
  readonly trial?: Trial;
  /** The built thread.ts; without it functions marked `worker` run where they are called. */
  readonly threadFile?: string;
}

interface OpenInterface {
  readonly plan: PlannedInterface;
  readonly host: Host;
  readonly interface: Interface;
}

/** What a generation owns beside its modules. */
export interface Attachment {
  readonly plan: Plan;
  readonly resources: ReadonlyMap<string, Holding<Resource<unknown>>>;
  /** Those that begin work by themselves come and go with the lead. */
  readonly interfaces: Map<string, Holding<OpenInterface>>;
  readonly dialled: readonly Holding<Kept>[];
}

export class Cage {
  readonly name: string;
  readonly node: string;
  readonly root: string;
  readonly startedAt = Date.now();
  readonly engine: Engine;
  readonly loader: Loader<Attachment>;
  readonly types: Types;
  readonly levels = new Levels();
  readonly services: Services;
  readonly retries: MovingRetries;
  readonly metrics = startMetrics();
  readonly figures: Figures;
  readonly stale: Stale;
  readonly #options: CageOptions;
  readonly #keyOf: KeyOf;
  readonly #resources = new Holdings<Resource<unknown>>((resource) => resource.close());
  readonly #interfaces = new Holdings<OpenInterface>((open) => this.#closeInterface(open));
  readonly #dialled = new Holdings<Kept>((kept) => kept.close());
  readonly #canary = new Canary<Generation<Attachment>>({
    rollback: async (to) => {
      const done = await this.loader.rollback(to);
      if (!done.ok) throw done.error.cause;
    },
  });
  readonly #overdue = new Overdue({
    live: () => this.loader.live,
    current: () => this.loader.current,
    longestMs: () => longestOf(this.plan),
  });
  readonly #swapListeners = new Set<() => void>();
  readonly #calls: Calls;
  #threads: Threads | undefined;
  readonly #telling: (() => void)[] = [];
  #watchdog: { stop(): void } | undefined;
  #stopping: Promise<void> | undefined;
  #leads: boolean;
  /** The engine that this process starts with has memory for all nodes; which is there when it has started. */
  #sharing = false;
  #shared: Engine["kv"] | undefined;
  /** When the leader before this one let go of its schedules, ms since 1970. */
  #since: number | undefined;

  constructor(options: CageOptions) {
    const { paths, name, node, link, trial } = options;
    this.#options = options;
    this.#leads = (options.process ?? 1) === 1 && !options.beside;
    this.name = name;
    this.node = node;
    this.root = paths.root;
    this.stale = new Stale(paths);
    keepSecretsIn(paths.state);
    operateOn(paths);
    this.#keyOf = keysOf(paths, name);
    const me = { node, cage: name, process: options.process ?? 1 };
    this.engine =
      trial?.engine ??
      new Joined({
        me,
        runDir: paths.run,
        stateDir: paths.state,
        socketOf: (cage, process) => socketOf(paths, "rpc", cage, process),
        keyOf: this.#keyOf,
        listen: async (server, path) => void (await link.listen(server, { path })),
        beyond: () => beyondOf({ options: this.plan.engine, me, paths, listen: link.listen }),
      });
    this.services = {
      node,
      cage: name,
      levels: this.levels,
      background: new Background(),
      call: (to, path, args) => this.#calls.make(to, path, args),
      // When its request ends first it may be durable or not; its id makes asking again harmless.
      retry: (to, retry, path, args) =>
        within(current(), `the retried call of ${to.cage}.${path}`, this.retries.retry(to, retry, path, args)),
      compute: (work, args) => this.#compute(work, args),
    };
    if (options.threadFile !== undefined)
      this.#threads = new Threads({
        program: options.threadFile,
        places: { root: paths.root, home: paths.home, cage: name },
        stateDir: paths.state,
      });
    this.retries = movingRetries({
      open: () =>
        openRetries({
          file: join(paths.state, name, "retry.sqlite"),
          deliver: (to, path, args, carry, signal) => this.engine.call(to, path, args, carry, stopOf(signal)),
        }),
      handOver: async (row) => (await link.ahead("retry.intake", row)) as { id: string; duplicate: boolean },
      here: this.#leads,
    });
    const { process: number = 1, beside = false } = options;
    const figures = number === 1 ? "figures.json" : `figures.${number}.json`;
    this.figures = startFigures({ file: join(paths.state, name, figures), beside });
    this.loader = new Loader<Attachment>({
      root: paths.root,
      home: paths.home,
      cage: name,
      stateDir: paths.state,
      externals: { "#runtime": options.door, ...trial?.externals },
      ...(trial ? { more: trial.more } : {}),
      follower: !this.#leads,
      prepare: (candidate, previous) => this.#prepare(candidate, previous),
      agree: async (candidate, kept) => {
        if (this.plan.processes > 1) await agree(candidate, kept, link);
      },
      runHook: (generation, hook) => this.#runHook(generation, hook),
      dispose: (_, attachment) => this.#dispose(attachment),
    });
    this.types = new Types({
      where: { root: paths.root, home: paths.home, cage: name },
      stateDir: paths.state,
      mode: () => (trial || !this.#leads ? "off" : (this.plan.typecheck ?? (options.watch ? "background" : "off"))),
      current: () => this.loader.current,
      broken: () => this.loader.failure !== undefined,
    });
    this.#calls = new Calls({
      host: this.#hostParts,
      engine: () => this.engine,
      self: () => selfApi(this),
    });
  }

  async start(): Promise<void> {
    this.types.start();
    if (this.#leads) await this.#load();
    else await this.follow(this.#options.follow as number);
    await this.engine.start(this.#calls.serve);
    this.#shared = this.engine.kv;
    this.engine.subscribe(upSubject, (cage) => this.#isUp(String(cage)));
    await this.retries.start();
    if (this.#leads) this.stale.start();
  }

  #isUp(cage: string): void {
    this.engine.revive(cage);
    this.retries.wake(cage);
  }

  #adopt(line: Line): () => void {
    const leave = this.engine.adopt(line);
    if (line.peer !== undefined) this.#isUp(line.peer.cage);
    return leave;
  }

  /** It does what may be done once only. */
  get leads(): boolean {
    return this.#leads;
  }

  /** Serves the first's generation. */
  async follow(generation: number): Promise<void> {
    const done = await this.loader.follow(generation);
    if (!done.ok) throw done.error.cause;
  }

  /** Tells the other processes, once it is certain that this generation stays and its texts can be read. */
  async #serving(): Promise<void> {
    if (this.#canary.trying) return;
    await this.loader.archive.flush();
    if (this.#stopping !== undefined) return;
    this.#options.link.serving(this.loader.current.id, this.plan.processes);
  }

  /**
   * After a crash nobody waits at a terminal: when the code does not load now, what served last serves again until a save
   * mends it; if that is not kept, the code is tried again and again.
   */
  async #load(): Promise<void> {
    for (;;) {
      try {
        return await this.loader.start({ revive: this.#options.again });
      } catch (error) {
        if (!this.#options.again || this.#stopping !== undefined) throw error;
        await new Promise((resolve) => setTimeout(resolve, reloadPollMs));
      }
    }
  }

  /** The supervisor lists this instance as ready now: whoever waits for it may come. */
  async announce(): Promise<void> {
    if (this.#leads) {
      await this.engine.publish(upSubject, this.name);
      await this.#tell();
    }
    this.#watchdog = startWatchdog({ place: placeOf });
    // Only now: watching makes a compiler ready, and a start waits for none.
    if (this.#options.watch && this.#leads) await this.loader.watch();
  }

  async #tell(): Promise<void> {
    this.#telling.push(
      events.on("reload.done", () => void this.#serving()),
      events.on("canary.done", ({ kept }) => void (kept && this.#serving())),
    );
    await this.#serving();
  }

  /**
   * Another process takes the place of this one, which serves on until it is told to drain. What may be done once only ends
   * here: resolves when that one may begin it, with the moment since which no schedule fires.
   */
  async resign(): Promise<{ since: number }> {
    this.stale.stop();
    if (this.#leads) await this.loader.follows();
    for (const off of this.#telling.splice(0)) off();
    this.#canary.stop();
    const since = Date.now();
    this.#leads = false;
    for (const { attachment } of this.loader.live)
      for (const [name, holding] of attachment.interfaces)
        if (holding.value.plan.protocol.once) {
          attachment.interfaces.delete(name);
          await holding.release();
        }
    await this.figures.stop();
    // Last: until the next one has it, calls that shall be durable have nowhere to go, and wait.
    await this.retries.give(attemptMs);
    return { since };
  }

  /** The one before has resigned, or is gone. */
  async succeed({ since }: { since?: number } = {}): Promise<void> {
    this.figures.take();
    if ((this.#options.process ?? 1) !== 1 || this.#leads) return;
    await this.loader.lead();
    this.#leads = true;
    this.#since = since;
    await this.retries.take();
    const { attachment } = this.loader.current;
    for (const planned of this.plan.interfaces)
      if (planned.protocol.once) attachment.interfaces.set(planned.name, await this.#takeInterface(planned));
    this.#since = undefined;
    // For those just opened it is as if the generation had come now.
    for (const listener of this.#swapListeners) listener();
    this.stale.start();
    await this.#tell();
    if (!this.#options.watch) return;
    // Behind it: who waits for this waits for calls to be made durable.
    this.loader.watch().catch((error) => events.emit("problem", { what: "watching the files", error }));
  }

  /** A hold on the current generation, as a request wants it. */
  lease(): Lease {
    return leaseOf(this.#canary.choose(this.loader.current));
  }

  /** The newest generation's trial, while there is one. */
  get canary(): CanaryStatus | undefined {
    return this.#canary.status;
  }

  get plan(): Plan {
    return this.loader.current.attachment.plan;
  }

  async openInterfaces(): Promise<OpenInterface[]> {
    return await this.#interfaces.values();
  }

  /** How the connections that it keeps open to others, to be called over, stand. */
  async dials(): Promise<KeptStatus[]> {
    return (await this.#dialled.values()).map(({ status }) => status);
  }

  /** Opens an interface that the configuration names, as a test that wants to ask it does; an open one is kept. */
  async openInterface(name: string): Promise<OpenInterface> {
    const planned = this.plan.interfaces.find((each) => each.name === name);
    if (planned === undefined) throw new CageError("NOT_FOUND", `the cage ${this.name} has no interface '${name}'`);
    return (await this.#takeInterface(planned)).value;
  }

  #takeInterface(planned: PlannedInterface): Promise<Holding<OpenInterface>> {
    return this.#interfaces.take(`${planned.name} ${planned.key}`, () => this.#openInterface(planned));
  }

  /** Everything that runs now: of all interfaces, and in the background. */
  async running(): Promise<Request[]> {
    const { background } = this.services;
    return [...(await this.#hosts()), background].flatMap(({ running }) => running.values());
  }

  /** How the gates of its interfaces, of its background work, and of its calls to others, stand. */
  async gates(): Promise<GateStatus[]> {
    const gated = [...(await this.#hosts()), this.services.background];
    return [...gated.map(({ gate }) => gate.status()), ...this.#calls.out.status()];
  }

  async #hosts(): Promise<Host[]> {
    return [this.#calls.in, ...(await this.openInterfaces()).map((open) => open.host)];
  }

  /** Answers the control socket (verbs.ts). */
  async ask(verb: string, args: unknown): Promise<unknown> {
    const answer = Object.hasOwn(verbs, verb) ? verbs[verb] : undefined;
    if (answer === undefined)
      throw new CageError("BAD_INPUT", `no verb '${verb}'; there are ${Object.keys(verbs).join(", ")}`);
    return await answer(this, args);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#watchdog?.stop();
    for (const off of this.#telling) off();
    this.stale.stop();
    this.#canary.stop();
    this.#overdue.stop();
    const open = await this.openInterfaces();
    // All at once: a long call must not leave the other ways in open until there is no time left to close them.
    const drained = Promise.all([this.engine.drain(), ...open.map((row) => row.interface.drain())]).then(() =>
      this.services.background.idle(),
    );
    await Promise.race([drained, new Promise((resolve) => setTimeout(resolve, 12_000).unref())]);
    await Promise.all(open.map((row) => row.interface.stop()));
    await this.#threads?.stop();
    await this.retries.stop(5_000);
    await this.types.stop();
    await this.loader.stop();
    await this.figures.stop();
    await this.engine.stop();
    await Promise.all((await this.#resources.values()).map((resource) => resource.close()));
  }

  // --- generations -------------------------------------------------------------------------------------------------

  async #prepare(
    candidate: Generation<Attachment>,
    previous: Generation<Attachment> | undefined,
  ): Promise<{ attachment: Attachment; commit(): void; abort(): Promise<void> }> {
    const { trial, gate } = this.#options;
    const over = trial?.over(candidate);
    const layers = this.#layers(candidate, over?.config);
    const plan = await planOf(this.name, layers, protocols, process.env, candidate).catch((error) => {
      throw placed(error, this.root, (file) => candidate.text(file));
    });
    trial?.admit(plan);
    if (previous === undefined) this.#sharing = trial === undefined && plan.engine.kind === "nats";
    // A start has nothing to fall back on: a failing test must not keep a service down.
    // Nor may its types; and what a rollback brings back is not what lies on the disk.
    const gated = previous !== undefined && candidate.of === undefined && trial === undefined;
    if (plan.typecheck === "gate" && gated) await this.types.gate(candidate);
    if (plan.test === "gate" && gated) await gate?.(candidate);
    const resources = new Map<string, Holding<Resource<unknown>>>();
    const interfaces = new Map<string, Holding<OpenInterface>>();
    const dialled: Holding<Kept>[] = [];
    const giveBack = async () => {
      for (const holding of [...dialled, ...interfaces.values(), ...resources.values()]) await holding.release();
    };
    try {
      for (const { name, protocol, options, key } of plan.resources) {
        const host = { name, cage: this.name, stateDir: join(this.#options.paths.state, this.name) };
        resources.set(
          name,
          await this.#resources.take(`${name} ${key}`, async () =>
            over !== undefined && Object.hasOwn(over.resources, name)
              ? { client: over.resources[name], async check() {}, async close() {} }
              : withRelays(await protocol.open(options, host), this.retries),
          ),
        );
      }
      for (const planned of plan.interfaces) {
        const module = candidate.module(planned.name);
        if (module !== undefined) planned.protocol.validate?.(module, planned.options, planned.answers);
        if (over !== undefined && !over.interfaces.includes(planned.name)) continue;
        if (planned.protocol.once && !this.#leads) continue;
        interfaces.set(planned.name, await this.#takeInterface(planned));
      }
      const dialling = plan.dial.map((address) => this.#dialled.take(address, () => this.engine.dial(address)));
      dialled.push(...(await Promise.all(dialling)));
    } catch (error) {
      await giveBack();
      throw error;
    }
    return {
      attachment: { plan, resources, interfaces, dialled },
      commit: () => {
        // Those that follow serve what has passed its trial.
        this.#canary.swapped(candidate, previous, this.#leads ? plan.canary : undefined);
        this.#calls.configure(plan);
        this.services.background.gate.resize(plan.background);
        // Connections, and what others know of this instance, belong to the process.
        if (previous !== undefined && keyOf(plan.engine) !== keyOf(previous.attachment.plan.engine))
          events.emit("restart.needed", { what: "engine", files: ["config/cluster.ts"] });
        for (const listener of this.#swapListeners) listener();
      },
      abort: giveBack,
    };
  }

  #layers({ config }: Candidate, over: readonly unknown[] = []): Layers {
    const { defaults, cluster, own } = config;
    return { defaults: defaults?.["config"], cluster: cluster?.["config"], own: own?.["config"], over };
  }

  /** Every value of the configuration that serves, and where it comes from. */
  async explain(): Promise<readonly Explained[]> {
    const over = this.#options.trial?.over(this.loader.current).config;
    return await explain(this.name, this.#layers(this.loader.current, over), protocols, process.env);
  }

  async #dispose(attachment: Attachment): Promise<void> {
    const { dialled, interfaces, resources } = attachment;
    for (const holding of [...dialled, ...interfaces.values(), ...resources.values()]) await holding.release();
  }

  async #openInterface(plan: PlannedInterface): Promise<OpenInterface> {
    let led: Led | undefined;
    const host = new Host({
      ...this.#hostParts,
      name: plan.name,
      timeoutMs: plan.timeoutMs,
      running: plan.running,
      waiting: plan.waiting,
      answers: plan.answers,
      since: () => led?.since ?? this.#since,
      claim: (at) => led?.claim(at),
      named: (asked) => this.#named(asked),
    });
    const create = () => plan.protocol.create(plan.options, host);
    if (this.#sharing && plan.protocol.led?.(plan.options))
      led = new Led({ host, node: this.node, kv: () => this.#shared, create });
    const made = led ?? create();
    try {
      await made.start();
    } catch (error) {
      if ((error as CageError).code !== "PORT_TAKEN") throw error;
      const { message } = error as CageError;
      throw new CageError("PORT_TAKEN", `${message} in config/${this.name}.ts (interface ${plan.name})`, {
        cause: error,
      });
    }
    events.emit("interface.up", { name: plan.name, protocol: plan.protocol.protocol, url: made.url });
    return { plan, host, interface: made };
  }

  /** Whether the current generation's configuration names the interface of this host; before the first there is none. */
  #named(host: Host): boolean {
    return this.loader.live.length > 0 && this.loader.current.attachment.interfaces.get(host.name)?.value.host === host;
  }

  async #closeInterface(open: OpenInterface): Promise<void> {
    await open.interface.drain();
    await open.interface.stop();
    for (const address of open.host.addresses) this.#options.link.release(address);
    events.emit("interface.down", { name: open.plan.name });
  }

  async #runHook(generation: Generation<Attachment>, hook: () => unknown): Promise<void> {
    const request = new Request({
      services: this.services,
      lease: leaseOf(generation),
      interface: "hook",
      label: "hook",
      timeoutMs: 30_000,
    });
    try {
      await run(request, async () => await within(request, "a hook", Promise.resolve(hook())));
    } finally {
      request.end();
    }
  }

  get #hostParts() {
    return {
      cage: this.name,
      services: this.services,
      lease: () => this.lease(),
      keyOf: this.#keyOf,
      adopt: (line: Line) => this.#adopt(line),
      listen: this.#options.link.listen,
      onSwap: (listener: () => void) => {
        this.#swapListeners.add(listener);
        return () => void this.#swapListeners.delete(listener);
      },
    };
  }

  async #compute(work: (...args: never[]) => unknown, args: readonly unknown[]): Promise<unknown> {
    // A start hook runs before its generation serves anybody, so there is nobody to keep the loop free for.
    const generation = this.loader.live.find(({ id }) => id === current().generation);
    if (this.#threads === undefined || generation === undefined) return await handlerOf(work)(...args);
    return await this.#threads.run(generation, work, args);
  }
}

const reloadPollMs = 500;
/** Attempts to deliver a retried call have 10 s (retry/delivery.ts), and a moment to be written down. */
const attemptMs = 11_500;

/** Background work has a minute; a trial keeps the one before. */
const longestOf = ({ timeoutMs, interfaces, called, canary }: Plan): number =>
  Math.max(60_000, timeoutMs, called.timeoutMs, ...interfaces.map((each) => each.timeoutMs), canary?.ms ?? 0);
