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
 */
import { readdir } from "node:fs/promises";
import { join, relative, resolve } from "node:path";
import { CageError } from "../errors.ts";
import { events } from "../health/events.ts";
import { outside } from "../request/request.ts";
import { type Cell, load } from "./cell.ts";
import { Compiler, hashOf, isCode } from "./compile.ts";
import { Disk } from "./disk.ts";
import { failureOf, LoadError, type ReloadFailure } from "./failure.ts";
import { type Candidate, Generation, type Hold } from "./generation.ts";
import { difference, survey } from "./graph.ts";
import { type Entry, History, type Trigger } from "./history.ts";
import { begin, finish } from "./life.ts";
import { Linker, type Links } from "./linker.ts";
import { diskOnce, resolveIn, within } from "./resolve.ts";
import { Source } from "./source.ts";
import { topOf } from "./stack.ts";
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
  prepare(candidate: Candidate, previous: Generation<A> | undefined): Promise<Prepared<A>>;
  /** Runs a module's hook inside a request on that generation. */
  runHook(generation: Generation<A>, hook: () => unknown): Promise<void>;
  /** The generation has ended: close what no later one uses. */
  dispose(generationId: number, attachment: A): Promise<void>;
  /** Files that load beside those of the cage's folder: its tests, when it runs for them. */
  more?(): Promise<readonly string[]>;
  /** For one candidate to evaluate: a top-level await that never ends must not block all later saves. */
  readonly loadTimeoutMs?: number;
}

export type ReloadResult =
  | {
      readonly ok: true;
      readonly generation: number;
      /** Relative to the project; empty if nothing had changed. */
      readonly files: readonly string[];
      readonly dependents: number;
      readonly durationMs: number;
    }
  | { readonly ok: false; readonly error: ReloadFailure };

interface Plan extends Links {
  readonly roots: readonly string[];
  readonly changed: readonly string[];
  readonly removed: readonly string[];
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
  #serving: Serving<A> | undefined;
  #roots: readonly string[] = [];
  /** Those of the last attempt, which may have failed: the same again would fail again. */
  #tried: readonly string[] = [];
  #pending = new Set<string>();
  #reshaped = false;
  #next: Promise<ReloadResult> | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  readonly #live = new Set<Generation<A>>();
  readonly #endings = new Set<Promise<void>>();
  #watcher: Watcher | undefined;
  #failure: ReloadFailure | undefined;
  #told = "";

  constructor(options: LoaderOptions<A>) {
    this.#options = options;
    this.#folder = join(options.root, "cages", options.cage);
    this.#configFolder = join(options.root, "config");
    this.#compiler = new Compiler(join(options.stateDir, "compile"));
    this.#linker = new Linker(options);
    this.#history = new History(join(options.stateDir, options.cage, "generations.jsonl"));
  }

  get current(): Generation<A> {
    if (this.#serving === undefined)
      throw new CageError("UNAVAILABLE", `the cage ${this.#options.cage} has no modules loaded`);
    return this.#serving.generation;
  }

  /** The current generation, and older ones that requests still hold. */
  get live(): readonly Generation<A>[] {
    return [...this.#live];
  }

  /** Why the newest state of the files is not what serves. */
  get failure(): ReloadFailure | undefined {
    return this.#failure;
  }

  history(): readonly Entry[] {
    return this.#history.entries;
  }

  async start(): Promise<void> {
    await this.#history.open();
    const result = await this.#queue("start");
    if (!result.ok) throw result.error.cause;
  }

  /** With no files named, looks at all of them. */
  async reload(trigger: Exclude<Trigger, "start">, files?: readonly string[]): Promise<ReloadResult> {
    const all = files ?? (await this.#disk.differing(this.#watched()));
    // Nobody said what came or went.
    if (files === undefined) this.#reshaped = true;
    for (const file of all) this.#pending.add(resolve(this.#options.root, file));
    return await this.#queue(trigger);
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
      seen: (path) => this.#ahead(path),
      batch: (files) => this.reload("watch", files),
      settle: async () => {
        const files = await this.#disk.differing(this.#watched());
        const roots = await this.#listRoots().catch(() => []);
        if (files.length > 0 || roots.join() !== this.#tried.join()) await this.reload("watch", files);
      },
    });
    this.#watcher = watcher;
    await watcher.start();
    watcher.add(this.#serving?.generation.files ?? []);
  }

  /** Ends every generation, held or not: drain first. */
  async stop(): Promise<void> {
    await this.#watcher?.stop();
    await this.#tail;
    this.#serving?.hold.release();
    for (const generation of this.#live) if (generation.force()) this.#end(generation);
    await Promise.all(this.#endings);
    this.#serving = undefined;
    await this.#compiler.close();
    await this.#history.flush();
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

  async #pass(trigger: Trigger): Promise<ReloadResult> {
    const startedAt = performance.now();
    const pending = this.#pending;
    const reshaped = this.#reshaped;
    this.#pending = new Set();
    this.#reshaped = false;
    const made: Source[] = [];
    try {
      const plan = await this.#plan(pending, reshaped, made);
      const done = plan === undefined ? undefined : await this.#swap(plan);
      this.#failure = undefined;
      this.#told = "";
      const durationMs = performance.now() - startedAt;
      if (done === undefined) return { ok: true, generation: this.current.id, files: [], dependents: 0, durationMs };
      const result = { generation: done.id, ...this.#counted(plan as Plan), durationMs };
      this.#history.add({ ...result, ok: true, at: done.at.toISOString(), trigger });
      events.emit("reload.done", { ...result, trigger });
      return { ok: true, ...result };
    } catch (error) {
      for (const file of pending) this.#pending.add(file);
      if (reshaped) this.#reshaped = true;
      return { ok: false, error: this.#failed(error, trigger, pending, performance.now() - startedAt) };
    } finally {
      for (const source of made) source.discard();
    }
  }

  /** What the next generation would consist of; undefined if it would be the same. */
  async #plan(pending: ReadonlySet<string>, asked: boolean, made: Source[]): Promise<Plan | undefined> {
    const cells = this.#serving?.generation.cells ?? new Map<string, Cell>();
    const fresh = new Map<string, Source>();
    const make = async (file: string, text: string): Promise<Source> => {
      const source = await Source.make({ file, text, generation: this.#nextId, compiler: this.#compiler });
      made.push(source);
      return source;
    };
    let reshaped = asked || this.#serving === undefined;
    const looked = await Promise.allSettled(
      [...pending].map(async (file) => {
        const old = cells.get(file)?.source;
        const text = await this.#disk.read(file, old?.text);
        if (old === undefined || text === undefined) reshaped = true;
        else if (hashOf(text) !== old.hash) fresh.set(file, await make(file, text));
      }),
    );
    const failed = looked.find((each) => each.status === "rejected");
    if (failed) throw failed.reason;
    const roots = await this.#listRoots();
    this.#tried = roots;
    if (roots.join() !== this.#roots.join()) reshaped = true;
    if (!reshaped && fresh.size === 0) return undefined;
    const isFile = diskOnce();
    const nodes = await survey({
      roots,
      cells,
      fresh,
      reshaped,
      read: async (file) => {
        const text = await this.#disk.read(file);
        if (text === undefined) throw new LoadError("the file is gone", { file });
        return await make(file, text);
      },
      resolve: (spec, from) => resolveIn(this.#options, spec, from, isFile),
    });
    const { changed, dirty } = difference(nodes, cells);
    const same = dirty.size === 0 && nodes.size === cells.size && roots.join() === this.#roots.join();
    if (same && this.#serving !== undefined) return undefined;
    const removed = [...pending].filter((file) => cells.has(file) && !nodes.has(file));
    return { roots, nodes, changed, removed, dirty };
  }

  get #nextId(): number {
    return Math.max(this.#serving?.generation.id ?? 0, this.#history.lastGeneration) + 1;
  }

  async #swap(plan: Plan): Promise<Generation<A>> {
    const previous = this.#serving;
    const cells = await this.#linker.link(plan, previous?.generation.cells);
    const generation = new Generation<A>({
      id: this.#nextId,
      cage: this.#options.cage,
      folder: this.#folder,
      configFolder: this.#configFolder,
      cells,
      changed: plan.changed,
      idle: (ended) => this.#end(ended),
    });
    const hold = generation.hold();
    const begun: Cell[] = [];
    let prepared: Prepared<A> | undefined;
    try {
      const order = await this.#evaluate(plan, cells);
      prepared = await this.#options.prepare(generation, previous?.generation);
      generation.attach(prepared.attachment);
      for (const cell of order) {
        if (cell.hooks.length === 0) continue;
        begun.push(cell);
        await begin(cell, previous?.generation.cells.get(cell.source.file), (hook) =>
          this.#options.runHook(generation, hook),
        );
      }
    } catch (error) {
      await this.#refuse(generation, begun, prepared);
      throw error;
    }
    this.#serving = { generation, hold };
    this.#roots = plan.roots;
    this.#live.add(generation);
    try {
      prepared.commit();
    } catch (error) {
      // It serves already.
      complain(`what follows the swap to generation ${generation.id}`, error);
    }
    previous?.hold.release();
    this.#disk.keep(new Set([...cells.keys(), ...this.#pending]));
    this.#watcher?.add(plan.changed);
    return generation;
  }

  async #evaluate({ roots, dirty }: Plan, cells: ReadonlyMap<string, Cell>): Promise<Cell[]> {
    const timeoutMs = this.#options.loadTimeoutMs ?? 30_000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // The innermost one: those above it wait for it.
        const stuck = [...dirty].filter((file) => cells.get(file)?.evaluating).at(-1) ?? "";
        const message = `did not finish loading in ${timeoutMs} ms: its top-level await waits for something`;
        reject(new LoadError(message, { file: stuck }));
      }, timeoutMs);
    });
    try {
      return await Promise.race([load(roots.map((file) => cells.get(file) as Cell)), late]);
    } catch (error) {
      throw error instanceof CageError && error.name === "LoadError" ? error : this.#thrown(error, cells);
    } finally {
      clearTimeout(timer);
    }
  }

  /** What a module's body threw, with the place in the author's text. */
  #thrown(error: unknown, cells: ReadonlyMap<string, Cell>): LoadError {
    const at = topOf(error);
    const text = at === undefined ? undefined : cells.get(at.file)?.source.text;
    const name = error instanceof Error && error.name !== "Error" ? `${error.name}: ` : "";
    const message = `threw while loading: ${name}${error instanceof Error ? error.message : String(error)}`;
    return new LoadError(message, { file: at?.file ?? "", text, line: at?.line, column: at?.column, cause: error });
  }

  async #refuse(generation: Generation<A>, begun: readonly Cell[], prepared: Prepared<A> | undefined): Promise<void> {
    generation.force();
    for (const cell of [...begun].reverse()) await this.#finish(generation, cell);
    await prepared?.abort().catch((error) => complain(`closing what a refused reload had opened`, error));
    generation.release();
    generation.ended();
  }

  async #finish(generation: Generation<A>, cell: Cell): Promise<void> {
    await finish(cell, (hook) => this.#options.runHook(generation, hook)).catch((error) =>
      complain(`the stop hook of ${this.#shown(cell.source.file)}`, error),
    );
  }

  /** Nobody holds it any more. */
  #end(generation: Generation<A>): void {
    const ending = outside(async () => {
      for (const cell of generation.release()) await this.#finish(generation, cell);
      await this.#options
        .dispose(generation.id, generation.attachment)
        .catch((error) => complain(`closing what generation ${generation.id} had open`, error));
      generation.ended();
      this.#live.delete(generation);
      events.emit("generation.collected", { generation: generation.id });
    });
    this.#endings.add(ending);
    void ending.finally(() => this.#endings.delete(ending));
  }

  #failed(error: unknown, trigger: Trigger, pending: ReadonlySet<string>, durationMs: number): ReloadFailure {
    const failure = failureOf(error);
    this.#failure = failure;
    const { cause: _, ...facts } = failure;
    const key = JSON.stringify(facts);
    // Once for each distinct failure: every save of another file tries the same broken one again.
    if (key === this.#told) return failure;
    this.#told = key;
    const blamed = pending.size > 0 || failure.file === "" ? [...pending] : [failure.file];
    const files = blamed.map((file) => this.#shown(file)).sort();
    const at = new Date().toISOString();
    this.#history.add({
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

  /** Files of the cage's folder itself, and its configuration; what they import comes with them. */
  async #listRoots(): Promise<readonly string[]> {
    // Not declarations (x.d.ts, x.d.thrift.ts), nor tests.
    const isModule = (name: string) => name.endsWith(".ts") && !/\.(d(\.\w+)?|test)\.ts$/.test(name);
    const names = await readdir(this.#folder, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      throw new LoadError(`there is no cage ${this.#options.cage}: make the folder, an empty one will do`, {
        file: this.#folder,
      });
    });
    const own = names.filter((entry) => !entry.isDirectory() && isModule(entry.name)).map((entry) => entry.name);
    const wanted = ["defaults.ts", "cluster.ts", `${this.#options.cage}.ts`];
    const configs = await readdir(this.#configFolder).catch(() => [] as string[]);
    return [
      ...wanted.filter((name) => configs.includes(name)).map((name) => join(this.#configFolder, name)),
      ...own.sort().map((name) => join(this.#folder, name)),
      ...((await this.#options.more?.()) ?? []),
    ];
  }

  #watched(): Set<string> {
    return new Set([...(this.#serving?.generation.cells.keys() ?? []), ...this.#pending]);
  }

  /** Begins to compile a file that was just saved, while its batch is still open. */
  #ahead(path: string): void {
    if (!isCode(path) || !this.#serving?.generation.cells.has(path)) return;
    const head = async () => {
      const text = await this.#disk.peek(path);
      if (text) await this.#compiler.compile(path, text);
    };
    head().catch(() => {});
  }
}

function complain(what: string, error: unknown): void {
  events.emit("log", {
    level: "error",
    message: `${what} failed: ${error instanceof Error ? error.message : String(error)}`,
    fields: { error },
  });
}
