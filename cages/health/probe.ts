/**
 * Whether the addresses of cages answer, asked from outside every few seconds while somebody watches. Any answer below
 * 500 is one: the path asked for need not exist. An address is called down when two of the last three probes failed, for
 * one lost packet is no outage.
 */
import { background, keep, resources } from "#runtime";
import type { config } from "../../config/health.ts";

export interface Probed {
  readonly url: string;
  /** Undefined until the first answer. */
  readonly up: boolean | undefined;
  readonly status: number | undefined;
  readonly ms: number;
  readonly why: string;
}

interface State {
  at: number;
  failures: boolean[];
  last: Probed;
}

const everyMs = 5_000;
const me = "health";

const { outside } = resources<typeof config>();
const states = keep("probes", () => new Map<string, State>());

/** What is known of these addresses; what is old is asked anew, and seen at the next look. */
export function probed(cage: string, interfaces: readonly { readonly url: string | null }[]): readonly Probed[] {
  // The monitor answers whoever reads this, and its own probes would only show up in its own figures.
  if (cage === me) return [];
  return interfaces.flatMap(({ url }) => {
    if (url === null || !/^https?:/.test(url)) return [];
    const state = stateOf(url);
    if (Date.now() - state.at > everyMs) {
      state.at = Date.now();
      background(() => probe(state), { timeoutMs: 4_000, label: "probe" });
    }
    return [state.last];
  });
}

function stateOf(url: string): State {
  let state = states.get(url);
  if (state === undefined) {
    // Ports change with configuration; what was not asked for in a while is forgotten.
    for (const [key, old] of states) if (Date.now() - old.at > 60_000) states.delete(key);
    state = { at: 0, failures: [], last: { url, up: undefined, status: undefined, ms: 0, why: "" } };
    states.set(url, state);
  }
  return state;
}

async function probe(state: State): Promise<void> {
  const started = performance.now();
  let status: number | undefined;
  let why = "";
  try {
    ({ status } = await outside.request(state.last.url, { method: "HEAD", timeoutMs: 2_000 }));
    if (status >= 500) why = `status ${status}`;
  } catch (error) {
    why = (error as Error).message;
  }
  state.failures = [...state.failures, why !== ""].slice(-3);
  const up = state.failures.filter(Boolean).length < 2;
  state.last = { url: state.last.url, up, status, ms: performance.now() - started, why };
}
