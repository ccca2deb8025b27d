/**
 * The live modules of a cage: loads the first generation, then swaps in the next one whenever files change.
 *
 *     const loader = new Loader({ root, home, cage: "shop", stateDir, externals: { "#runtime": runtime }, prepare, ... });
 *     await loader.start();                       // throws a LoadError with a frame
 *     await loader.watch();
 *     const hold = loader.current.hold();         // a request, at its entry; hold.release() at its end
 *     await loader.reload("command");             // { ok: true, generation, ... } or { ok: false, error }
 *
 *     changed files -> sources -> dirty set -> cells -> evaluate -> prepare -> start hooks -> SWAP -> old one ends
 *     `------------------------------ a candidate nobody sees ----------------------------'      when nobody holds it
 *
 * Reloads are serialized. Anything that fails before the swap leaves everything as it was; the files stay pending, and
 * the next change of any file tries all of them again. What did not change by hash makes no generation.
 *
 * `rollback(9)` goes the same way, with the kept texts of generation 9 (archive.ts) in the place of the disk's. It holds,
 * over restarts too, until something on the disk differs from what lay there when it began, or a reload of everything
 * is asked for.
 */
import { join, relative, resolve } from "node:path";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";
import { Archive, type Held } from "./archive.ts";
import { build, type Plan } from "./candidate.ts";
import type { Cell } from "./cell.ts";
import { Compiler, hashOf } from "./compile.ts";
import { Disk } from "./disk.ts";
import { Draft } from "./draft.ts";
import { complain, Endings } from "./endings.ts";
import { failureOf, LoadError, type ReloadFailure } from "./failure.ts";
import type { Generation, Hold } from "./generation.ts";
import { difference, survey } from "./graph.ts";
import { type Ground, hashesOf, onDisk, onTexts, rootsAmong, saved, withLate } from "./ground.ts";
import { type Entry, History, type Trigger } from "./history.ts";
import { Linker } from "./linker.ts";
import { resolveIn, within } from "./resolve.ts";
import { Source } from "./source.ts";
import { Watcher } from "./watch.ts";

/** What the cage made ready for a candidate. */
export interface Prepared<A> {
  readonly attachment: A;
  /** Called right after the swap; synchronous, and does not throw. */
  commit(): void;
  /** The candidate was refused after all: close what was opened for it. */
  abort(): Promise<void>;
}

export interface LoaderOptions<A> {
  readonly root: string;
  readonly home: string;
  readonly cage: string;
  readonly stateDir: string;
  readonly externals: Readonly<Record<string, object>>;
  /** Validates configuration and opens what is new; a throw refuses the candidate. */
  prepare(candidate: Generation<A>, previous: Generation<A> | undefined): Promise<Prepared<A>>;
  /** Runs a module's hook inside a request on that generation. */
  runHook(generation: Generation<A>, hook: () => unknown): Promise<void>;
  /** The generation has ended: close what no later one uses. */
  dispose(generationId: number, attachment: A): Promise<void>;
  /** Files that load beside those of the cage's folder: its tests, when it runs for them. */
  more?(): Promise<readonly string[]>;
  /** For one candidate to evaluate: a top-level await that never ends must not block all later saves. */
  readonly loadTimeoutMs?: number;
  /** Another process leads, until `lead`: what serves is what that one kept, under its numbers, and nothing is written. */
  readonly follower?: boolean;
  /** Between looks at everything, for the sake of file systems that send no events. */
  readonly sweepMs?: number;
}

export type ReloadResult =
  | {
      readonly ok: true;
      readonly generation: number;
      /** Relative to the project; empty if nothing had changed. */
      readonly files: readonly string[];
      readonly dependents: number;
      readonly durationMs: number;
      /** Of a rollback: the generation whose texts it has. */
      readonly of?: number;
    }
  | { readonly ok: false; readonly error: ReloadFailure };

/** A generation to go back to. */
interface Kept {
  readonly of: number;
  readonly texts: ReadonlyMap<string, string>;
}

interface Serving<A> {
  readonly generation: Generation<A>;
  readonly hold: Hold;
}

export class Loader<A> {
  readonly #options: LoaderOptions<A>;
  readonly #folder: string;
  readonly #configFolder: string;
  readonly #compiler: Compiler;
  readonly #disk = new Disk();
  readonly #linker: Linker;
  readonly #history: History;
  readonly #ground: Ground;
  readonly archive: Archive;
  #serving: Serving<A> | undefined;
  #roots: readonly string[] = [];
  /** Those of the last attempt, which may have failed: the same again would fail again. */
  #tried: readonly string[] = [];
  #pending = new Set<string>();
  #reshaped = false;
  #next: Promise<ReloadResult> | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #endings: Endings<A>;
  #watcher: Watcher | undefined;
  #draft: Draft<Plan | undefined> | undefined;
  #passing = false;
  #failure: ReloadFailure | undefined;
  #told = "";
  #held: Held | undefined;
  /** Everything was asked for: what the disk has, held or not. */
  #asked = false;
  #follower: boolean;
  /** The leader's generation that is being loaded. */
  #following = 0;

  constructor(options: LoaderOptions<A>) {
    this.#options = options;
    this.#follower = options.follower ?? false;
    this.#folder = join(options.root, "cages", options.cage);
    this.#configFolder = join(options.root, "config");
    this.#compiler = new Compiler(join(options.stateDir, "compile"));
    this.#linker = new Linker(options);
    this.#history = new History(join(options.stateDir, options.cage, "generations.jsonl"));
    this.#ground = onDisk(options, this.#disk);
    const { root, home } = options;
    this.#endings = new Endings({ ...options, shown: (file) => this.#shown(file) });
    this.archive = new Archive({ folder: join(options.stateDir, options.cage, "texts"), root, home });
  }

  get current(): Generation<A> {
    if (this.#serving === undefined)
      throw new CageError("UNAVAILABLE", `the cage ${this.#options.cage} has no modules loaded`);
    return this.#serving.generation;
  }

  /** The current generation, and older ones that requests still hold. */
  get live(): readonly Generation<A>[] {
    return [...this.#endings.live];
  }

  /** Why the newest state of the files is not what serves. */
  get failure(): ReloadFailure | undefined {
    return this.#failure;
  }

  /** The rollback that holds, until something is saved. */
  get held(): Held | undefined {
    return this.#held;
  }

  history(): readonly Entry[] {
    return this.#history.entries;
  }

  /** `revive`: what is on the disk may fail to load as long as what served last is kept. */
  async start({ revive = false } = {}): Promise<void> {
    await this.#history.open();
    await this.archive.open();
    const result = await this.#resume(await this.archive.held());
    if (!result.ok && !(revive && (await this.#revived()))) throw result.error.cause;
  }

  /** As if it had been rolled back to the newest that is kept: the next save of anything tries the disk again. */
  async #revived(): Promise<boolean> {
    const of = this.archive.generations.at(-1);
    const texts = of === undefined ? undefined : await this.archive.read(of);
    if (of === undefined || texts === undefined) return false;
    this.#held = { of, at: new Date().toISOString(), disk: await hashesOf(this.#ground, texts.keys()) };
    return (await this.#alone("start", { of, texts })).ok;
  }

  /** What a rollback held when the process ended serves again, unless something was saved since. */
  async #resume(held: Held | undefined): Promise<ReloadResult> {
    const texts = held && (await this.archive.read(held.of));
    if (held === undefined || texts === undefined) return await this.#queue("start");
    const roots = rootsAmong(this.#options, held.disk.keys());
    if (await saved(held, this.#ground, held.disk.keys(), roots)) {
      const result = await this.#queue("start");
      if (result.ok) {
        this.archive.release();
        return result;
      }
      // What was saved and does not load must not end what served.
    } else this.#tried = roots;
    this.#held = held;
    return await this.#alone("start", { of: held.of, texts });
  }

  /** With no files named, looks at all of them. */
  async reload(trigger: Exclude<Trigger, "start">, files?: readonly string[]): Promise<ReloadResult> {
    const all = files ?? (await this.#disk.differing(this.#watched()));
    // Nobody said what came or went.
    if (files === undefined) this.#reshaped = this.#asked = true;
    for (const file of all) this.#pending.add(resolve(this.#options.root, file));
    return await this.#queue(trigger);
  }

  /** Swaps back to what `to` consisted of; without it, to the newest before what serves that differs from it. */
  async rollback(to?: number): Promise<ReloadResult> {
    const { id, of: serving = id, cells } = this.current;
    const of = to ?? (await this.archive.before(serving, sourcesOf(cells)));
    const texts = await this.archive.read(of);
    if (texts === undefined) throw this.archive.missing(of);
    return await this.#alone("rollback", { of, texts });
  }

  /** Serves the leader's generation, from the texts that it kept. */
  follow(generation: number): Promise<ReloadResult> {
    const pass = this.#tail.then(() => outside(() => this.#follow(generation)));
    this.#tail = pass.catch(() => {});
    return pass;
  }

  async #follow(generation: number): Promise<ReloadResult> {
    const startedAt = performance.now();
    if (this.#serving?.generation.id === generation) return this.#same(startedAt);
    const cells = this.#serving?.generation.cells ?? new Map<string, Cell>();
    this.#following = generation;
    try {
      const texts = await this.archive.read(generation);
      if (texts === undefined) throw this.archive.missing(generation);
      const files = new Set([...texts.keys(), ...cells.keys()]);
      return await this.#make("command", onTexts(this.#options, texts), files, true, undefined, startedAt);
    } catch (error) {
      return { ok: false, error: this.#failed(error, "command", new Set(), performance.now() - startedAt) };
    }
  }

  /** From now on this process makes the generations: the one that led has written all it knew. */
  async lead(): Promise<void> {
    await this.#tail;
    await this.#history.open();
    await this.archive.open();
    this.#held = await this.archive.held();
    this.#follower = false;
  }

  /** Ends that: what is on its way is finished, and another process may lead. */
  async follows(): Promise<void> {
    await this.#watcher?.stop();
    this.#watcher = undefined;
    this.#tail = this.#tail.then(() => void (this.#follower = true));
    await this.#tail;
    await this.#history.flush();
    await this.archive.flush();
  }

  /** Loads what differs on the disk from what serves, as a start would. */
  async catchUp(): Promise<ReloadResult> {
    for (const file of await this.#missed()) this.#pending.add(file);
    return await this.#queue("command");
  }

  async watch(): Promise<void> {
    const { root, home } = this.#options;
    const watcher = new Watcher({
      root,
      folders: [
        ...new Set([
          this.#folder,
          this.#configFolder,
          join(root, "cages", ".shared"),
          join(root, "lib"),
          join(home, "lib"),
        ]),
      ],
      extra: (path) => this.#serving?.generation.cells.has(path) ?? false,
      ahead: (files) => this.#ahead(files),
      ...(this.#options.sweepMs === undefined ? {} : { sweepMs: this.#options.sweepMs }),
      asked: () => this.#serving?.generation.taken ?? 0,
      batch: (files) => this.reload("watch", files),
      missed: () => this.#missed(),
    });
    this.#watcher = watcher;
    // Before the first save instead of in it.
    await this.#compiler.warm();
    await watcher.start();
    watcher.add(this.#serving?.generation.files ?? []);
  }

  /** Ends every generation, held or not: drain first. */
  async stop(): Promise<void> {
    await this.#watcher?.stop();
    await this.#tail;
    this.#serving?.hold.release();
    await this.#endings.all();
    this.#serving = undefined;
    await this.#compiler.close();
    await this.#history.flush();
    await this.archive.flush();
  }

  async #missed(): Promise<string[]> {
    const files = await this.#disk.differing(this.#watched());
    const [roots, tried] = [new Set(await this.#ground.roots().catch(() => [])), new Set(this.#tried)];
    const came = [...roots].filter((file) => !tried.has(file));
    return [...files, ...came, ...[...tried].filter((file) => !roots.has(file))];
  }

  /** Callers that come while a pass runs share the next one. */
  #queue(trigger: Trigger): Promise<ReloadResult> {
    if (this.#next === undefined) {
      const pass = this.#tail.then(() => {
        this.#next = undefined;
        // Whatever opens here lives as long as the generation, not as the request that asked for the reload.
        return outside(() => this.#pass(trigger));
      });
      this.#next = pass;
      this.#tail = pass.catch(() => {});
    }
    return this.#next;
  }

  /** A pass that nobody shares. */
  #alone(trigger: Trigger, kept: Kept): Promise<ReloadResult> {
    const pass = this.#tail.then(() => outside(() => this.#back(trigger, kept)));
    this.#tail = pass.catch(() => {});
    return pass;
  }

  async #pass(trigger: Trigger): Promise<ReloadResult> {
    this.#mustLead();
    const startedAt = performance.now();
    const pending = this.#pending;
    const reshaped = this.#reshaped;
    const asked = this.#asked;
    this.#pending = new Set();
    this.#reshaped = this.#asked = false;
    const held = this.#serving === undefined ? undefined : this.#held;
    const draft = this.#draft;
    this.#draft = undefined;
    this.#passing = true;
    // Nobody says of a reload by command that the files were left alone since the draft.
    const usable = trigger === "watch" && held === undefined && !reshaped ? draft : undefined;
    try {
      if (held !== undefined && !asked && !(await saved(held, this.#ground, pending, this.#tried)))
        return this.#same(startedAt);
      // What serves is not what the disk had: all of it may differ.
      for (const file of held === undefined ? [] : [...held.disk.keys(), ...this.current.files]) pending.add(file);
      const result = await this.#make(
        trigger,
        this.#ground,
        pending,
        reshaped || held !== undefined,
        undefined,
        startedAt,
        usable,
      );
      this.#failure = undefined;
      this.#told = "";
      this.#held = undefined;
      if (held !== undefined) this.archive.release();
      return result;
    } catch (error) {
      for (const file of pending) this.#pending.add(file);
      if (reshaped) this.#reshaped = true;
      if (asked) this.#asked = true;
      const failure = this.#failed(error, trigger, pending, performance.now() - startedAt);
      this.#failure = failure;
      return { ok: false, error: failure };
    } finally {
      this.#passing = false;
      draft?.forget();
    }
  }

  /** As a pass, on kept texts; what is pending on the disk stays so, and so does its failure. */
  async #back(trigger: Trigger, { of, texts }: Kept): Promise<ReloadResult> {
    this.#mustLead();
    const startedAt = performance.now();
    const cells = this.#serving?.generation.cells ?? new Map<string, Cell>();
    const before = this.#held;
    const id = this.#serving?.generation.id;
    const disk = before?.disk ?? new Map([...cells].map(([file, { source }]) => [file, source.hash]));
    const files = new Set([...texts.keys(), ...cells.keys()]);
    this.#held = { of, at: new Date().toISOString(), disk };
    try {
      const result = await this.#make(trigger, onTexts(this.#options, texts), files, true, of, startedAt);
      if (this.current.id === id) this.#held = before;
      else this.archive.hold(this.#held);
      return result;
    } catch (error) {
      this.#held = before;
      return { ok: false, error: this.#failed(error, trigger, new Set(), performance.now() - startedAt) };
    }
  }

  #mustLead(): void {
    if (this.#follower)
      throw new CageError("UNAVAILABLE", "another process of this cage makes its generations; ask again in a moment");
  }

  #same(startedAt: number): ReloadResult {
    const durationMs = performance.now() - startedAt;
    return { ok: true, generation: this.current.id, files: [], dependents: 0, durationMs };
  }

  async #make(
    trigger: Trigger,
    ground: Ground,
    files: ReadonlySet<string>,
    reshaped: boolean,
    of: number | undefined,
    startedAt: number,
    draft?: Draft<Plan | undefined>,
  ): Promise<ReloadResult> {
    const made: Source[] = [];
    try {
      const make = () => this.#plan(ground, files, reshaped, of, made);
      const plan = trigger === "watch" ? await this.#settled(files, make, draft) : await make();
      if (plan === undefined) return this.#same(startedAt);
      const done = await this.#swap(plan);
      const counted = { ...this.#counted(plan), durationMs: performance.now() - startedAt };
      const result = { generation: done.id, ...counted, ...(of === undefined ? {} : { of }) };
      if (!this.#follower) {
        this.#history.add({ ...result, ok: true, at: done.at.toISOString(), trigger });
        this.archive.keep(done.id, sourcesOf(done.cells));
      }
      events.emit("reload.done", { ...result, trigger });
      return { ok: true, ...result };
    } finally {
      for (const source of made) source.discard();
    }
  }

  /** The plan, from the draft if that is of the same files; tried again while the files it stumbles on change. */
  async #settled(
    files: ReadonlySet<string>,
    plan: () => Promise<Plan | undefined>,
    draft: Draft<Plan | undefined> | undefined,
  ): Promise<Plan | undefined> {
    const early = draft?.fits(files, this.#serving?.generation.id) ? draft.plan : undefined;
    for (let look = 1; ; look++) {
      try {
        return await ((look === 1 ? early : undefined) ?? plan());
      } catch (error) {
        // Half a file parses as little as a wrong one does: the difference is that somebody still writes it.
        if (look > maxLooks || !(await this.#disk.moving(files))) throw error;
      }
    }
  }

  /** What the next generation would consist of; undefined if it would be the same. */
  async #plan(
    ground: Ground,
    pending: ReadonlySet<string>,
    asked: boolean,
    of: number | undefined,
    made: Source[],
  ): Promise<Plan | undefined> {
    const cells = this.#serving?.generation.cells ?? new Map<string, Cell>();
    const fresh = new Map<string, Source>();
    const make = async (file: string, text: string): Promise<Source> => {
      const source = await Source.make({ file, text, generation: this.#nextId, compiler: this.#compiler });
      made.push(source);
      return source;
    };
    let reshaped = asked || this.#serving === undefined;
    const listing = ground.roots();
    listing.catch(() => {});
    const looked = await Promise.allSettled(
      [...pending].map(async (file) => {
        const old = cells.get(file)?.source;
        const text = await ground.read(file, old?.text);
        // A draft that an editor renamed away is no news of anything.
        if (old === undefined && text === undefined) return;
        if (old === undefined || text === undefined) reshaped = true;
        else if (hashOf(text) !== old.hash) fresh.set(file, await make(file, text));
      }),
    );
    const listed = await listing;
    if (ground === this.#ground) this.#tried = listed;
    const failed = looked.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    if (listed.join() !== this.#roots.join()) reshaped = true;
    if (!reshaped && fresh.size === 0) return undefined;
    const isFile = ground.look();
    const nodes = await survey({
      roots: listed,
      cells,
      fresh,
      reshaped,
      read: async (file) => {
        const text = await ground.read(file);
        if (text === undefined) throw new LoadError("the file is gone", { file });
        return await make(file, text);
      },
      resolve: (spec, from) => resolveIn(this.#options, spec, from, isFile),
    });
    const roots = withLate(this.#options, listed, nodes.keys());
    const { changed, dirty } = difference(nodes, cells);
    const same = dirty.size === 0 && nodes.size === cells.size && roots.join() === this.#roots.join();
    // One that follows takes the number all the same: what lay between may not have loaded here.
    if (same && this.#serving !== undefined && !this.#follower) return undefined;
    const removed = [...pending].filter((file) => cells.has(file) && !nodes.has(file));
    return { roots, nodes, changed, removed, dirty, of };
  }

  get #nextId(): number {
    if (this.#follower) return this.#following;
    return Math.max(this.#serving?.generation.id ?? 0, this.#history.lastGeneration) + 1;
  }

  async #swap(plan: Plan): Promise<Generation<A>> {
    const previous = this.#serving;
    const candidate = await build(plan, this.#nextId, previous?.generation, this.#linker, this.#endings, this.#options);
    const { generation } = candidate;
    this.#serving = candidate;
    this.#roots = plan.roots;
    this.#endings.live.add(generation);
    try {
      candidate.prepared.commit();
    } catch (error) {
      // It serves already.
      complain(`what follows the swap to generation ${generation.id}`, error);
    }
    previous?.hold.release();
    this.#disk.keep(new Set([...generation.cells.keys(), ...this.#watched()]));
    this.#watcher?.add(plan.changed);
    return generation;
  }

  #failed(error: unknown, trigger: Trigger, pending: ReadonlySet<string>, durationMs: number): ReloadFailure {
    const failure = failureOf(error);
    const { cause: _, ...facts } = failure;
    const key = JSON.stringify(facts);
    // Once for each distinct failure: every save of another file tries the same broken one again.
    if (key === this.#told) return failure;
    this.#told = key;
    const blamed = pending.size > 0 || failure.file === "" ? [...pending] : [failure.file];
    const files = blamed.map((file) => this.#shown(file)).sort();
    const at = new Date().toISOString();
    const history = this.#follower ? undefined : this.#history;
    history?.add({
      generation: this.#nextId,
      ok: false,
      at,
      trigger,
      files,
      dependents: 0,
      durationMs,
      error: facts,
    });
    const { message, frame, file } = failure;
    events.emit("reload.failed", { files, error, message, frame, file });
    return failure;
  }

  #counted({ changed, removed, dirty }: Plan): { files: readonly string[]; dependents: number } {
    return {
      files: [...changed, ...removed].map((file) => this.#shown(file)).sort(),
      dependents: dirty.size - changed.length,
    };
  }

  #shown(file: string): string {
    const { root, home } = this.#options;
    return within(root, file) ? relative(root, file) : within(home, file) ? relative(home, file) : file;
  }

  #watched(): Set<string> {
    const files = this.#held?.disk.keys() ?? this.#serving?.generation.cells.keys() ?? [];
    return new Set([...files, ...this.#pending]);
  }

  /** Reads, compiles and surveys what was just saved, while its batch is still open. Runs none of it. */
  #ahead(files: readonly string[]): void {
    if (this.#passing || this.#serving === undefined || this.#held !== undefined) return;
    this.#draft?.forget();
    const pending = new Set([...this.#pending, ...files.map((file) => resolve(this.#options.root, file))]);
    const plan = (made: Source[]) => this.#plan(this.#ground, pending, false, undefined, made);
    this.#draft = new Draft(pending, this.#serving.generation.id, plan);
  }
}

/** A file that grows for longer than this many looks is refused as it is, and loads when it is whole. */
const maxLooks = 10;

const sourcesOf = (cells: ReadonlyMap<string, Cell>): Source[] => [...cells.values()].map((cell) => cell.source);
