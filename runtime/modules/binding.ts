/**
 * What each imported and exported name refers to, settled as ES modules do it: from what the sources say, for all
 * modules of a graph, before any of them runs. Cycles need no care then, and a name that is missing costs no side effect.
 *
 *     const names = new Names();
 *     names.of(module)               // every name that its namespace has, with its binding
 *     names.resolve(module, "x")     // { of: namespace, name } | "ambiguous" | undefined
 *
 * An own name wins over a star's. A name that two stars bring is ambiguous, hence absent and not to be imported,
 * unless both lead to one binding. Inside a package nobody can look: two of them mean the same if it is the same object.
 */
import type { Entries } from "./entries.ts";

export type Namespace = Readonly<Record<string, unknown>>;

/** A namespace that is not ours: a package, a builtin, `#runtime`. Loaded once a process, the same for all cells. */
export interface Foreign {
  /** Of a static import: loaded before any cell evaluates. */
  readonly namespace?: Namespace | undefined;
  load(): Promise<Namespace>;
}

/** A module as far as its names are concerned. */
export interface Named {
  readonly exports: Namespace;
  readonly entries: Entries;
  /** What a specifier of its static imports leads to. */
  target(spec: string): Named | Foreign;
}

export interface Binding {
  readonly of: Namespace;
  readonly name: string;
  readonly foreign: boolean;
}

type Resolved = Binding | "ambiguous" | undefined;

/** Of modules that do not change while it is asked: it remembers. */
export class Names {
  readonly #resolved = new Map<Named, Map<string, Resolved>>();

  of(module: Named): ReadonlyMap<string, Binding> {
    const { exports, stars } = module.entries;
    const found = new Map<string, Binding>();
    const names = new Set(Object.keys(exports));
    for (const spec of stars)
      for (const name of this.listed(module.target(spec))) if (name !== "default") names.add(name);
    for (const name of names) {
      const binding = this.resolve(module, name);
      if (binding !== undefined && binding !== "ambiguous") found.set(name, binding);
    }
    return found;
  }

  /** Names of a target, those that are ambiguous among them. */
  listed(target: Named | Foreign, seen = new Set<Named>()): Set<string> {
    if (!("entries" in target)) return new Set(Object.keys(target.namespace ?? {}));
    if (seen.has(target)) return new Set();
    seen.add(target);
    const names = new Set(Object.keys(target.entries.exports));
    for (const spec of target.entries.stars)
      for (const name of this.listed(target.target(spec), seen)) if (name !== "default") names.add(name);
    return names;
  }

  resolve(target: Named | Foreign, name: string): Resolved {
    if (!("entries" in target)) return foreign(target, name);
    let known = this.#resolved.get(target);
    if (known === undefined) this.#resolved.set(target, (known = new Map()));
    if (!known.has(name)) known.set(name, this.#search(target, name, new Map()));
    return known.get(name);
  }

  /** ResolveExport of the ECMAScript specification (16.2.1.7.2.2). Only a whole search is remembered: one inside a cycle is cut. */
  #search(target: Named | Foreign, name: string, seen: Map<Named, Set<string>>): Resolved {
    if (!("entries" in target)) return foreign(target, name);
    const { exports, stars } = target.entries;
    const own = Object.hasOwn(exports, name) ? exports[name] : undefined;
    if (own === null) return { of: target.exports, name, foreign: false };
    if (own === undefined && (name === "default" || stars.length === 0)) return undefined;
    const known = this.#resolved.get(target);
    if (known?.has(name)) return known.get(name);
    const asked = seen.get(target) ?? new Set();
    if (asked.has(name)) return undefined;
    seen.set(target, asked.add(name));
    if (own !== undefined) return this.#search(target.target(own[0]), own[1], seen);
    let found: Binding | undefined;
    for (const spec of stars) {
      const next = this.#search(target.target(spec), name, seen);
      if (next === "ambiguous") return next;
      if (next === undefined) continue;
      if (found !== undefined && !same(found, next)) return "ambiguous";
      found = next;
    }
    return found;
  }

  /** The stars of a module that bring a name. */
  starsWith(target: Named | Foreign, name: string): string[] {
    if (!("entries" in target)) return [];
    return target.entries.stars.filter((spec) => this.listed(target.target(spec)).has(name));
  }
}

const foreign = ({ namespace = {} }: Foreign, name: string): Resolved =>
  name in namespace ? { of: namespace, name, foreign: true } : undefined;

function same(a: Binding, b: Binding): boolean {
  if (a.of === b.of) return a.name === b.name;
  if (!a.foreign || !b.foreign) return false;
  const [one, other] = [a.of[a.name], b.of[b.name]];
  return one === other && (typeof one === "function" || (typeof one === "object" && one !== null));
}
