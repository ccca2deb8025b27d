/**
 * Real NATS servers for tests: each on a free port of loopback, or in a network of the test's own (namespaces.ts), in a
 * temporary directory, with JetStream. What it starts ends with `stop`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Place } from "./namespaces.ts";
import { pathOf } from "./needs.ts";
import { eventually, freePorts } from "./project.ts";

export interface NatsServer {
  readonly port: number;
  /** "host:port" */
  readonly address: string;
  /** As a crash does; its memory on disk stays for `start`. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** Holds the process up (SIGSTOP), and lets it go on. */
  hold(): void;
  goOn(): void;
  stop(): Promise<void>;
}

export interface NatsServerOptions {
  readonly port?: number;
  /** The one of a network of the test's own, where every port is free. */
  readonly within?: Place;
  /** More of the server's configuration. */
  readonly config?: string;
  readonly jetstream?: boolean;
}

async function answers(port: number): Promise<true | undefined> {
  const socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "data");
    return true;
  } finally {
    socket.destroy();
  }
}

/** Resolves when it answers; not all of a cluster's servers do before the others are there. */
export async function natsServer(options: NatsServerOptions = {}): Promise<NatsServer> {
  const folder = mkdtempSync(join(tmpdir(), "nats-"));
  const { within } = options;
  const port = options.port ?? (within === undefined ? ((await freePorts(1))[0] as number) : 4222);
  const host = within?.address ?? "127.0.0.1";
  const [program = "", ...before] = [...(within?.exec ?? []), pathOf("nats")];
  const file = join(folder, "nats.conf");
  const jetstream = options.jetstream === false ? "" : `jetstream { store_dir: "${folder}" }`;
  writeFileSync(file, `listen: "${host}:${port}"\n${jetstream}\n${options.config ?? ""}\n`);
  let child: ChildProcess | undefined;
  let said = "";
  const server: NatsServer = {
    port,
    address: `${host}:${port}`,
    async start() {
      said = "";
      child = spawn(program, [...before, "-c", file], { stdio: ["ignore", "ignore", "pipe"] });
      child.stderr?.on("data", (text) => (said = `${said}${text}`.slice(-4_000)));
      await eventually("the NATS server answers", () => {
        if (child?.exitCode !== null) throw new Error(`the NATS server ended: ${said}`);
        // In a network of its own nobody here reaches it.
        return within === undefined ? answers(port) : said.includes("Server is ready");
      });
    },
    async kill() {
      const ended = child;
      child = undefined;
      if (ended === undefined || ended.exitCode !== null) return;
      ended.kill("SIGKILL");
      await once(ended, "exit");
    },
    hold: () => void child?.kill("SIGSTOP"),
    goOn: () => void child?.kill("SIGCONT"),
    async stop() {
      await server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await server.start();
  return server;
}
