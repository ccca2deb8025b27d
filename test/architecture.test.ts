/**
 * The import rules of the house, held by a test:
 *
 *     cages --> #runtime, #lib --> runtime --> lib --> node:*, npm          test --> anything; nobody --> test
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";

const home = resolve(import.meta.dirname, "..");

function filesUnder(folder: string): string[] {
  return readdirSync(join(home, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : filesUnder(path);
    return /\.(ts|mjs)$/.test(entry.name) && !/\.d\.(\w+\.)?ts$/.test(entry.name) ? [path] : [];
  });
}

interface Import {
  readonly file: string;
  /** As written. */
  readonly specifier: string;
  /** Relative to the repository, or the specifier of a package or builtin. */
  readonly target: string;
  readonly typeOnly: boolean;
}

const pattern =
  /(?:^|\n)\s*(?:import|export)\s+(type\s+)?(?:[^"'`;]*?\sfrom\s+)?["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/g;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(home, file), "utf8")
    .replace(/\/\*[\s\S]*?\*\//g, "")
    .replace(/(^|\s)\/\/.*$/gm, "");
  return [...text.matchAll(pattern)].map((found) => {
    const specifier = (found[2] ?? found[3]) as string;
    const target = specifier.startsWith(".")
      ? relative(home, resolve(home, dirname(file), specifier))
      : specifier === "#runtime"
        ? "runtime/index.ts"
        : specifier === "#runtime/testing"
          ? "runtime/testing.ts"
          : specifier.startsWith("#lib/")
            ? `lib/${specifier.slice(5)}`
            : specifier.startsWith("#shared/")
              ? `cages/.shared/${specifier.slice(8)}`
              : specifier;
    return { file, specifier, target, typeOnly: found[1] !== undefined };
  });
}

const top = ["cages", "config", "lib", "runtime"];
const files = top.flatMap(filesUnder);
const imports = files.flatMap(importsOf);
const say = (rows: readonly Import[]): string[] => rows.map((row) => `${row.file} imports ${row.specifier}`);
const isTest = (file: string): boolean => file.endsWith(".test.ts");
const isOurs = (target: string): boolean => [...top, "test"].some((folder) => target.startsWith(`${folder}/`));
/** "cages/core/x.ts" -> "cages/core": the second level. */
const room = (path: string): string => path.split("/").slice(0, 2).join("/");

describe("the house", () => {
  it("lets nobody import a test", () => {
    expect(say(imports.filter((row) => row.target.startsWith("test/") || isTest(row.target)))).toEqual([]);
  });

  it("lets lib import only lib, node and packages", () => {
    expect(
      say(imports.filter((row) => row.file.startsWith("lib/") && isOurs(row.target) && !row.target.startsWith("lib/"))),
    ).toEqual([]);
  });

  it("keeps the folders of lib apart, but for files at its root", () => {
    const crossing = imports.filter(
      (row) =>
        row.file.startsWith("lib/") &&
        row.target.startsWith("lib/") &&
        row.file.split("/").length > 2 &&
        row.target.split("/").length > 2 &&
        room(row.file) !== room(row.target),
    );
    expect(say(crossing)).toEqual([]);
  });

  it("lets runtime import only runtime, lib, node and packages", () => {
    expect(
      say(imports.filter((row) => row.file.startsWith("runtime/") && /^(cages|config)\//.test(row.target))),
    ).toEqual([]);
  });

  it("lets cages and configuration in by one door: #runtime, #lib, #shared and their own folder", () => {
    const wrong = imports.filter((row) => {
      if (!/^(cages|config)\//.test(row.file) || !isOurs(row.target)) return false;
      if (row.target === "runtime/index.ts") return row.specifier !== "#runtime";
      if (row.target === "runtime/testing.ts") return row.specifier !== "#runtime/testing" || !isTest(row.file);
      if (row.target.startsWith("runtime/")) return true;
      if (
        row.target.startsWith("cages/") &&
        room(row.target) !== room(row.file) &&
        room(row.target) !== row.file.replace(/^config\/(.*)\.ts$/, "cages/$1") &&
        !row.specifier.startsWith("#shared/")
      )
        // Another cage is reached by a call: only its types cross, and the text of its Thrift IDL for configuration.
        return !row.typeOnly && !(row.file.startsWith("config/") && row.target.endsWith(".thrift"));
      // A configuration names its own cage's data (a keyspace's migrations).
      return row.target.startsWith("config/") && row.file.startsWith("cages/") && !row.typeOnly;
    });
    expect(say(wrong)).toEqual([]);
  });

  it("keeps the folders of runtime from importing each other sideways, but for contracts and the floor", () => {
    const floor = new Set(["runtime/errors.ts", "runtime/health/events.ts"]);
    const contracts = new Set([
      "runtime/interfaces/interface.ts",
      "runtime/resources/resource.ts",
      "runtime/engine/engine.ts",
      "runtime/modules/generation.ts",
      "runtime/transactions/transaction.ts",
    ]);
    // The wiring: cage/ puts the parts together, testing/ for tests, cli/ shows them, two doors; engines and the interface
    // of its name speak rpc, and answers by configuration are validated as its calls are.
    const wires = (file: string): boolean =>
      /^runtime\/(cage|cli|testing)\//.test(file) || /^runtime\/(index|testing)\.ts$/.test(file);
    const sideways = imports.filter(
      (row) =>
        row.file.startsWith("runtime/") &&
        row.target.startsWith("runtime/") &&
        room(row.file) !== room(row.target) &&
        !wires(row.file) &&
        !floor.has(row.target) &&
        !contracts.has(row.target) &&
        !row.target.startsWith("runtime/request/") &&
        !(/^runtime\/(engine\/|interfaces\/(rpc|answers)\.ts)/.test(row.file) && row.target.startsWith("runtime/rpc/")),
    );
    expect(say(sideways)).toEqual([]);
  });

  it("imports each npm package in exactly one file of ours", () => {
    const users = new Map<string, Set<string>>();
    for (const row of imports) {
      if (row.typeOnly || isOurs(row.target) || /^(node:|#|\.)/.test(row.specifier)) continue;
      const name = row.specifier
        .split("/")
        .slice(0, row.specifier.startsWith("@") ? 2 : 1)
        .join("/");
      users.set(name, (users.get(name) ?? new Set()).add(row.file));
    }
    expect([...users].filter(([, by]) => by.size > 1).map(([name, by]) => `${name}: ${[...by].join(", ")}`)).toEqual(
      [],
    );
  });

  it("keeps every file under 600 lines", () => {
    const long = [...files, ...filesUnder("test")].filter(
      (file) => readFileSync(join(home, file), "utf8").split("\n").length > 600,
    );
    expect(long).toEqual([]);
  });
});

describe("the top of the tree", () => {
  it("holds what the design names and nothing else", () => {
    const allowed = new Set(
      "cages runtime lib config logs test package.json package-lock.json tsconfig.json README.md cage biome.json LICENSE CHANGELOG.md state node_modules".split(
        " ",
      ),
    );
    expect(readdirSync(home).filter((name) => !name.startsWith(".") && !allowed.has(name))).toEqual([]);
  });
});
