/**
 * Stack traces in the author's lines, for every version of a file that is still running.
 *
 * A source is compiled under a name of its own (`file:///abs/orders.ts?g=7`: the generation it came in with), because
 * Node keeps one source map a file name, and two live versions of a file would be shown with the lines of the newer.
 * `Error.prepareStackTrace` maps our frames through the source that made them:
 *
 *     at place [g7] (/abs/cages/shop/orders.ts:38:11)
 *
 * Frames of others (the runtime under tsx, packages) keep what Node's own source maps say. A name is forgotten with its
 * source, but for the last few: a stack is written when it is first read, and that may be when the request that threw has
 * ended, and its generation with it. A registry that only grows would be the leak that the rest of this folder avoids.
 */
import { findSourceMap } from "node:module";
import { fileURLToPath } from "node:url";

export interface Position {
  readonly file: string;
  /** From 1. */
  readonly line: number;
  readonly column: number;
}

export interface Mapped {
  readonly label: string;
  /** Characters that keeping it costs. */
  readonly size: number;
  /** The author's place of a place in the compiled code; both from 1. */
  position(line: number, column: number): Position;
}

const sources = new Map<string, Mapped>();
/** Those that went last, oldest first. */
const gone = new Map<string, Mapped>();
let goneSize = 0;
/** Of some 40 modules of usual size. */
const maxGone = 1_000_000;
/** What an entry costs beside its maps: names, closures, rows. Without it, 4,000 tiny modules would be kept at 5 MB. */
const entrySize = 2_000;
const tops = new WeakMap<object, Position>();
type Prepare = (error: Error, sites: NodeJS.CallSite[]) => unknown;
let previous: Prepare | undefined;
let installed = false;

/** A free name for a source; `wanted` unless a failed attempt of the same generation has it still. */
export function register(wanted: string, source: Mapped): string {
  install();
  let name = wanted;
  for (let n = 2; sources.has(name) || gone.has(name); n++) name = `${wanted}.${n}`;
  sources.set(name, source);
  return name;
}

/** `ran`: errors of it may still be on their way. */
export function unregister(name: string, ran: boolean): void {
  const source = sources.get(name);
  sources.delete(name);
  if (source === undefined || !ran) return;
  gone.set(name, source);
  goneSize += source.size + entrySize;
  for (const [oldest, { size }] of gone) {
    if (goneSize <= maxGone) break;
    gone.delete(oldest);
    goneSize -= size + entrySize;
  }
}

const sourceOf = (name: string): Mapped | undefined => sources.get(name) ?? gone.get(name);

export const registered = (): number => sources.size;

/** The innermost place in hot code of an error's stack. */
export function topOf(error: unknown): Position | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  void (error as Error).stack;
  return tops.get(error);
}

/** The author's place of a place in running code (both from 1), with the generation where there is one. */
export function placed(name: string, line: number, column: number): string {
  const source = sourceOf(name);
  if (source === undefined) return native(name, line, column) ?? `${name}:${line}:${column}`;
  const at = source.position(line, column);
  return `[${source.label}] ${at.file}:${at.line}:${at.column}`;
}

/** What Node's own source maps say of code that is not ours. */
function native(name: string, line: number, column: number): string | undefined {
  const entry = findSourceMap(name)?.findEntry(line - 1, column - 1);
  if (entry === undefined || !("originalSource" in entry)) return undefined;
  const file = entry.originalSource.startsWith("file:") ? fileURLToPath(entry.originalSource) : entry.originalSource;
  return `${file}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
}

function install(): void {
  if (installed) return;
  installed = true;
  previous = Error.prepareStackTrace as Prepare | undefined;
  Error.prepareStackTrace = prepare;
}

function prepare(error: Error, sites: NodeJS.CallSite[]): unknown {
  let hot = false;
  for (const site of sites) {
    const source = sourceOf(site.getFileName() ?? "");
    if (source === undefined) continue;
    hot = true;
    if (!tops.has(error)) tops.set(error, source.position(site.getLineNumber() ?? 1, site.getColumnNumber() ?? 1));
    break;
  }
  if (!hot && previous !== undefined) return previous(error, sites);
  const head = headOf(error);
  return sites.length === 0 ? head : `${head}\n${sites.map((site) => `    at ${shown(site)}`).join("\n")}`;
}

/** What V8 puts above the frames; `String(error)` may be the author's code, and may throw. */
function headOf(error: Error): string {
  try {
    return Error.prototype.toString.call(error);
  } catch {
    return "Error";
  }
}

function shown(site: NodeJS.CallSite): string {
  const text = site.toString();
  const name = site.getFileName();
  const line = site.getLineNumber();
  const column = site.getColumnNumber();
  if (name === null || name === undefined || line === null || column === null) return text;
  const raw = `${name}:${line}:${column}`;
  const source = sourceOf(name);
  if (source !== undefined) {
    const at = source.position(line, column);
    const place = `${at.file}:${at.line}:${at.column}`;
    // The label stands where V8 writes "[as name]", so that tools which parse stacks still can.
    return text.endsWith(`(${raw})`)
      ? `${text.slice(0, -raw.length - 2)}[${source.label}] (${place})`
      : `${text.slice(0, -raw.length)}[${source.label}] (${place})`;
  }
  return text.replace(raw, native(name, line, column) ?? raw);
}
