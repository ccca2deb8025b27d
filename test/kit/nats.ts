/**
 * Real NATS servers for tests: each on a free port of loopback, in a temporary directory, with JetStream. What it starts
 * ends with `stop`.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathOf } from "./needs.ts";
import { eventually, freePorts } from "./project.ts";

export interface NatsServer {
  readonly port: number;
  /** "127.0.0.1:port" */
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
  const port = options.port ?? ((await freePorts(1))[0] as number);
  const file = join(folder, "nats.conf");
  const jetstream = options.jetstream === false ? "" : `jetstream { store_dir: "${folder}" }`;
  writeFileSync(file, `listen: "127.0.0.1:${port}"\n${jetstream}\n${options.config ?? ""}\n`);
  let child: ChildProcess | undefined;
  let said = "";
  const server: NatsServer = {
    port,
    address: `127.0.0.1:${port}`,
    async start() {
      child = spawn(pathOf("nats"), ["-c", file], { stdio: ["ignore", "ignore", "pipe"] });
      child.stderr?.on("data", (text) => (said = `${said}${text}`.slice(-4_000)));
      await eventually("the NATS server answers", () => {
        if (child?.exitCode !== null) throw new Error(`the NATS server ended: ${said}`);
        return answers(port);
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
