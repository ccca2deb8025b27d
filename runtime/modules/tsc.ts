/**
 * One check of the types of a cage, by the TypeScript compiler of the project, in a process of its own.
 *
 *     const tsc = compilerFor(places);                     // undefined: typescript is not installed
 *     const found = await check({ places, tsc, folder, files, polite: true, signal });
 *     found.faults     // in files of this cage, and in what it shares
 *     found.read       // all that took part, by types alone too: another cage's api
 *
 * The compiler is started for each check and keeps its results in `folder`: measured on a cage of 70 files (2 cores), the
 * first check takes 2.9 s and 340 MB, each later one 1.1 s and 220 MB, and nothing in between. One that stays and watches
 * answers in half a second and holds 270 MB for each cage all day. One for the whole project needs 570 MB and 7 s at first
 * and 1.8 s later, and its configuration cannot say that `#shared/x.ts` is another file in each cage: here it is.
 *
 * Its command line is used, which is the same in TypeScript 5, 6 and 7; its programming interface is not.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { constants, setPriority } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { CageError } from "../errors.ts";
import type { TypeFault } from "../health/events.ts";
import { frameOf } from "./failure.ts";
import { type Places, within } from "./resolve.ts";

export type Where = Pick<Places, "root" | "home" | "cage">;

export interface Check {
  readonly where: Where;
  readonly tsc: string;
  /** For its configuration and what it remembers. */
  readonly folder: string;
  /** Of the generation, absolute. */
  readonly files: readonly string[];
  /** Nobody waits for it: a low priority. */
  readonly polite: boolean;
  readonly signal: AbortSignal;
}

export interface Found {
  readonly count: number;
  /** The first of them. */
  readonly faults: readonly TypeFault[];
  readonly read: readonly string[];
}

const maxFaults = 20;
const maxOutput = 4_000_000;
/** A cold check of a large cage on a busy machine; whatever takes longer hangs. */
const timeoutMs = 180_000;

export function compilerFor({ root, home }: Where): string | undefined {
  const folders = [home];
  for (let folder = root; folder !== dirname(folder); folder = dirname(folder)) folders.unshift(folder);
  const places = [root, ...folders].map((folder) => join(folder, "node_modules", "typescript", "bin", "tsc"));
  return places.find((path) => existsSync(path));
}

export async function check(options: Check): Promise<Found> {
  const { where, folder, tsc, polite, signal } = options;
  await mkdir(folder, { recursive: true });
  const project = join(folder, "tsconfig.json");
  const text = JSON.stringify(projectOf(options, await extending(options)), undefined, 2);
  if ((await readFile(project, "utf8").catch(() => "")) !== text) await writeFile(project, text);
  const output = await run(where.root, [tsc, "-p", project, "--pretty", "false", "--listFiles"], polite, signal);
  return await foundIn(output, options);
}

/**
 * Overrides that import what they override, by the one name that both have. The compiler would take that for a file which
 * imports itself; so there the name means the shared file, for the others too: an override is assignable to it.
 */
async function extending({ where: { root, cage }, files }: Check): Promise<Record<string, string[]>> {
  const own = join(root, "cages", cage);
  const found: Record<string, string[]> = {};
  for (const file of files) {
    const name = relative(own, file);
    const shared = join(root, "cages", ".shared", name);
    if (!within(own, file) || !existsSync(shared)) continue;
    const spec = `#shared/${name}`;
    if ((await readFile(file, "utf8").catch(() => "")).includes(spec)) found[spec] = [shared];
  }
  return found;
}

function projectOf({ where: { root, home, cage }, folder, files }: Check, extended: Record<string, string[]>) {
  const base = [root, home].map((place) => join(place, "tsconfig.json")).find((path) => existsSync(path));
  const kind = root === home ? {} : everyFileIsAModule;
  const both = (path: string) => [...new Set([join(root, path), join(home, path)])];
  return {
    ...(base === undefined ? {} : { extends: base }),
    compilerOptions: {
      ...kind,
      noEmit: true,
      incremental: true,
      tsBuildInfoFile: join(folder, "info.json"),
      // As the cage's modules are resolved (resolve.ts).
      paths: {
        "#runtime": [join(home, "runtime", "index.ts")],
        "#lib/*": both("lib/*"),
        ...extended,
        "#shared/*": [join(root, "cages", cage, "*"), join(root, "cages", ".shared", "*")],
      },
      typeRoots: both("node_modules/@types").filter((path) => existsSync(path)),
    },
    files: files.filter((file) => /\.[mc]?tsx?$/.test(file)),
    // What a module cannot import: declarations of text files and the like.
    include: ["*.d.ts", "config/**/*.d.ts", "cages/**/*.d.ts", "cages/.shared/**/*.d.ts", "lib/**/*.d.ts"].map((path) =>
      join(root, path),
    ),
  };
}

/** A project elsewhere need not have a package.json that says so. */
const everyFileIsAModule = { module: "esnext", moduleResolution: "bundler", moduleDetection: "force" };

async function run(cwd: string, args: readonly string[], polite: boolean, signal: AbortSignal): Promise<string> {
  const child = spawn(process.execPath, args, {
    cwd,
    stdio: ["ignore", "pipe", "pipe"],
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    killSignal: "SIGKILL",
    // This process may be under a debugger; its child is not.
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  if (polite && child.pid !== undefined) {
    try {
      // A tenth of what others get where all want the processor. The lowest would be one part in seventy, and an author's
      // types come after minutes.
      setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
    } catch {
      // It has ended already.
    }
  }
  let output = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
    if (output.length < maxOutput) output += chunk;
  });
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr = (stderr + chunk).slice(-1_000);
  });
  return await new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code, killed) => {
      // 0: no errors; 1 and 2: errors, which are in the output.
      if (killed === null && code !== null && code <= 2 && output !== "") done(output);
      else fail(new CageError("INTERNAL", `the type check ended with ${killed ?? code}: ${stderr.trim().slice(-300)}`));
    });
  });
}

async function foundIn(output: string, { where, files }: Check): Promise<Found> {
  const { root, cage } = where;
  const own = new Set(files);
  const ours = [join(root, "cages", cage), join(root, "cages", ".shared")];
  const faults: { file: string; line: number; column: number; code: string; message: string }[] = [];
  const read: string[] = [];
  let more = false;
  for (const line of output.split("\n")) {
    const at = /^(.+?)\((\d+),(\d+)\): error (TS\d+): (.*)$/.exec(line);
    const bare = at === null ? /^error (TS\d+): (.*)$/.exec(line) : null;
    const last = faults.at(-1);
    if (at !== null) {
      const file = resolve(root, at[1] as string);
      more = own.has(file) || ours.some((folder) => within(folder, file));
      if (more)
        faults.push({
          file,
          line: Number(at[2]),
          column: Number(at[3]),
          code: at[4] as string,
          message: at[5] as string,
        });
    } else if (bare !== null) {
      more = true;
      faults.push({ file: "", line: 0, column: 0, code: bare[1] as string, message: bare[2] as string });
    } else if (line.startsWith(" ") && more && last !== undefined) last.message += `\n${line}`;
    else if (line.startsWith("/")) read.push(line);
  }
  const texts = new Map<string, string>();
  const shown: TypeFault[] = [];
  for (const fault of faults.slice(0, maxFaults)) {
    if (fault.file !== "" && !texts.has(fault.file))
      texts.set(fault.file, await readFile(fault.file, "utf8").catch(() => ""));
    const text = texts.get(fault.file);
    const frame = text ? frameOf(text, fault.line, fault.column) : "";
    shown.push({
      ...fault,
      file: fault.file && (within(root, fault.file) ? relative(root, fault.file) : fault.file),
      frame,
    });
  }
  return { count: faults.length, faults: shown, read };
}
