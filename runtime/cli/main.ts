/**
 * ./cage COMMAND: a table of commands, one file each, loaded when named. A command returns its exit code; an error is one
 * sentence with the remedy on stderr and code 1, a wrong use code 2.
 */

import { resolve } from "node:path";
import { type ParseArgsConfig, parseArgs } from "node:util";
import { nearest } from "../../lib/nearest.ts";
import { type Paths, pathsOf } from "../cage/paths.ts";
import { CageError, coded } from "../errors.ts";

export interface Command {
  /** What follows the name, as help shows it. */
  readonly usage: string;
  readonly summary: string;
  readonly options?: NonNullable<ParseArgsConfig["options"]>;
  run(given: Given): Promise<number>;
}

export interface Given {
  readonly paths: Paths;
  /** Where the built runtime is. */
  readonly build: string;
  readonly words: readonly string[];
  readonly flags: Readonly<Record<string, string | boolean | undefined>>;
}

const commands: Readonly<Record<string, () => Promise<Command>>> = {
  start: async () => (await import("./start.ts")).start,
  stop: async () => (await import("./stop.ts")).stop,
  drain: async () => (await import("./drain.ts")).drain,
  restart: async () => (await import("./restart.ts")).restart,
  upgrade: async () => (await import("./upgrade.ts")).upgrade,
  list: async () => (await import("./list.ts")).list,
  logs: async () => (await import("./logs.ts")).logs,
  call: async () => (await import("./call.ts")).call,
  reload: async () => (await import("./reload.ts")).reload,
  config: async () => (await import("./config.ts")).config,
  rollback: async () => (await import("./rollback.ts")).rollback,
  diff: async () => (await import("./diff.ts")).diff,
  history: async () => (await import("./history.ts")).history,
  level: async () => (await import("./level.ts")).level,
  keys: async () => (await import("./keys.ts")).keys,
  new: async () => (await import("./new.ts")).create,
  test: async () => (await import("./test.ts")).test,
};

const shared = { root: { type: "string" }, json: { type: "boolean" }, help: { type: "boolean", short: "h" } } as const;

export async function main(given: { home: string; build: string; args: readonly string[] }): Promise<void> {
  // `./cage logs -f | head`: who read has gone, and that is no fault.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    process.exit();
  });
  process.exitCode = await execute(given).catch((error: unknown) => {
    const { code, message } = coded(error);
    process.stderr.write(`cage: ${message}\n`);
    return code === "BAD_INPUT" ? 2 : 1;
  });
}

async function execute(given: { home: string; build: string; args: readonly string[] }): Promise<number> {
  const [name, ...rest] = given.args;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    process.stdout.write(await help());
    return 0;
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (load === undefined) {
    const near = nearest(name, Object.keys(commands));
    throw new CageError(
      "BAD_INPUT",
      `there is no command '${name}'${near ? `; did you mean '${near}'?` : ""} (./cage help lists them)`,
    );
  }
  const command = await load();
  const { words, flags } = parsed(command, name, rest);
  if (flags["help"]) {
    process.stdout.write(`./cage ${name} ${command.usage}\n  ${command.summary}\n`);
    return 0;
  }
  const root = resolve(String(flags["root"] ?? process.env["CAGE_ROOT"] ?? given.home));
  return await command.run({ paths: pathsOf(given.home, root), build: given.build, words, flags });
}

function parsed(command: Command, name: string, args: readonly string[]): { words: string[]; flags: Given["flags"] } {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      options: { ...shared, ...command.options },
      allowPositionals: true,
    });
    return { words: positionals, flags: values as Given["flags"] };
  } catch (error) {
    throw new CageError(
      "BAD_INPUT",
      `${(error as Error).message.split(". ")[0]}; use: ./cage ${name} ${command.usage}`,
    );
  }
}

async function help(): Promise<string> {
  const rows = await Promise.all(Object.entries(commands).map(async ([name, load]) => ({ name, ...(await load()) })));
  const width = Math.max(...rows.map((row) => `${row.name} ${row.usage}`.length));
  return `A live service runtime for TypeScript.

${rows.map((row) => `  ./cage ${`${row.name} ${row.usage}`.padEnd(width)}  ${row.summary}`).join("\n")}

  --root DIR   a project elsewhere      --json   for programs

For example:
  ./cage start                               everything, with a table of URLs
  ./cage call greeter greeter.hello '"you"'  one function of one cage
  ./cage logs -f core                        what it says, as it says it
`;
}
