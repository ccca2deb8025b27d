/**
 * The client of a CSP session, for browsers and Node 20: no dependencies, only fetch. Packets both ways, in order and
 * once, over server-sent events or long polls, across lost connections, until the server no longer knows the session.
 *
 *     const session = openCsp({ url: "http://127.0.0.1:8082/csp" }, { message: (text) => ..., gone: (reason) => ... });
 *     session.send("hello");
 *
 * It begins with a stream of server-sent events (read through fetch, which unlike EventSource sees a 404 and reconnects
 * when we say). If nothing of it shows within a few seconds, some proxy holds streams back: long polls from then on,
 * in the same session. `gone` is told once; what to do then (a new session, what was missed) is the layer above.
 */
export type Transport = "sse" | "longpoll";
export type CspState = "connecting" | "on" | "late" | "off";

export interface CspListener {
  message(text: string): void;
  /** "closed": ended by either side; "expired": the server does not know it; "refused": it will not have us. */
  gone(reason: "closed" | "expired" | "refused" | "unreachable"): void;
  state?(state: CspState): void;
}

export interface CspOptions {
  readonly url: string;
  /** Default: server-sent events, falling back to long polls. */
  readonly transport?: Transport;
  readonly fetch?: typeof fetch;
}

export interface CspSession {
  send(text: string): void;
  close(): void;
  readonly state: CspState;
  readonly transport: Transport;
}

type Packet = [id: number, encoding: 0 | 1, data: string | null];

// `du` below the server's own limit of 30 s; `i` so that a dead stream is noticed. Slack covers a slow network.
const pollS = 25;
const beatS = 10;
const slackMs = 8_000;
const handshakeMs = 10_000;
/** A stream that shows nothing for so long is being held back by something between us. */
const showsMs = 4_000;
const longestWaitMs = 15_000;
/** Bytes in one /send; the server takes 64 KiB. */
const sendBytes = 32_768;

const variables = {
  sse: `is=1&se=1&bp=data:%20&bs=%0D%0A&ct=text/event-stream&du=${pollS}&i=${beatS}`,
  longpoll: `is=0&se=0&bp=&bs=&ct=text/plain&du=${pollS}&i=0`,
};

export function openCsp(options: CspOptions, listener: CspListener): CspSession {
  const ask = options.fetch ?? ((input: string, init: RequestInit) => fetch(input, init));
  let transport: Transport = options.transport ?? "sse";
  let state: CspState = "connecting";
  let key = "";
  let arrived = 0;
  let numbered = 0;
  let ended = false;
  let sending = false;
  let listening: AbortController | undefined;
  const waiting: Packet[] = [];
  const decoder = new TextDecoder();

  const become = (next: CspState) => {
    if (state === next) return;
    state = next;
    listener.state?.(next);
  };

  const finish = (reason: Parameters<CspListener["gone"]>[0]) => {
    if (ended) return;
    ended = true;
    globalThis.removeEventListener?.("pagehide", leave);
    listening?.abort();
    become("off");
    listener.gone(reason);
  };

  /** One request; its signal also ends the body. `alive` pushes the limit out. */
  async function request(path: string, body: string, limitMs: number, controller = new AbortController()) {
    let timer = setTimeout(() => controller.abort(), limitMs);
    const alive = (ms: number) => {
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), ms);
    };
    const response = await ask(`${options.url}/${path}`, {
      method: "POST",
      body,
      // text/plain needs no preflight.
      headers: { "Content-Type": "text/plain" },
      cache: "no-store",
      signal: controller.signal,
    }).catch((error: unknown) => {
      clearTimeout(timer);
      throw error;
    });
    return { response, alive, done: () => clearTimeout(timer) };
  }

  /** Waits with jitter, or a thousand clients would come back in step; less when the browser says it is online again. */
  const pause = (failures: number) =>
    new Promise<void>((resolve) => {
      const go = () => {
        clearTimeout(timer);
        globalThis.removeEventListener?.("online", go);
        resolve();
      };
      const timer = setTimeout(go, Math.min(50 * 2 ** failures, longestWaitMs) * (0.5 + Math.random() / 2));
      globalThis.addEventListener?.("online", go);
    });

  async function handshake() {
    const until = Date.now() + handshakeMs;
    for (let failures = 0; !ended; failures++) {
      try {
        const { response, done } = await request(`handshake?${variables[transport]}`, "{}", handshakeMs);
        const body = await response.text();
        done();
        if (response.ok) {
          key = (JSON.parse(body.slice(1, -1)) as { session: string }).session;
          if (transport === "longpoll") become("on");
          void listen();
          return flush();
        }
        if (final(response.status)) return finish("refused");
      } catch {}
      if (Date.now() > until) return finish("unreachable");
      await pause(failures);
    }
  }

  async function listen() {
    for (let failures = 0, mute = 0; !ended; ) {
      const streaming = transport === "sse";
      let shown = false;
      try {
        listening = new AbortController();
        const limitMs = streaming ? showsMs : pollS * 1000 + slackMs;
        // A poll that may stay open for long says nothing about the way; after a failure the first is answered at once.
        const quick = !streaming && state !== "on" ? "&du=0" : "";
        const path = `comet?s=${key}&a=${arrived}&${variables[transport]}${quick}`;
        const { response, alive, done } = await request(path, "", limitMs, listening);
        try {
          if (response.status === 404) return finish("expired");
          if (final(response.status)) return finish("refused");
          if (!response.ok) throw new Error();
          if (streaming) {
            await stream(response, () => {
              shown = true;
              failures = 0;
              become("on");
              alive(beatS * 1000 + slackMs);
            });
          } else {
            become("on");
            take(await response.text());
          }
        } finally {
          done();
        }
        failures = 0;
      } catch {
        if (ended) return;
        become("late");
        // Not a lost connection but a mute one, twice: a path that holds streams back.
        if (streaming && !shown && listening?.signal.aborted && ++mute > 1 && !options.transport)
          transport = "longpoll";
        await pause(failures++);
      }
    }
  }

  async function stream(response: Response, shows: () => void) {
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done || ended) return;
      shows();
      const lines = (rest + value).split("\r\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.startsWith("data: ")) take(line.slice(6));
    }
  }

  /** `([[1,0,"a"],[2,0,"b"]])` */
  function take(batch: string) {
    for (const [id, encoding, data] of JSON.parse(batch.slice(1, -1)) as Packet[]) {
      if (ended) return;
      if (id <= arrived) continue;
      // The server resends all that is unacknowledged, so a hole means that one of us is broken.
      if (id !== arrived + 1) return finish("expired");
      arrived = id;
      if (data === null) {
        farewell();
        return finish("closed");
      }
      listener.message(encoding ? decoder.decode(bytes(data), { stream: true }) : data);
    }
  }

  /** One /send at a time; after a failure the same packets again, which the server tells by their ids. */
  async function flush() {
    if (sending || !key) return;
    sending = true;
    for (let failures = 0; !ended && waiting.length > 0; ) {
      let size = 0;
      const batch = waiting.filter((packet, index) => (size += packet[2]!.length + 20) < sendBytes || index === 0);
      try {
        const { response, done } = await request(`send?s=${key}&a=${arrived}`, JSON.stringify(batch), handshakeMs);
        await response.text();
        done();
        if (response.ok) {
          waiting.splice(0, batch.length);
          failures = 0;
          continue;
        }
        if (response.status === 404) finish("expired");
        else if (final(response.status)) finish("refused");
      } catch {}
      if (!ended) await pause(failures++);
    }
    sending = false;
  }

  function farewell() {
    if (!key) return;
    const end: Packet = [numbered + 1, 0, null];
    // All that is unsent with it; keepalive lets it go out while the page is being left.
    void ask(`${options.url}/send?s=${key}&a=${arrived}`, {
      method: "POST",
      body: JSON.stringify([...waiting, end]),
      headers: { "Content-Type": "text/plain" },
      keepalive: true,
    }).catch(() => {});
  }

  const leave = () => {
    if (ended) return;
    farewell();
    finish("closed");
  };
  // The server need not wait for a time-out to forget a page that was left. A page that comes back from the browser's
  // cache finds its session gone, and the layer above makes another.
  globalThis.addEventListener?.("pagehide", leave);

  void handshake();
  return {
    send(text) {
      if (ended) return;
      waiting.push(packet(++numbered, text));
      void flush();
    },
    close: leave,
    get state() {
      return state;
    },
    get transport() {
      return transport;
    },
  };
}

/** Asking again would not help. 408 and 429 are passing. */
const final = (status: number) => status >= 400 && status < 500 && status !== 408 && status !== 429;

function packet(id: number, text: string): Packet {
  if (/^[\x20-\x7e]*$/.test(text)) return [id, 0, text];
  let binary = "";
  for (const byte of new TextEncoder().encode(text)) binary += String.fromCharCode(byte);
  return [id, 1, btoa(binary).replaceAll("+", "-").replaceAll("/", "_")];
}

function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));
}
