/**
 * An immutable, consistent set of loaded modules, and whatever the cage attached to it (configuration, pools).
 *
 *     const hold = generation.hold();            // a request, at its entry
 *     generation.module("orders")?.place(...)    // cages/NAME/orders.ts as of this generation
 *     hold.release();                            // at its end
 *
 * Generations share the cells of files that did not change. One that is not current and that nobody holds has ended:
 * its modules' stop hooks run, its attachment is disposed of, and it is garbage.
 */
import { join, relative, sep } from "node:path";
import { CageError } from "../errors.ts";
import type { Namespace } from "./binding.ts";
import type { Cell } from "./cell.ts";
import { within } from "./resolve.ts";

export interface Hold {
  release(): void;
}

/** What can be seen of a generation before it serves. */
export interface Candidate {
  readonly id: number;
  readonly config: Configuration;
  /** Modules of the cage's own folder, by the name they are asked for: "orders", "admin/users". */
  readonly names: readonly string[];
  readonly files: readonly string[];
  /** Files that are new or different in it, importers left out. */
  readonly changed: readonly string[];
  /** What each file said when it was read. */
  readonly hashes: ReadonlyMap<string, string>;
  /** The generation whose texts it has, when it is a rollback. */
  readonly of: number | undefined;
  module(name: string): Namespace | undefined;
  moduleOf(file: string): Namespace | undefined;
  /** What the file says in it. */
  text(file: string): string | undefined;
}

export interface Configuration {
  readonly own?: Namespace;
  readonly defaults?: Namespace;
  readonly cluster?: Namespace;
}

export class Generation<A> implements Candidate {
  readonly id: number;
  readonly at = new Date();
  readonly changed: readonly string[];
  readonly of: number | undefined;
  readonly #configFolder: string;
  readonly #cage: string;
  #cells: ReadonlyMap<string, Cell>;
  /** Asked for once a request, so kept by name. */
  #named: ReadonlyMap<string, Cell>;
  #attachment: { readonly value: A } | undefined;
  #holds = 0;
  #taken = 0;
  #life: "live" | "ending" | "ended" = "live";
  readonly #idle: (generation: Generation<A>) => void;

  constructor(options: {
    readonly id: number;
    readonly cage: string;
    readonly folder: string;
    readonly configFolder: string;
    readonly cells: ReadonlyMap<string, Cell>;
    readonly changed: readonly string[];
    readonly of: number | undefined;
    readonly idle: (generation: Generation<A>) => void;
  }) {
    this.id = options.id;
    this.#cage = options.cage;
    this.#configFolder = options.configFolder;
    this.#cells = options.cells;
    this.changed = options.changed;
    this.of = options.of;
    this.#idle = options.idle;
    const named = new Map<string, Cell>();
    for (const [file, cell] of options.cells) {
      cell.hold();
      if (!within(options.folder, file) || !file.endsWith(".ts")) continue;
      named.set(relative(options.folder, file).slice(0, -".ts".length).split(sep).join("/"), cell);
    }
    this.#named = named;
  }

  get attachment(): A {
    if (this.#attachment === undefined) throw new CageError("INTERNAL", `generation ${this.id} is not prepared yet`);
    return this.#attachment.value;
  }

  get holds(): number {
    return this.#holds;
  }

  /** Holds ever taken. */
  get taken(): number {
    return this.#taken;
  }

  get cells(): ReadonlyMap<string, Cell> {
    return this.#cells;
  }

  get files(): readonly string[] {
    return [...this.#cells.keys()];
  }

  get hashes(): ReadonlyMap<string, string> {
    return new Map([...this.#cells].map(([file, cell]) => [file, cell.source.hash]));
  }

  get names(): readonly string[] {
    return [...this.#named].flatMap(([name, cell]) => (cell.evaluated ? [name] : [])).sort();
  }

  get config(): Configuration {
    const own = this.moduleOf(join(this.#configFolder, `${this.#cage}.ts`));
    const defaults = this.moduleOf(join(this.#configFolder, "defaults.ts"));
    const cluster = this.moduleOf(join(this.#configFolder, "cluster.ts"));
    return { ...(own && { own }), ...(defaults && { defaults }), ...(cluster && { cluster }) };
  }

  module(name: string): Namespace | undefined {
    const cell = this.#named.get(name);
    return cell?.evaluated ? cell.exports : undefined;
  }

  text(file: string): string | undefined {
    return this.#cells.get(file)?.source.text;
  }

  moduleOf(file: string): Namespace | undefined {
    const cell = this.#cells.get(file);
    return cell?.evaluated ? cell.exports : undefined;
  }

  /** Keeps this generation until released. Of one that is ending only its own stop hooks may still take one. */
  hold(): Hold {
    if (this.#life === "ended") throw new CageError("INTERNAL", `generation ${this.id} has ended; nothing can hold it`);
    this.#holds++;
    this.#taken++;
    let held = true;
    return {
      release: () => {
        if (!held) return;
        held = false;
        if (--this.#holds === 0 && this.#life === "live") {
          this.#life = "ending";
          this.#idle(this);
        }
      },
    };
  }

  attach(value: A): void {
    this.#attachment = { value };
  }

  /** Ends it even if held: the process is leaving. False if it has ended or is about to. */
  force(): boolean {
    if (this.#life !== "live") return false;
    this.#life = "ending";
    return true;
  }

  /** Lets its cells go; those that no other generation has, last evaluated first. */
  release(): Cell[] {
    const last: Cell[] = [];
    for (const cell of this.#cells.values()) if (cell.release()) last.push(cell);
    return last.reverse();
  }

  ended(): void {
    this.#life = "ended";
    this.#cells = new Map();
    this.#named = new Map();
    this.#attachment = undefined;
  }
}
