/**
 * Packages and builtins: imported by Node itself, once a process, as if the importing file were an ordinary module.
 *
 *     const zod = await natives.load("zod", "/project/cages/shop/orders.ts");
 *
 * Node resolves from the nearest node_modules that has the package, upwards of the file, else from the installation's,
 * with ESM conditions; CommonJS packages give `default` and the names Node finds in them. A package is never reloaded.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { constants, Script } from "node:vm";
import type { Namespace } from "./binding.ts";

type Import = (spec: string, options?: object) => Promise<Namespace>;

export class Natives {
  readonly #home: string;
  readonly #importers = new Map<string, Import>();
  /** By anchor folder and specifier: cells ask for the same few thousands of times. */
  readonly #loaded = new Map<string, Promise<Namespace>>();
  readonly #namespaces = new Map<string, Namespace>();
  /** Of each package folder that something was loaded from. */
  readonly #versions = new Map<string, string>();

  constructor(home: string) {
    this.#home = home;
  }

  /** The namespace, if it was loaded before. */
  known(spec: string, from: string): Namespace | undefined {
    return this.#namespaces.get(`${this.#anchor(spec, from)}\n${spec}`);
  }

  async load(spec: string, from: string): Promise<Namespace> {
    const anchor = this.#anchor(spec, from);
    if (anchor === undefined)
      throw Object.assign(new Error(`cannot find the package "${packageOf(spec)}"; install it with npm`), {
        code: "ERR_MODULE_NOT_FOUND",
      });
    const key = `${anchor}\n${spec}`;
    let work = this.#loaded.get(key);
    if (work === undefined) {
      const version = this.#versionOf(spec, anchor);
      work = this.#importer(anchor)(spec, spec.endsWith(".json") ? { with: { type: "json" } } : undefined);
      this.#loaded.set(key, work);
      work.then(
        (namespace) => {
          this.#namespaces.set(key, namespace);
          if (version !== undefined) this.#versions.set(version.folder, version.shown);
        },
        // Installed meanwhile, or repaired: the next load asks again.
        () => this.#loaded.delete(key),
      );
    }
    return await work;
  }

  /**
   * The folder to import from. Looked up here first, because Node remembers for ever that a package.json it looked for
   * was missing, and a package added under a running cage would never be found.
   */
  #anchor(spec: string, from: string): string | undefined {
    if (spec.startsWith("node:")) return this.#home;
    return above(dirname(from), packageOf(spec)) ?? above(this.#home, packageOf(spec));
  }

  /**
   * Installed anew under the running cage, its files are of another version than those that Node has loaded from it
   * already, and will keep: a part of it that is asked for first now would be put to the old ones.
   */
  #versionOf(spec: string, anchor: string): { folder: string; shown: string } | undefined {
    if (spec.startsWith("node:")) return undefined;
    const name = packageOf(spec);
    const folder = join(anchor, "node_modules", name);
    const shown = versionIn(folder);
    const loaded = this.#versions.get(folder);
    if (loaded !== undefined && loaded !== shown)
      throw new Error(
        `${name} is loaded as ${loaded} and now installed as ${shown}: restart the cage to apply it, ` +
          `until then "${spec}" cannot be imported`,
      );
    return { folder, shown };
  }

  #importer(folder: string): Import {
    let found = this.#importers.get(folder);
    if (found === undefined) this.#importers.set(folder, (found = importerAt(folder)));
    return found;
  }
}

/** Two loads a package in the life of a process: not worth being asynchronous. */
function versionIn(folder: string): string {
  try {
    return String((JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as { version?: unknown }).version);
  } catch {
    return "unknown";
  }
}

const packageOf = (spec: string): string =>
  spec
    .split("/")
    .slice(0, spec.startsWith("@") ? 2 : 1)
    .join("/");

/** The nearest folder, upwards, whose node_modules has the package. */
function above(start: string, name: string): string | undefined {
  for (let folder = start; ; folder = dirname(folder)) {
    if (statSync(join(folder, "node_modules", name), { throwIfNoEntry: false })?.isDirectory()) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}

/** An `import()` that resolves as in a file of that folder. A script for each folder: few, and kept. */
function importerAt(folder: string): Import {
  const native = new Script("(spec, options) => import(spec, options)", {
    filename: join(folder, "import.mjs"),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  }).runInThisContext() as Import;
  const { emitWarning } = process;
  // The option is stable since Node 22 and unchanged from 20; the warning of its first use would greet every start.
  process.emitWarning = () => {};
  try {
    void native("node:path");
  } finally {
    process.emitWarning = emitWarning;
  }
  return native;
}
