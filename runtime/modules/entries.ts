/**
 * What a compiled module imports and exports: enough to settle every name before any of it runs (binding.ts).
 *
 *     entriesOf(code)   // { imports: [["./a.ts", ["a"]]], stars: ["./s.ts"], exports: { b: ["./a.ts", "a"], c: null } }
 *
 * The compiler says none of this; it prints it, all of it before anything of the author's but comments: first each
 * export as a getter, then each import, and after its import each `export *`. So it is read from there, and no further.
 */
export interface Entries {
  /** Specifier and names, a row for each statement that names any. */
  readonly imports: readonly (readonly [spec: string, names: readonly string[]])[];
  /** Specifiers of `export * from`. */
  readonly stars: readonly string[];
  /** By name: specifier and name there of what is only passed on; null for the module's own. */
  readonly exports: Readonly<Record<string, readonly [spec: string, name: string] | null>>;
}

const text = String.raw`"((?:[^"\\]|\\.)*)"`;
const trivia = /(?:\s+|\/\/.*|\/\*[\s\S]*?\*\/|;|"(?:[^"\\\n]|\\.)*";)*/y;
const getter = new RegExp(
  String.raw`Object\.defineProperty\(__vite_ssr_exports__, ${text}, \{\s*enumerable: true,\s*configurable: true,\s*` +
    String.raw`get\(\) \{\s*return (?:__vite_ssr_import_(\d+)__(?:\.([\w$\u0080-\uffff]+)|\[${text}\])|[^;]+);\s*\}\s*\}\);`,
  "y",
);
const importing = new RegExp(
  String.raw`const __vite_ssr_import_(\d+)__ = await __vite_ssr_import__\(${text}(?:, \{ importedNames: \[([\s\S]*?)\] \})?\);`,
  "y",
);
const starring = /__vite_ssr_exportAll__\(__vite_ssr_import_(\d+)__\);/y;

export function entriesOf(code: string): Entries {
  let at = 0;
  const next = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(code);
    if (found === null) return undefined;
    at = pattern.lastIndex;
    return found;
  };
  const specs = new Map<string, string>();
  const passed: [name: string, row: string, there: string][] = [];
  const imports: [string, string[]][] = [];
  const stars: string[] = [];
  const exports: Record<string, [string, string] | null> = Object.create(null);
  for (;;) {
    next(trivia);
    let found = next(getter);
    if (found !== undefined) {
      const name = plain(found[1]);
      const there = found[3] ?? (found[4] === undefined ? undefined : plain(found[4]));
      exports[name] = null;
      // Without a name there it is a namespace, which V8 takes for the module's own.
      if (there !== undefined) passed.push([name, found[2] as string, there]);
      continue;
    }
    found = next(importing);
    if (found !== undefined) {
      const spec = plain(found[2]);
      specs.set(found[1] as string, spec);
      const names = JSON.parse(`[${found[3] ?? ""}]`) as string[];
      if (names.length > 0) imports.push([spec, names]);
      continue;
    }
    found = next(starring);
    if (found === undefined) break;
    stars.push(specs.get(found[1] as string) as string);
  }
  for (const [name, row, there] of passed) exports[name] = [specs.get(row) as string, there];
  return { imports, stars, exports };
}

const plain = (quoted: string | undefined): string => JSON.parse(`"${quoted}"`) as string;
