/**
 * One instance of a source: its variables, its exports, and links to the very instances it imports.
 *
 * Links are made once and point at cells, never at "the current generation", so old code reaches only old code however
 * late it asks, and a cell is garbage once no generation and no running code refers to it.
 *
 *     new --evaluate--> evaluating --> done | failed          (a failure is kept, as in ESM)
 *
 * Semantics are those of ES modules: exports are live, a cycle sees the hoisted functions of a module that is still
 * evaluating, a name that is imported and not exported is an error before the importer's body goes on, `import()`
 * evaluates at its first call. Exports are read through getters.
 */
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { outside } from "../request/request.ts";
import { LoadError } from "./failure.ts";
import { isHooks } from "./hooks.ts";
import type { Resolved } from "./resolve.ts";
import type { Source } from "./source.ts";

export type Namespace = Readonly<Record<string, unknown>>;

/** A namespace that is not ours: a package, a builtin, `#runtime`. Loaded once a process, the same for all cells. */
export interface Foreign {
  /** Of a static import: loaded before any cell evaluates. */
  readonly namespace?: Namespace | undefined;
  load(): Promise<Namespace>;
}

type Target = Cell | Foreign;

interface Check {
  readonly target: Cell;
  readonly spec: string;
  readonly names: readonly string[];
}

/**
 * An empty namespace: nothing inherited but its name. V8 inlines the getters of an object in its fast mode, which makes
 * a call into another module cost what it costs in plain ESM. `Object.create(null)`, closing the object to extension,
 * and a getter for a name that another object of the same constructor has, all mean dictionary mode, at 6 ns a call:
 * hence a class for each.
 */
function empty(): Record<string, unknown> {
  class Module {
    [name: string]: unknown;
  }
  Object.setPrototypeOf(Module.prototype, null);
  Reflect.deleteProperty(Module.prototype, "constructor");
  Object.defineProperty(Module.prototype, Symbol.toStringTag, { value: "Module" });
  return new Module();
}

export class Cell {
  readonly source: Source;
  /** What its specifiers meant when it was linked. */
  readonly resolved: ReadonlyMap<string, Resolved>;
  readonly exports: Record<string, unknown> = empty();
  /** import(computed): packages only, since the graph has no edge for it. */
  readonly #computed: (spec: string) => Promise<Namespace>;
  readonly #links = new Map<string, Target>();
  #state: "new" | "evaluating" | "done" | "failed" = "new";
  #promise: Promise<void> | undefined;
  #order: Cell[] | undefined;
  readonly #waiting = new Set<Cell>();
  #checks: Check[] = [];
  /** Those that `export *` from here, until all names are known: a cycle brings some of them late. */
  #starredBy: Cell[] = [];
  #sealed = false;
  #generations = 0;
  /** Its start hook has run, so its stop hook is owed. */
  started = false;

  constructor(source: Source, resolved: ReadonlyMap<string, Resolved>, computed: (spec: string) => Promise<Namespace>) {
    this.source = source;
    this.resolved = resolved;
    this.#computed = computed;
  }

  get evaluated(): boolean {
    return this.#state === "done";
  }

  get evaluating(): boolean {
    return this.#state === "evaluating";
  }

  link(spec: string, target: Target): void {
    this.#links.set(spec, target);
  }

  /** A generation holds this cell. */
  hold(): void {
    if (this.#generations++ === 0) this.source.use();
  }

  /** True when that was the last generation. */
  release(): boolean {
    if (--this.#generations > 0) return false;
    this.source.drop();
    return true;
  }

  get hooks() {
    if (!this.source.isCode || this.#state !== "done") return [];
    return Object.values(this.exports).filter(isHooks);
  }

  evaluate(order: Cell[]): Promise<void> {
    if (this.#promise === undefined) {
      this.#order = order;
      this.#promise = this.#run();
      // Importers are told; a rejection seen by none of them must not end the process.
      this.#promise.catch(() => {});
    }
    return this.#promise;
  }

  async #run(): Promise<void> {
    this.#state = "evaluating";
    try {
      if (this.source.isCode) await this.#body();
      else Object.defineProperty(this.exports, "default", { enumerable: true, value: this.source.value });
      this.#state = "done";
      for (const cell of this.#starredBy) cell.#copy(this.exports);
      this.#order?.push(this);
    } catch (error) {
      this.#state = "failed";
      throw error;
    } finally {
      // The list is the generation's; keeping it would keep that generation's cells.
      this.#order = undefined;
    }
  }

  async #body(): Promise<void> {
    const { file } = this.source;
    await this.source.instantiate().call(
      undefined,
      this.exports,
      (spec, meta) => this.#import(spec, meta?.importedNames),
      (spec) => this.#dynamic(spec),
      (from) => this.#exportAll(from as Namespace),
      { url: pathToFileURL(file).href, filename: file, dirname: dirname(file) },
    );
  }

  async #import(spec: string, names: readonly string[] | undefined): Promise<Namespace> {
    const target = this.#links.get(spec);
    if (target === undefined) throw new LoadError(`${quoted(spec)} was not linked`, { file: this.source.file });
    if (!(target instanceof Cell)) {
      const namespace = target.namespace ?? (await target.load());
      if (names) this.#refuseMissing(namespace, spec, names);
      return namespace;
    }
    if (target.evaluating && target.#waitsFor(this)) {
      // A cycle: its names are known for certain only when all of it has evaluated.
      if (names) this.#checks.push({ target, spec, names });
      return target.exports;
    }
    if (!target.evaluated) await this.#wait(target, this.#order ?? []);
    if (names) this.#refuseMissing(target.exports, spec, names);
    return target.exports;
  }

  async #dynamic(spec: unknown): Promise<Namespace> {
    const target = this.#links.get(String(spec));
    if (target === undefined) return await this.#computed(String(spec));
    if (!(target instanceof Cell)) return await target.load();
    if (target.evaluated) return target.exports;
    if (this.#state === "evaluating") {
      if (!(target.evaluating && target.#waitsFor(this))) await this.#wait(target, this.#order ?? []);
      return target.exports;
    }
    // Outside the request that asked first: a timer or socket made by the module's body must not pin it.
    await outside(() => load([target], true));
    await target.#promise;
    return target.exports;
  }

  async #wait(target: Cell, order: Cell[]): Promise<void> {
    this.#waiting.add(target);
    try {
      await target.evaluate(order);
    } finally {
      this.#waiting.delete(target);
    }
  }

  #waitsFor(cell: Cell, seen = new Set<Cell>()): boolean {
    if (this === cell) return true;
    seen.add(this);
    for (const next of this.#waiting) if (!seen.has(next) && next.#waitsFor(cell, seen)) return true;
    return false;
  }

  #exportAll(from: Namespace): void {
    for (const target of this.#links.values())
      if (target instanceof Cell && target.exports === from && !target.#sealed) target.#starredBy.push(this);
    this.#copy(from);
  }

  #copy(from: Namespace): void {
    let added = false;
    for (const name of Object.keys(from)) {
      if (name === "default" || Object.hasOwn(this.exports, name)) continue;
      Object.defineProperty(this.exports, name, { enumerable: true, configurable: true, get: () => from[name] });
      added = true;
    }
    if (added) for (const cell of this.#starredBy) cell.#copy(this.exports);
  }

  /** Its cycle is complete: the checks that were put off. */
  seal(): void {
    for (const { target, spec, names } of this.#checks) this.#refuseMissing(target.exports, spec, names);
    this.forget();
  }

  /** Came by a lazy import: nothing would run its start hook before its first use. */
  refuseHooks(): void {
    if (this.hooks.length === 0) return;
    const message = "a module with hooks loads with the cage: import it from a module of the cage's folder";
    this.#state = "failed";
    this.#promise = Promise.reject(new LoadError(message, { file: this.source.file }));
    this.#promise.catch(() => {});
  }

  forget(): void {
    this.#sealed = true;
    this.#checks = [];
    this.#starredBy = [];
  }

  #refuseMissing(namespace: Namespace, spec: string, names: readonly string[]): void {
    for (const name of names) {
      if (name in namespace) continue;
      const has = Object.keys(namespace);
      const shown = has.length > 8 ? `${has.slice(0, 8).join(", ")}, ... (${has.length} names)` : has.join(", ");
      const found = this.source.find(spec, name) ?? {};
      throw new LoadError(
        `${quoted(spec)} has no export ${quoted(name)}; it has ${shown || "none"}` +
          (this.source.file.endsWith(".ts") ? ` (a type is imported with "import type")` : ""),
        { file: this.source.file, text: this.source.text, ...found },
      );
    }
  }
}

const quoted = (text: string): string => `"${text}"`;

/** Evaluates cells and all they import; answers with those that are new, dependencies first. */
export async function load(cells: readonly Cell[], lazily = false): Promise<Cell[]> {
  const order: Cell[] = [];
  try {
    for (const cell of cells) await cell.evaluate(order);
    for (const cell of order) cell.seal();
  } finally {
    // Of a refused attempt nothing may stay behind in the cells that it shares with what serves.
    for (const cell of order) cell.forget();
  }
  if (lazily) for (const cell of order) cell.refuseHooks();
  return order;
}
