/**
 * A specifier in a file -> what it means there.
 *
 *     ./money.ts  /abs/x.ts      that file, hot
 *     #shared/mail.ts            the cage's own mail.ts if there is one, else cages/.shared/mail.ts
 *     #lib/sqlite.ts             the project's lib/ if it has the file, else the installation's; hot either way
 *     #runtime                   an object handed in by the process (any name in `externals`)
 *     node:fs  zod               Node's and packages', from the importing file upwards, then the installation's
 *
 * An override that imports its own name (`#shared/mail.ts` in the cage's mail.ts) gets the file it overrides.
 * Refused, with what to do instead: code of another cage (call it; types come by `import type`), the runtime by path,
 * a path without its extension.
 */
import { statSync } from "node:fs";
import { isBuiltin } from "node:module";
import { dirname, extname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath } from "node:url";

export type Resolved =
  | { readonly kind: "file"; readonly file: string }
  | { readonly kind: "external"; readonly name: string }
  | { readonly kind: "native"; readonly spec: string };

/** Why a specifier means nothing; the graph adds file, line and frame. */
export class Unresolved extends Error {}

export interface Places {
  /** The project: cages/, config/, lib/. */
  readonly root: string;
  /** The installation: runtime/, lib/, node_modules/. Often the same folder. */
  readonly home: string;
  readonly cage: string;
  readonly externals: Readonly<Record<string, object>>;
}

export type IsFile = (path: string) => boolean;

/** Asks the disk once for each path; for one look at the graph. */
export function diskOnce(): IsFile {
  const known = new Map<string, boolean>();
  return (path) => {
    let found = known.get(path);
    if (found === undefined) {
      found = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
      known.set(path, found);
    }
    return found;
  };
}

export const within = (folder: string, path: string): boolean => path.startsWith(folder + sep);

export function resolveIn(places: Places, spec: string, from: string, isFile: IsFile): Resolved {
  const { root, home, cage, externals } = places;
  if (Object.hasOwn(externals, spec)) return { kind: "external", name: spec };
  if (spec.startsWith("#shared/")) {
    const name = spec.slice("#shared/".length);
    return override([join(root, "cages", cage, name), join(root, "cages", ".shared", name)], spec, from, isFile);
  }
  if (spec.startsWith("#lib/")) {
    const name = spec.slice("#lib/".length);
    return override([join(root, "lib", name), join(home, "lib", name)], spec, from, isFile);
  }
  if (spec === "#runtime/testing")
    throw new Unresolved(`${quote(spec)} is for tests, and this is code that serves; import it in a NAME.test.ts`);
  if (spec.startsWith("#"))
    throw new Unresolved(`${quote(spec)} is no import of a cage; there are #runtime, #lib/NAME.ts and #shared/NAME.ts`);
  if (/^\.{0,2}\//.test(spec) || spec.startsWith("file:")) {
    const file = spec.startsWith("file:") ? fileURLToPath(spec) : resolve(dirname(from), spec);
    return relativeTo(places, file, spec, from, isFile);
  }
  return { kind: "native", spec: isBuiltin(spec) && !spec.startsWith("node:") ? `node:${spec}` : spec };
}

function override(choices: readonly string[], spec: string, from: string, isFile: IsFile): Resolved {
  const file = choices.find((choice) => choice !== from && isFile(choice));
  if (file === undefined)
    throw new Unresolved(`cannot find ${quote(spec)}: none of ${[...new Set(choices)].join(", ")} exists`);
  return { kind: "file", file };
}

function relativeTo(places: Places, file: string, spec: string, from: string, isFile: IsFile): Resolved {
  const { root, home, cage } = places;
  const cages = join(root, "cages");
  if (within(cages, file)) {
    const owner = relative(cages, file).split(sep)[0] as string;
    // A config file may name another cage's contract.
    const contract = extname(file) === ".thrift" && within(join(root, "config"), from);
    if (owner !== cage && owner !== ".shared" && !contract)
      throw new Unresolved(
        `${quote(spec)} is code of the cage ${owner}: call it with cage(${quote(owner)}), ` +
          `and take its types with "import type"`,
      );
  }
  if (within(join(home, "runtime"), file))
    throw new Unresolved(`${quote(spec)} is the runtime's own code; import from "#runtime"`);
  if (isFile(file)) return { kind: "file", file };
  const close = [".ts", "/index.ts", ".json"].map((end) => file + end).find(isFile);
  const swapped = file.replace(/\.(m?)js$/, ".$1ts");
  const meant = close ?? (swapped !== file && isFile(swapped) ? swapped : undefined);
  const hint = meant === undefined ? "" : `; did you mean ${quote(spec + meant.slice(file.length))}?`;
  throw new Unresolved(
    swapped === meant
      ? `cannot find ${quote(spec)}; write the extension of the source, ${extname(swapped)}`
      : `cannot find ${quote(spec)}${hint}`,
  );
}

const quote = (text: string): string => `"${text}"`;
