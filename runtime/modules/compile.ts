/**
 * TypeScript text -> the body of an async function, with what it imports.
 *
 *     const compiler = new Compiler(join(stateDir, "compile"));
 *     const { code, deps, dynamicDeps, maps } = await compiler.compile("/abs/orders.ts", text);
 *
 * Two passes of oxc, both off the event loop: one strips the types, one turns every import and export of the module
 * into calls of `__vite_ssr_*` (names are oxc's), so that our graph answers them: live bindings, cycles and top-level
 * await work as in plain Node, and nothing enters Node's own module registry, which never forgets a module.
 *
 * Results are kept on disk by the hash of the text, so a start of unchanged code loads no compiler at all. The two
 * source maps are merged only when a stack trace asks (`source.ts`): most never do.
 *
 * The only importer of oxc-transform. Its module-runner pass is marked as made for Vite, hence the exact version pin
 * and one file to replace: esbuild's cjs output is the fallback, at the price of top-level await.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { extname, join } from "node:path";
import type { OxcError } from "oxc-transform";
import { type Entries, entriesOf } from "./entries.ts";
import { LoadError, placeAt } from "./failure.ts";

export interface Compiled {
  readonly code: string;
  /** Static imports and re-exports, each specifier once, in no order. */
  readonly deps: readonly string[];
  /** Targets of import("literal"). */
  readonly dynamicDeps: readonly string[];
  readonly entries: Entries;
  /** From the code to the stripped text, and from there to the author's. */
  readonly maps: readonly [string, string];
}

// Part of the key: a change of compiler or options must not find the old output.
const edition = "oxc-transform 0.151.0 / 3";

/** Compiled texts in memory, for the watcher's head start and for a save that is taken back. */
const maxRecent = 64;
/** Files of the disk cache before the oldest half is dropped; about 10 kB each. */
const maxKept = 6_000;

export class Compiler {
  readonly #dir: string | undefined;
  readonly #recent = new Map<string, Promise<Compiled>>();
  readonly #writes = new Set<Promise<void>>();
  #made: Promise<unknown> | undefined;
  #oxc: Promise<typeof import("oxc-transform")> | undefined;

  constructor(dir?: string) {
    this.#dir = dir;
  }

  /** Loads the compiler, which a start of unchanged code did without: 15 ms that the first save need not take. */
  async warm(): Promise<void> {
    await this.#transform("warm.ts", "export const warm: number = 1;");
  }

  compile(file: string, text: string): Promise<Compiled> {
    const key = hashOf(`${edition}\n${extname(file)}\n${text}`);
    const known = this.#recent.get(key);
    if (known) return known;
    const work = this.#compile(key, file, text);
    this.#recent.set(key, work);
    // A failure carries the name of its file, so it is not kept for another file of the same text.
    work.catch(() => this.#recent.delete(key));
    if (this.#recent.size > maxRecent) this.#recent.delete(this.#recent.keys().next().value as string);
    return work;
  }

  async #compile(key: string, file: string, text: string): Promise<Compiled> {
    const path = this.#dir === undefined ? undefined : join(this.#dir, `${key}.json`);
    if (path !== undefined) {
      const kept = await readFile(path, "utf8").then(JSON.parse, () => undefined);
      if (kept !== undefined) return kept as Compiled;
    }
    const compiled = await this.#transform(file, text);
    if (path !== undefined) this.#keep(path, compiled);
    return compiled;
  }

  async #transform(file: string, text: string): Promise<Compiled> {
    const { moduleRunnerTransform, transform } = await (this.#oxc ??= import("oxc-transform"));
    const lang = langs[extname(file)] ?? "ts";
    const stripped = await transform(file, text, {
      lang,
      sourceType: "module",
      sourcemap: true,
      target: "esnext",
      // What verbatimModuleSyntax promises in the editor: an import without `type` is a real one.
      typescript: { onlyRemoveTypeImports: true },
    });
    refuse(stripped.errors, file, text);
    const run = await moduleRunnerTransform(file, mended(stripped.code), { sourcemap: true });
    refuse(run.errors, file, text);
    return {
      code: run.code,
      deps: run.deps,
      dynamicDeps: run.dynamicDeps.filter((spec) => !run.deps.includes(spec)),
      entries: entriesOf(run.code),
      maps: [bare(run.map), bare(stripped.map)],
    };
  }

  #keep(path: string, compiled: Compiled): void {
    const write = (async () => {
      await (this.#made ??= mkdir(this.#dir as string, { recursive: true }));
      // Renamed into place: a reader in another process sees a whole file or none.
      const draft = `${path}.${process.pid}.${Math.random().toString(36).slice(2)}`;
      await writeFile(draft, JSON.stringify(compiled));
      await rename(draft, path);
    })().catch(() => {
      // A cache: a full disk costs the next start some time and nothing else.
      this.#made = undefined;
    });
    this.#writes.add(write);
    void write.finally(() => this.#writes.delete(write));
  }

  /** Waits for the disk and drops the oldest half of an overgrown cache. */
  async close(): Promise<void> {
    await Promise.all(this.#writes);
    if (this.#dir === undefined) return;
    const names = await readdir(this.#dir).catch(() => []);
    if (names.length <= maxKept) return;
    const aged = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#dir as string, name);
        return { path, at: (await stat(path).catch(() => undefined))?.mtimeMs ?? 0 };
      }),
    );
    aged.sort((a, b) => a.at - b.at);
    await Promise.all(aged.slice(0, aged.length >> 1).map(({ path }) => rm(path, { force: true })));
  }
}

const langs: Readonly<Record<string, "ts" | "tsx" | "js" | "jsx">> = {
  ".ts": "ts",
  ".mts": "ts",
  ".tsx": "tsx",
  ".js": "js",
  ".mjs": "js",
  ".jsx": "jsx",
};

/** Is this a file that is compiled? Anything else is data: JSON, or text. */
export const isCode = (file: string): boolean => extname(file) in langs;

export const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 32);

/**
 * The runner pass of 0.151 forgets `a` of `import a, * as b from "c"`. The first pass prints each import on a line of
 * its own, so two imports on that line mean the same and keep every other place in the file.
 */
function mended(code: string): string {
  // A first line for the shell is only allowed in the first column of a file; ours begins with the wrapper.
  return code
    .replace(/^#!/, "//")
    .replace(
      /^import ([\w$]+), \* as ([\w$]+) from ("[^"\n]*"(?: with [^\n]*)?);$/gm,
      "import $1 from $3; import * as $2 from $3;",
    );
}

/** A map without the texts, which are known already. */
function bare(map: { mappings: string; names: string[]; version: number } | undefined): string {
  return JSON.stringify({ version: 3, names: map?.names ?? [], sources: ["x"], mappings: map?.mappings ?? "" });
}

function refuse(errors: readonly OxcError[], file: string, text: string): void {
  const error = errors.find((each) => each.severity === "Error") ?? errors[0];
  if (error === undefined) return;
  const label = error.labels[0];
  // oxc counts bytes of UTF-8.
  const before = label === undefined ? "" : Buffer.from(text).toString("utf8", 0, label.start);
  const place = label === undefined ? {} : placeAt(before, before.length);
  const help = error.helpMessage ? ` (${error.helpMessage})` : "";
  throw new LoadError(`${lower(error.message)}${help}`, { file, text, ...place });
}

const lower = (sentence: string): string =>
  /^[A-Z][a-z]/.test(sentence) ? sentence.charAt(0).toLowerCase() + sentence.slice(1) : sentence;
