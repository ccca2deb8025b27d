/**
 * A project of its own for a test: a temporary folder with cages/ and config/, driven through the real launcher. What it
 * starts is stopped and removed by `remove`.
 */
import { execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { InstanceStatus } from "../../runtime/cli/instances.ts";

export const home = resolve(import.meta.dirname, "../..");
export const launcher = join(home, "cage");

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Project {
  readonly root: string;
  readonly env: Record<string, string>;
  /** Writes files, by path from the root. */
  write(files: Readonly<Record<string, string>>): void;
  /** ./cage ARGS in this project. */
  cage(...args: string[]): Promise<Ran>;
  /** As `cage`, throwing with its output unless it exits with 0. */
  ok(...args: string[]): Promise<string>;
  /** As ./cage list tells it. */
  status(cage: string): Promise<InstanceStatus>;
  /** kill -9 of all of it: a supervisor that is left would start another worker. */
  kill(cage: string): Promise<void>;
  spawn(...args: string[]): ReturnType<typeof spawn>;
  remove(): Promise<void>;
}

/** `within`: what each command is run by, as ["ip", "netns", "exec", "east"] does. */
export function createProject(
  files: Readonly<Record<string, string>> = {},
  env: Record<string, string> = {},
  within: readonly string[] = [],
): Project {
  const root = mkdtempSync(join(tmpdir(), "cage-"));
  const [program = launcher, ...before] = [...within, launcher];
  const project: Project = {
    root,
    env,
    write(more) {
      for (const [path, text] of Object.entries(more)) {
        mkdirSync(dirname(join(root, path)), { recursive: true });
        writeFileSync(join(root, path), text);
      }
    },
    cage: (...args) =>
      new Promise((done) => {
        execFile(
          program,
          [...before, ...args, "--root", root],
          { env: { ...process.env, ...env }, cwd: root, maxBuffer: 16 * 1024 * 1024 },
          (error, stdout, stderr) => {
            done({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr });
          },
        );
      }),
    async ok(...args) {
      const ran = await project.cage(...args);
      if (ran.code !== 0) throw new Error(`cage ${args.join(" ")} exited with ${ran.code}\n${ran.stdout}${ran.stderr}`);
      return ran.stdout;
    },
    async status(cage) {
      const rows = JSON.parse(await project.ok("list", "--json")) as InstanceStatus[];
      return rows.find((row) => row.cage === cage) as InstanceStatus;
    },
    async kill(cage) {
      const { supervisor, pid } = await project.status(cage);
      for (const each of [supervisor, pid]) process.kill(each as number, "SIGKILL");
    },
    spawn: (...args) =>
      spawn(program, [...before, ...args, "--root", root], { env: { ...process.env, ...env }, cwd: root }),
    async remove() {
      await project.cage("stop");
      rmSync(root, { recursive: true, force: true });
    },
  };
  project.write({ "cages/.keep": "", ...files });
  return project;
}

/** Ports that were free a moment ago. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      return server;
    }),
  );
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
  return ports;
}

/**
 * Waits until `look` gives something; for what raises no event in this process. Fails with `what` after `limitMs`, which
 * is long: a reload of 0.1 s takes seconds on a machine whose processors are all busy.
 */
export async function eventually<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
  limitMs = 25_000,
): Promise<T> {
  const deadline = Date.now() + limitMs;
  let last: unknown;
  for (;;) {
    try {
      const found = await look();
      if (found !== undefined && found !== false) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`, { cause: last });
    await new Promise((again) => setTimeout(again, 10));
  }
}
