/** The http interface over the real Host, and clients that may say what no well-behaved one would. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { http } from "../../runtime/interfaces/http/http.ts";
import { createHost, type TestHost } from "./host.ts";

const open: { stop(): Promise<void> }[] = [];

/** For `afterEach`. */
export async function closeServers(): Promise<void> {
  for (const each of open.splice(0)) await each.stop();
}

export async function serve(
  module: Record<string, unknown>,
  options: Record<string, unknown> = {},
  host: Parameters<typeof createHost>[1] = {},
) {
  const made: TestHost = createHost(module, host);
  const server = http.create(http.options.parse({ port: 0, ...options }), made.host);
  await server.start();
  open.push(server);
  const { port, protocol } = new URL(server.url as string);
  return { url: `${protocol}//127.0.0.1:${port}`, port: Number(port), server, ...made };
}

/** Raw bytes over a socket, until it closes. */
export const raw = (port: number, text: string): Promise<string> => talk(port, text).closed;

export interface Talk {
  readonly socket: Socket;
  /** All that came, once the connection is closed. */
  readonly closed: Promise<string>;
  /** All that came so far. */
  readonly heard: string;
  /** Resolves when `what` has come. */
  until(what: string): Promise<void>;
}

export function talk(port: number, text = ""): Talk {
  const socket = connect(port, "127.0.0.1");
  if (text !== "") socket.write(text);
  let heard = "";
  const waiting: { what: string; resolve(): void }[] = [];
  const look = () => {
    for (const each of waiting) if (heard.includes(each.what)) each.resolve();
  };
  socket.on("data", (chunk: Buffer) => {
    heard += chunk.toString("latin1");
    look();
  });
  const closed = new Promise<string>((resolve) => {
    // A reset is a way to be closed.
    socket.on("error", () => {});
    socket.on("close", () => resolve(heard));
  });
  return {
    socket,
    closed,
    get heard() {
      return heard;
    },
    until: (what) =>
      new Promise((resolve) => {
        waiting.push({ what, resolve });
        look();
      }),
  };
}

/** A self-signed certificate for names, in files. */
export function makeCertificate(folder: string, file: string, ...names: string[]): { cert: string; key: string } {
  const files = { cert: join(folder, `${file}.pem`), key: join(folder, `${file}.key`) };
  const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(" ");
  execFileSync(
    "openssl",
    [
      ...args,
      "-keyout",
      files.key,
      "-out",
      files.cert,
      "-subj",
      `/CN=${names[0]}`,
      "-addext",
      `subjectAltName=${names.map((name) => `DNS:${name}`).join(",")}`,
    ],
    { stdio: "ignore" },
  );
  return files;
}

export function temporaryFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "cage-http-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
