/**
 * One version of one file, ready to be made into any number of instances (cells).
 *
 *     const source = await Source.make({ file, text, generation: 7, compiler });
 *     source.deps            // ["./money.ts", "#runtime"]
 *     source.instantiate()   // a fresh body: its module-level variables are shared with nobody
 *
 * Code is compiled; `.json` is parsed; anything else (.thrift .sql .css .html ...) is its text. Counted by the cells
 * that use it: with the last one its name leaves the table of stack traces.
 */
import { url as inspectorUrl } from "node:inspector";
import { extname } from "node:path";
import { pathToFileURL } from "node:url";
import { Script } from "node:vm";
import { type Compiled, type Compiler, hashOf, isCode } from "./compile.ts";
import type { Entries } from "./entries.ts";
import { LoadError, placeAt } from "./failure.ts";
import { Lines } from "./lines.ts";
import { type Position, register, unregister } from "./stack.ts";

/** What the compiled body calls: the names are parameters of its wrapper, in this order. */
export type Body = (
  exports: object,
  importStatic: (spec: string) => Promise<unknown>,
  importDynamic: (spec: unknown) => Promise<unknown>,
  exportAll: (from: unknown) => void,
  meta: object,
) => Promise<void>;

const head =
  "(async function (__vite_ssr_exports__, __vite_ssr_import__, __vite_ssr_dynamic_import__, " +
  '__vite_ssr_exportAll__, __vite_ssr_import_meta__) { "use strict";\n';

const data: Entries = { imports: [], stars: [], exports: { default: null } };

export class Source {
  readonly file: string;
  readonly text: string;
  readonly hash: string;
  /** The generation this version of the file came in with. */
  readonly generation: number;
  /** Of JSON and text files: the default export. */
  readonly value: unknown;
  readonly #compiled: Compiled | undefined;
  readonly #script: Script | undefined;
  readonly #name: string | undefined;
  readonly #lines: Lines | undefined;
  #uses = 0;

  static async make(from: { file: string; text: string; generation: number; compiler: Compiler }): Promise<Source> {
    const compiled = isCode(from.file) ? await from.compiler.compile(from.file, from.text) : undefined;
    return new Source(from.file, from.text, from.generation, compiled);
  }

  private constructor(file: string, text: string, generation: number, compiled: Compiled | undefined) {
    this.file = file;
    this.text = text;
    this.hash = hashOf(text);
    this.generation = generation;
    this.#compiled = compiled;
    if (compiled === undefined) {
      this.value = extname(file) === ".json" ? this.#parsed() : text;
      return;
    }
    const lines = new Lines(file, compiled.maps);
    this.#lines = lines;
    const name = register(`${pathToFileURL(file).href}?g=${generation}`, lines.labelled(`g${generation}`));
    this.#name = name;
    try {
      // Never importModuleDynamically: it leaks on Node 20, and the compiler leaves no import() behind.
      this.#script = new Script(`${head}${compiled.code}\n})${this.#forDebugger()}`, { filename: name });
    } catch (error) {
      unregister(name, false);
      throw this.#syntax(error, name);
    }
  }

  get isCode(): boolean {
    return this.#compiled !== undefined;
  }

  get deps(): readonly string[] {
    return this.#compiled?.deps ?? [];
  }

  get dynamicDeps(): readonly string[] {
    return this.#compiled?.dynamicDeps ?? [];
  }

  get entries(): Entries {
    return this.#compiled?.entries ?? data;
  }

  instantiate(): Body {
    return (this.#script as Script).runInThisContext() as Body;
  }

  use(): void {
    this.#uses++;
  }

  drop(): void {
    this.#uses--;
    if (this.#uses === 0 && this.#name !== undefined) unregister(this.#name, true);
  }

  /** Forgets the name unless a cell uses it: for an attempt that made a source and no cell of it. */
  discard(): void {
    if (this.#uses === 0 && this.#name !== undefined) unregister(this.#name, false);
  }

  /** Where in the author's text a place of the compiled code is. */
  position(line: number, column: number): Position {
    return (this.#lines as Lines).position(line, column);
  }

  /** The place of an import of `spec` in the text, of `name` in it if given: good enough to point at. */
  find(spec: string, name?: string): { line: number; column: number } | undefined {
    const quoted = spec.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const statement = new RegExp(`(?:import|export)\\s[^;"'\`]*?["'\`]${quoted}["'\`]|["'\`]${quoted}["'\`]`).exec(
      this.text,
    );
    if (statement === null) return undefined;
    const inside = name === undefined ? -1 : statement[0].search(new RegExp(`(?<![\\w$])${name}(?![\\w$])`));
    const at = inside >= 0 ? inside : Math.max(0, statement[0].search(/["'`]/));
    return placeAt(this.text, statement.index + at);
  }

  /** A debugger that is attached is given the map; without one it would be a third of the memory of the code. */
  #forDebugger(): string {
    if (inspectorUrl() === undefined) return "";
    const map = { ...this.#lines?.merged(), sources: [pathToFileURL(this.file).href], sourcesContent: [this.text] };
    return `\n//# sourceMappingURL=data:application/json;base64,${Buffer.from(JSON.stringify(map)).toString("base64")}`;
  }

  #parsed(): unknown {
    try {
      return JSON.parse(this.text);
    } catch (error) {
      const message = (error as Error).message;
      const at = /position (\d+)/.exec(message);
      const place = placeAt(this.text, at === null ? this.text.length : Number(at[1]));
      throw new LoadError(`not valid JSON: ${message}`, { file: this.file, text: this.text, ...place, cause: error });
    }
  }

  /** What oxc lets pass and V8 does not: its stack begins with "name:line". */
  #syntax(error: unknown, name: string): LoadError {
    const shown = String((error as Error).stack);
    const line = shown.startsWith(`${name}:`) ? Number.parseInt(shown.slice(name.length + 1), 10) : 0;
    const column = Math.max(0, /^ *\^/m.exec(shown)?.[0].length ?? 1);
    const place = line > 0 ? this.position(line, column) : { line: 0, column: 0 };
    return new LoadError((error as Error).message, {
      file: this.file,
      text: this.text,
      line: place.line,
      column: place.column,
      cause: error,
    });
  }
}
