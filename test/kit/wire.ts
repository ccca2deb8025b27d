/**
 * A CSP server reached by a `fetch` that loses, cuts and mutes as it is told: no sockets, and time only as fake timers
 * have it. `fates` says what becomes of each request in turn; when they are used up the network is well.
 */
import { CspHttp, type Reply } from "../../lib/csp/http.ts";
import { limits } from "../../lib/csp/limits.ts";
import { pack } from "../../lib/csp/packet.ts";
import type { EndReason, Session } from "../../lib/csp/session.ts";
import { Sessions } from "../../lib/csp/sessions.ts";

export type Fate =
  | "ok"
  /** Never arrives. */
  | "lost"
  /** Arrives; its answer does not. A stream breaks off after its first piece. */
  | "answer lost"
  /** Arrives, and nothing comes back, as behind a proxy that holds streams back. */
  | "mute"
  /** The server has forgotten all its sessions, as after a restart. */
  | "forget"
  | "503";
export const fates: readonly Fate[] = ["ok", "lost", "answer lost", "mute", "forget", "503"];

const latencyMs = 10;

export interface Application {
  connect?(session: Session): void;
  message(session: Session, text: string): void;
  ended?(session: Session, reason: EndReason): void;
}

export function wire(application: Application, ahead: Fate[] = []) {
  let keys = 0;
  const counts = { requests: 0, handshakes: 0 };
  const sessions: Sessions = new Sessions({
    clock: () => Date.now(),
    randomKey: () => `key${++keys}`,
    schedule: queueMicrotask,
    limits,
    accept: (session) => {
      application.connect?.(session);
      return {
        ready: () => true,
        message: (text) => application.message(session, text),
        ended: (reason) => application.ended?.(session, reason),
      };
    },
  });
  const csp = new CspHttp({ sessions, maxDurationS: 30 });
  const broken = () => new TypeError("fetch failed");

  /** A request takes its time there, so that things happen meanwhile. */
  const ask = (url: string, init: RequestInit = {}): Promise<Response> =>
    new Promise((resolve) => setTimeout(() => resolve(reach(url, init)), latencyMs));

  const reach = (url: string, init: RequestInit): Promise<Response> =>
    new Promise((resolve, reject) => {
      if (init.signal?.aborted) return reject(broken());
      const [path = "", query = ""] = url.split("?");
      const fate = ahead.shift() ?? "ok";
      counts.requests++;
      if (path.endsWith("/handshake")) counts.handshakes++;
      if (fate === "lost") return reject(broken());
      if (fate === "503") return resolve(new Response("'busy'", { status: 503 }));
      if (fate === "forget") for (const session of [...sessions]) session.drop("drain");
      let pieces: ReadableStreamDefaultController<Uint8Array> | undefined;
      let written = 0;
      const reply: Reply = {
        answer(status, headers, body) {
          if (fate === "answer lost") reject(broken());
          else if (fate !== "mute") resolve(new Response(body, { status, headers }));
        },
        begin(status, headers) {
          const stream = new ReadableStream<Uint8Array>({ start: (controller) => void (pieces = controller) });
          resolve(new Response(stream, { status, headers }));
        },
        write(text) {
          if (fate === "mute" || (fate === "answer lost" && written++ > 0)) return;
          pieces?.enqueue(new TextEncoder().encode(text));
          if (fate === "answer lost") setTimeout(() => init.signal?.aborted || breakOff(), 20);
        },
        end: () => {
          if (fate === "ok" && !init.signal?.aborted) pieces?.close();
        },
      };
      const left = csp.answer(
        {
          method: "POST",
          path: path.slice(path.lastIndexOf("/")),
          query,
          body: String(init.body ?? ""),
          lastEventId: undefined,
        },
        reply,
      );
      const breakOff = () => {
        left();
        try {
          pieces?.error(broken());
        } catch {}
        reject(broken());
      };
      init.signal?.addEventListener("abort", breakOff);
    });

  return {
    sessions,
    counts,
    fetch: ask as typeof fetch,
    sweep: () => sessions.sweep(),
    toAll: (text: string) => {
      for (const session of sessions) session.send(pack(text));
    },
  };
}
