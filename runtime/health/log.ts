/**
 * The log of a process: JSON lines, one a record, in a file that rotates by size.
 *
 *     openLog({ file: "logs/shop/shop.log" });
 *     log.info("placed", { order: 7 });
 *     {"time":"2026-11-21T12:00:00.000Z","level":"info","message":"placed","request":"ab12-7","trace":"...",
 *      "interface":"web","generation":3,"fields":{"order":7}}
 *
 * What runs inside a request is logged with it and at its level, which came from the caller: one request can be followed
 * through all cages by asking for "debug" at its door. Fields stand apart, so that none can pass for the runtime's own;
 * those named like secrets are not written. Lines and files are bounded; a disk that is full drops lines, never the
 * service. Before `openLog` lines go to stderr. Several processes need several files: rotation knows of its own only.
 */
import { pino } from "pino";
import { type LogLevel, maybeCurrent } from "../request/request.ts";
import { events } from "./events.ts";
import { openLogFile } from "./logfile.ts";

export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
}
export type Fields = Readonly<Record<string, unknown>>;

export interface LogOptions {
  readonly file: string;
  /** For what runs outside any request. Default info. */
  readonly level?: LogLevel;
  /** Of one file. Default 16 MiB. */
  readonly maxBytes?: number;
  /** Old files kept beside the current one: NAME.1 is the youngest. Default 5. */
  readonly keep?: number;
}

export interface OpenLog {
  /** Writes what is buffered, now: for the end of the process. */
  flush(): void;
  close(): void;
}

const rank: Readonly<Record<LogLevel, number>> = { debug: 20, info: 30, warn: 40, error: 50 };
/** One record; a longer one is cut, since somebody's 10 MB object must not push out a day of lines. */
const maxLine = 32_768;
const maxMessage = 8_192;

const secrets = ["password", "secret", "token", "authorization", "cookie", "apiKey"];

interface Sink {
  write(line: string): void;
}
const stderr: Sink = { write: (line) => void process.stderr.write(line) };
let sink: Sink = stderr;
let processLevel: LogLevel = "info";

// pino makes the lines; where they go is ours, because it changes while modules hold `log`.
const lines = pino(
  {
    level: "debug",
    base: null,
    messageKey: "message",
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (label) => ({ level: label }) },
    redact: { paths: secrets.flatMap((name) => [`fields.${name}`, `fields.*.${name}`]), censor: "(hidden)" },
    depthLimit: 6,
    edgeLimit: 100,
  },
  { write: (line: string) => sink.write(line.length <= maxLine ? line : shortened(line)) },
);

function record(level: LogLevel, message: string, fields: Fields | undefined): void {
  const request = maybeCurrent();
  if (rank[level] < rank[request?.logLevel ?? processLevel]) return;
  const text = String(message).slice(0, maxMessage);
  lines[level](
    {
      ...(request && {
        request: request.id,
        trace: request.trace.id,
        interface: request.interface,
        generation: request.generation,
      }),
      ...(fields && { fields: plain(fields) }),
    },
    text,
  );
  if (events.heard("log")) events.emit("log", { level, message: text, fields: fields ?? {} });
}

export const log: Log = {
  debug: (message, fields) => record("debug", message, fields),
  info: (message, fields) => record("info", message, fields),
  warn: (message, fields) => record("warn", message, fields),
  error: (message, fields) => record("error", message, fields),
};

/** A thread has no file of its own: its lines go to the thread that has, which writes them as they are. */
export function divertLog(write: (line: string) => void): void {
  sink = { write };
}

export const relayLog = (line: string): void => sink.write(line);

/** From now on the process's lines go to this file. */
export function openLog(options: LogOptions): OpenLog {
  const mine = openLogFile({ file: options.file, maxBytes: options.maxBytes ?? 16 << 20, keep: options.keep ?? 5 });
  sink = mine;
  processLevel = options.level ?? "info";
  process.on("exit", mine.flush);
  return {
    flush: mine.flush,
    close() {
      process.off("exit", mine.flush);
      if (sink === mine) sink = stderr;
      mine.close();
    },
  };
}

/** Errors as data (JSON.stringify makes {} of them), whatever holds them. */
function plain(fields: Fields): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) out[key] = value instanceof Error ? errorFields(value) : value;
  return out;
}

function errorFields(error: Error, depth = 0): Record<string, unknown> {
  return {
    name: error.name,
    code: (error as { code?: unknown }).code,
    message: error.message,
    stack: error.stack,
    ...(error.cause instanceof Error && depth < 4 ? { cause: errorFields(error.cause, depth + 1) } : {}),
  };
}

function shortened(line: string): string {
  const { fields, ...rest } = JSON.parse(line) as { fields?: unknown };
  const start = JSON.stringify(fields ?? "").slice(0, maxLine / 2);
  return `${JSON.stringify({ ...rest, cut: `${line.length} characters`, fields: { start } })}\n`;
}
