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
import { build, type Candidate } from "./candidate.ts";
import type { Cell } from "./cell.ts";
import { Compiler } from "./compile.ts";
import { Disk } from "./disk.ts";
import { Draft } from "./draft.ts";
import { complain, Endings } from "./endings.ts";
import { failureOf, type ReloadFailure } from "./failure.ts";
import type { Generation } from "./generation.ts";
import { type Ground, hashesOf, onDisk, onTexts, rootsAmong, saved } from "./ground.ts";
import { type Entry, History, type Trigger } from "./history.ts";
import { Linker } from "./linker.ts";
import type { LoaderOptions } from "./options.ts";
import { type Plan, planOf } from "./plan.ts";
import { within } from "./resolve.ts";
import { Source } from "./source.ts";
import { Watcher } from "./watch.ts";

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
  #serving: Candidate<A> | undefined;
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
  /** The leader's generation that is being loaded, and one that awaits its swap. */
  #following = 0;
  #ready: Candidate<A> | undefined;

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

  /**
   * Makes the leader's generation ready, from the texts that it kept: all but the swap, which is made by `follow`. Answers
   * with why it cannot. One that is not followed ends with `forget`, or when another comes.
   */
  prepare(generation: number): Promise<ReloadFailure | undefined> {
    return this.#turn(async () => {
      await this.#forget();
      return await this.#readied(generation).then(() => undefined, failureOf);
    });
  }

  forget(): Promise<void> {
    return this.#turn(() => this.#forget());
  }

  /** Serves the leader's generation. */
  follow(generation: number): Promise<ReloadResult> {
    return this.#turn(() => this.#follow(generation));
  }

  async #forget(): Promise<void> {
    const ready = this.#ready;
    this.#ready = undefined;
    if (ready !== undefined) await this.#endings.refuse(ready.generation, ready.begun, ready.prepared);
  }

  async #readied(generation: number): Promise<Candidate<A>> {
    if (this.#ready?.generation.id === generation) return this.#ready;
    await this.#forget();
    this.#following = generation;
    const made: Source[] = [];
    try {
      const texts = await this.archive.read(generation);
      if (texts === undefined) throw this.archive.missing(generation);
      const files = new Set([...texts.keys(), ...(this.#serving?.generation.cells.keys() ?? [])]);
      const plan = await this.#plan(onTexts(this.#options, texts), files, true, undefined, made);
      this.#ready = await this.#build(plan as Plan);
      return this.#ready;
    } finally {
      for (const source of made) source.discard();
    }
  }

  async #follow(generation: number): Promise<ReloadResult> {
    const startedAt = performance.now();
    if (this.#serving?.generation.id === generation) return this.#same(startedAt);
    try {
      const candidate = await this.#readied(generation);
      this.#ready = undefined;
      this.#serve(candidate);
      const result = { generation, ...this.#counted(candidate.plan), durationMs: performance.now() - startedAt };
      events.emit("reload.done", { ...result, trigger: "command" });
      return { ok: true, ...result };
    } catch (error) {
      return { ok: false, error: this.#failed(error, "command", new Set(), performance.now() - startedAt) };
    }
  }

  /** From now on this process makes the generations: the one that led has written all it knew. */
  async lead(): Promise<void> {
    await this.forget();
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
    await this.forget();
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
    return this.#turn(() => this.#back(trigger, kept));
  }

  #turn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#tail.then(() => outside(work));
    this.#tail = turn.catch(() => {});
    return turn;
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
      const candidate = await this.#build(plan);
      await this.#agreed(candidate);
      const done = this.#serve(candidate);
      const counted = { ...this.#counted(plan), durationMs: performance.now() - startedAt };
      const result = { generation: done.id, ...counted, ...(of === undefined ? {} : { of }) };
      this.#history.add({ ...result, ok: true, at: done.at.toISOString(), trigger });
      this.archive.keep(done.id, sourcesOf(done.cells));
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
  #plan(
    ground: Ground,
    pending: ReadonlySet<string>,
    asked: boolean,
    of: number | undefined,
    made: Source[],
  ): Promise<Plan | undefined> {
    return planOf({
      places: this.#options,
      ground,
      serving: this.#serving && { cells: this.#serving.generation.cells, roots: this.#roots },
      pending,
      asked,
      of,
      make: async (file, text) => {
        const source = await Source.make({ file, text, generation: this.#nextId, compiler: this.#compiler });
        made.push(source);
        return source;
      },
      listed: (roots) => {
        if (ground === this.#ground) this.#tried = roots;
      },
      // One that follows takes the number all the same: what lay between may not have loaded here.
      always: this.#follower,
    });
  }

  get #nextId(): number {
    if (this.#follower) return this.#following;
    return Math.max(this.#serving?.generation.id ?? 0, this.#history.lastGeneration) + 1;
  }

  #build(plan: Plan): Promise<Candidate<A>> {
    const previous = this.#serving?.generation;
    return build(plan, this.#nextId, previous, this.#linker, this.#endings, this.#options);
  }

  /** The swap. */
  #serve(candidate: Candidate<A>): Generation<A> {
    const previous = this.#serving;
    const { plan, generation } = candidate;
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

  /** The other processes of the cage load it from its kept texts, and will serve it as well; or nobody does. */
  async #agreed({ generation, begun, prepared }: Candidate<A>): Promise<void> {
    const { agree } = this.#options;
    if (agree === undefined || this.#follower || this.#serving === undefined) return;
    try {
      await agree(generation, async () => {
        this.archive.keep(generation.id, sourcesOf(generation.cells));
        await this.archive.flush();
      });
    } catch (error) {
      this.archive.drop(generation.id);
      await this.#endings.refuse(generation, begun, prepared);
      throw error;
    }
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
