/**
 * One instance of a source: its variables, its exports, and links to the very instances it imports.
 *
 * Links are made once and point at cells, never at "the current generation", so old code reaches only old code however
 * late it asks, and a cell is garbage once no generation and no running code refers to it.
 *
 *     new --evaluate--> evaluating --> done | failed          (a failure is kept, as in ESM)
 *
 * Semantics are those of ES modules: exports are live, a cycle sees the hoisted functions of a module that is still
 * evaluating, a name that is imported and not exported is an error before anything runs (binding.ts), `import()`
 * evaluates at its first call, a namespace takes no other names. Exports are read through getters.
 */
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { outside } from "../request/request.ts";
import { type Foreign, type Named, Names, type Namespace } from "./binding.ts";
import type { Entries } from "./entries.ts";
import { LoadError } from "./failure.ts";
import { isHooks } from "./hooks.ts";
import type { Resolved } from "./resolve.ts";
import type { Source } from "./source.ts";

type Target = Cell | Foreign;

/**
 * An empty namespace: nothing inherited but its name. V8 inlines the getters of an object in its fast mode, which makes
 * a call into another module cost what it costs in plain ESM. `Object.create(null)`, and a getter for a name that
 * another object of the same constructor has, mean dictionary mode, at 6 ns a call: hence a class for each. Sealing it
 * once all its names are there keeps the mode.
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

export class Cell implements Named {
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
  #bound = false;
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

  get entries(): Entries {
    return this.source.entries;
  }

  link(spec: string, target: Target): void {
    this.#links.set(spec, target);
  }

  target(spec: string): Target {
    const target = this.#links.get(spec);
    if (target === undefined) throw new LoadError(`${quoted(spec)} was not linked`, { file: this.source.file });
    return target;
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
      this.#order?.push(this);
    } catch (error) {
      this.#state = "failed";
      throw error;
    } finally {
      // The list is the generation's; keeping it would keep that generation's cells.
      this.#order = undefined;
    }
  }

  #body(): Promise<void> {
    const { file } = this.source;
    const done = this.source.instantiate().call(
      undefined,
      this.exports,
      (spec) => this.#import(spec),
      (spec) => this.#dynamic(spec),
      // Bound before.
      () => {},
      { url: pathToFileURL(file).href, filename: file, dirname: dirname(file) },
    );
    // A body begins with its exports.
    Object.seal(this.exports);
    return done;
  }

  async #import(spec: string): Promise<Namespace> {
    const target = this.target(spec);
    if (!(target instanceof Cell)) return target.namespace ?? (await target.load());
    if (!target.evaluated && !target.#inCycleWith(this)) await this.#wait(target, this.#order ?? []);
    return target.exports;
  }

  async #dynamic(spec: unknown): Promise<Namespace> {
    const target = this.#links.get(String(spec));
    if (target === undefined) return await this.#computed(String(spec));
    if (!(target instanceof Cell)) return await target.load();
    if (target.evaluated) return target.exports;
    if (this.#state === "evaluating") {
      if (!target.#inCycleWith(this)) {
        Cell.bind([target]);
        await this.#wait(target, this.#order ?? []);
      }
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

  #inCycleWith(cell: Cell): boolean {
    return this.evaluating && this.#waitsFor(cell);
  }

  #waitsFor(cell: Cell, seen = new Set<Cell>()): boolean {
    if (this === cell) return true;
    seen.add(this);
    for (const next of this.#waiting) if (!seen.has(next) && next.#waitsFor(cell, seen)) return true;
    return false;
  }

  /** Itself and all it imports statically, as far as their names are not settled yet. */
  #unbound(found: Set<Cell>): void {
    if (this.#bound || found.has(this)) return;
    found.add(this);
    for (const spec of this.source.deps) {
      const target = this.target(spec);
      if (target instanceof Cell) target.#unbound(found);
    }
  }

  /** Settles all names of what is about to run, or says which one cannot be; nothing has run then. */
  static bind(cells: readonly Cell[]): void {
    const names = new Names();
    const unbound = new Set<Cell>();
    for (const cell of cells) cell.#unbound(unbound);
    for (const cell of unbound) cell.#check(names);
    for (const cell of unbound) {
      cell.#bound = true;
      if (cell.entries.stars.length > 0) cell.#take(names);
    }
  }

  /** The names that its stars bring. */
  #take(names: Names): void {
    const own = this.entries.exports;
    for (const [name, { of, name: there }] of names.of(this))
      if (!Object.hasOwn(own, name))
        Object.defineProperty(this.exports, name, { enumerable: true, configurable: true, get: () => of[there] });
  }

  /** Came by a lazy import: nothing would run its start hook before its first use. */
  refuseHooks(): void {
    if (this.hooks.length === 0) return;
    const message = "a module with hooks loads with the cage: import it from a module of the cage's folder";
    this.#state = "failed";
    this.#promise = Promise.reject(new LoadError(message, { file: this.source.file }));
    this.#promise.catch(() => {});
  }

  /** That every name it imports or passes on is there, once. */
  #check(names: Names): void {
    for (const [spec, imported] of this.entries.imports)
      for (const name of imported) {
        const target = this.target(spec);
        const binding = names.resolve(target, name);
        if (binding !== undefined && binding !== "ambiguous") continue;
        const { file, text } = this.source;
        const message =
          binding === undefined
            ? missing(spec, name, names.listed(target))
            : conflicting(spec, name, names.starsWith(target, name));
        const hint = file.endsWith(".ts") && binding === undefined ? ` (a type is imported with "import type")` : "";
        throw new LoadError(message + hint, { file, text, ...this.source.find(spec, name) });
      }
  }
}

function missing(spec: string, name: string, names: ReadonlySet<string>): string {
  const has = [...names];
  const shown = has.length > 8 ? `${has.slice(0, 8).join(", ")}, ... (${has.length} names)` : has.join(", ");
  return `${quoted(spec)} has no export ${quoted(name)}; it has ${shown || "none"}`;
}

const conflicting = (spec: string, name: string, stars: readonly string[]): string =>
  `${quoted(spec)} has conflicting star exports for the name ${quoted(name)}, from ${stars.map(quoted).join(" and ")}; ` +
  `there, export it from one of them by name`;

const quoted = (text: string): string => `"${text}"`;

/** Evaluates cells and all they import; answers with those that are new, dependencies first. */
export async function load(cells: readonly Cell[], lazily = false): Promise<Cell[]> {
  const order: Cell[] = [];
  Cell.bind(cells);
  for (const cell of cells) await cell.evaluate(order);
  if (lazily) for (const cell of order) cell.refuseHooks();
  return order;
}
