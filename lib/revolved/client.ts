/**
 * The Revolved client: subscriptions that survive anything, over whatever session `open` makes.
 *
 *     const orbit = connectOver((listener) => openCsp({ url }, listener));
 *     const off = orbit.subscribe("forum.thread.7", { token, position }, {
 *       event({ type, data }, position) {...},        // each once, in order
 *       gap(position) {...},                          // what was missed is gone: read the source anew
 *     });
 *     orbit.state, orbit.onState((state) => ...)      "connecting" | "on" | "late" | "off"
 *
 * When the session is gone it makes another (with jitter, so that a restarted server is not met by all at once) and
 * subscribes anew from the last position of each listener. A listener that was refused (an expired token) is told
 * `denied`, or `gap` when it has none: both mean that the page has to ask its server.
 */
export type State = "connecting" | "on" | "late" | "off";

export interface Wire {
  send(text: string): void;
  close(): void;
}

export interface WireListener {
  message(text: string): void;
  gone(reason: string): void;
  state(state: State): void;
}

export interface SubscribeOptions {
  readonly token: string;
  /** Null or undefined: from now on. */
  readonly position?: string | null | undefined;
}

export interface Handlers {
  event(event: { type: string; data: unknown }, position: string): void;
  gap(position: string | undefined): void;
  denied?(reason: string): void;
}

export interface Orbit {
  subscribe(channel: string, options: SubscribeOptions, handlers: Handlers): () => void;
  onState(listener: (state: State) => void): () => void;
  readonly state: State;
  close(): void;
}

interface Listener {
  readonly handlers: Handlers;
  position: string | null;
  /** It has been subscribed in this session, so what is pushed is next for it. */
  live: boolean;
}

interface Channel {
  token: string;
  epoch: string;
  readonly listeners: Set<Listener>;
}

const longestWaitMs = 30_000;

export function connectOver(open: (listener: WireListener) => Wire): Orbit {
  const channels = new Map<string, Channel>();
  const watchers = new Set<(state: State) => void>();
  /** Commands that await their OK: number -> channel. */
  const asked = new Map<number, string>();
  let shown = new Set<string>();
  let wire: Wire | undefined;
  let state: State = "connecting";
  let n = 0;
  let failures = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let closed = false;

  const become = (next: State) => {
    if (next === state) return;
    state = next;
    for (const watcher of watchers) guarded(() => watcher(next));
  };

  function begin() {
    shown = new Set();
    asked.clear();
    let told = false;
    wire = open({
      message(text) {
        failures = 0;
        for (const line of text.split("\n")) if (line) hear(JSON.parse(line) as [string, unknown[]]);
      },
      gone() {
        if (told || closed) return;
        told = true;
        wire = undefined;
        become("late");
        for (const channel of channels.values()) for (const listener of channel.listeners) listener.live = false;
        timer = setTimeout(begin, Math.random() * Math.min(1000 * 2 ** failures++, longestWaitMs));
      },
      state: (next) => {
        if (next !== "off" && next !== "connecting") become(next);
      },
    });
    for (const name of channels.keys()) ask(name);
  }

  /** Subscribes from the earliest position that a listener of this channel still needs. */
  function ask(name: string) {
    const channel = channels.get(name);
    if (!wire || !channel) return;
    let since: string | null = null;
    for (const { live, position } of channel.listeners)
      if (!live && position !== null && (since === null || offset(position) < offset(since))) since = position;
    const fresh = !shown.has(channel.token);
    shown.add(channel.token);
    asked.set(++n, name);
    wire.send(JSON.stringify([n, "SUBSCRIBE", fresh ? [name, since, channel.token] : [name, since]]));
  }

  function hear([kind, args]: [string, unknown[]]) {
    if (kind === "PUBLISH") {
      const [name, , data, at, type] = args as [string, unknown, unknown, number, string];
      const channel = channels.get(name);
      if (!channel) return;
      const position = `${channel.epoch}:${at}`;
      for (const listener of [...channel.listeners]) {
        // Not live: the replay after its OK will have this one as well. Behind: a replay for somebody else.
        if (!listener.live || (listener.position !== null && offset(listener.position) >= at)) continue;
        listener.position = position;
        guarded(() => listener.handlers.event({ type, data }, position));
      }
    } else if (kind === "GAP") {
      const [name, position] = args as [string, string];
      for (const listener of channels.get(name)?.listeners ?? []) {
        if (listener.live) continue;
        listener.position = position;
        guarded(() => listener.handlers.gap(position));
      }
    } else {
      const [number, info] = args as [number, string];
      const name = asked.get(number);
      asked.delete(number);
      // A later question about the same channel has the answer that counts.
      if (name === undefined || [...asked.values()].includes(name)) return;
      const channel = channels.get(name);
      if (!channel) return;
      if (kind === "OK") {
        channel.epoch = info.split(":")[0]!;
        for (const listener of channel.listeners) {
          listener.live = true;
          listener.position ??= info;
        }
      } else {
        const refused = [...channel.listeners].filter((listener) => !listener.live);
        for (const listener of refused) channel.listeners.delete(listener);
        if (channel.listeners.size === 0) channels.delete(name);
        for (const { handlers } of refused)
          guarded(() => (handlers.denied ? handlers.denied(info) : handlers.gap(undefined)));
      }
    }
  }

  begin();
  return {
    subscribe(name, { token, position }, handlers) {
      const listener: Listener = { handlers, position: position ?? null, live: false };
      let channel = channels.get(name);
      if (!channel) channels.set(name, (channel = { token, epoch: "", listeners: new Set() }));
      channel.token = token;
      channel.listeners.add(listener);
      ask(name);
      return () => {
        if (!channel.listeners.delete(listener) || channel.listeners.size > 0 || channels.get(name) !== channel) return;
        channels.delete(name);
        wire?.send(JSON.stringify([++n, "UNSUBSCRIBE", [name]]));
      };
    },
    onState(watcher) {
      watchers.add(watcher);
      return () => void watchers.delete(watcher);
    },
    get state() {
      return state;
    },
    close() {
      closed = true;
      clearTimeout(timer);
      wire?.close();
      wire = undefined;
      become("off");
    },
  };
}

const offset = (position: string) => Number(position.split(":")[1]);

/** One listener's mistake is not the others': shown, not thrown into the session. */
function guarded(call: () => void) {
  try {
    call();
  } catch (error) {
    console.error(error);
  }
}
