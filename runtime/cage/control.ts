/**
 * The control socket of an instance: how the CLI, the dashboard and tests ask and steer it. One JSON line asks, one
 * answers; the socket lives in a 0700 directory, and that is its authorisation.
 *
 *     { "verb": "status" }              -> { "value": { ... } }
 *     { "verb": "reload", "args": {} }  -> { "error": { "code": "LOAD", "message": "..." } }
 *
 * The supervisor serves it, so it answers while the worker restarts; verbs that need the worker are passed on to it.
 */
import { connect, createServer, type Server } from "node:net";
import { CageError } from "../errors.ts";

export type Answer = (verb: string, args: unknown) => Promise<unknown>;

/** A request is a verb and a few names; a longer line is somebody lost. */
const maxLineBytes = 1024 * 1024;
/**
 * What the socket's owner may take to answer; a hung worker must not hang the operator. A reload may compile much, wait
 * for hooks, and run the cage's tests first; a drain lets run what runs; a rolling restart does both for each process.
 */
const slowMs: Readonly<Record<string, number>> = {
  reload: 120_000,
  rollback: 120_000,
  drain: 30_000,
  rolling: 900_000,
  upgrade: 150_000,
};
export const answerMs = (verb: string): number => slowMs[verb] ?? 10_000;

export function serveControl(answer: Answer): Server {
  return createServer((socket) => {
    let text = "";
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (chunk: string) => {
      text += chunk;
      if (text.length > maxLineBytes) return void socket.destroy();
      for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        void reply(line).then((said) => socket.writable && socket.write(`${said}\n`));
      }
    });
  });

  async function reply(line: string): Promise<string> {
    try {
      const { verb, args } = JSON.parse(line) as { verb: string; args?: unknown };
      return JSON.stringify({ value: (await answer(verb, args)) ?? null });
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      return JSON.stringify({ error: { code: code ?? "INTERNAL", message } });
    }
  }
}

/** Asks an instance by its socket. NO_SUCH_CAGE when nobody listens there. */
export async function askControl(
  path: string,
  verb: string,
  args?: unknown,
  timeoutMs = answerMs(verb),
): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    const socket = connect(path);
    let text = "";
    const late = setTimeout(() => {
      socket.destroy();
      reject(new CageError("EXPIRED", `no answer to '${verb}' within ${timeoutMs} ms`));
    }, timeoutMs);
    socket.setEncoding("utf8");
    socket.on("connect", () => socket.write(`${JSON.stringify({ verb, args })}\n`));
    socket.on("data", (chunk: string) => {
      text += chunk;
      const end = text.indexOf("\n");
      if (end < 0) return;
      clearTimeout(late);
      socket.end();
      const said = JSON.parse(text.slice(0, end)) as { value?: unknown; error?: { code: string; message: string } };
      if (said.error) reject(new CageError(said.error.code, said.error.message));
      else resolve(said.value);
    });
    socket.on("error", (cause: NodeJS.ErrnoException) => {
      clearTimeout(late);
      const gone = cause.code === "ENOENT" || cause.code === "ECONNREFUSED";
      reject(
        new CageError(
          gone ? "NO_SUCH_CAGE" : "UNAVAILABLE",
          gone ? "nobody listens on this control socket" : "the control socket failed",
          { cause },
        ),
      );
    });
    socket.on("close", () => {
      clearTimeout(late);
      reject(new CageError("UNAVAILABLE", `the control socket closed before it answered '${verb}'`));
    });
  });
}
