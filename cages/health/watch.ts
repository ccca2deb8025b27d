/**
 * Looks at every cage of this node: what its supervisor and its worker say of it, over the control socket, and whether
 * its addresses answer (probe.ts). A cage that hangs or is gone is a row that says so; it holds nobody up for long.
 *
 * Looking is shared: however many browsers watch, each cage is asked once a second at most.
 */
import { type Entry, keep, operator, type RetrySummary, type Snapshot, type Status } from "#runtime";
import { type Probed, probed } from "./probe.ts";

/** What a worker adds to its supervisor's status. */
export interface Worker {
  readonly generation: number;
  readonly uptimeMs: number;
  readonly rssBytes: number;
  readonly running: number;
  readonly interfaces: readonly {
    readonly name: string;
    readonly protocol: string;
    readonly url: string | null;
    readonly status?: Readonly<Record<string, string | number | null>>;
  }[];
  /** Connections that it keeps open, to be called over. */
  readonly dials: readonly { readonly address: string; readonly open: boolean; readonly why: string }[];
  readonly broken: { readonly message: string; readonly frame: string; readonly file: string } | null;
  /** A rollback that holds. */
  readonly held: { readonly of: number; readonly at: string } | null;
  /** What only a restart applies. */
  readonly restart: readonly { readonly what: "packages" | "runtime"; readonly files: readonly string[] }[];
  readonly types: { readonly count: number; readonly faults: readonly TypeFault[] };
  /** The newest generation's trial. */
  readonly canary: {
    readonly generation: number;
    readonly before: number;
    readonly share: number;
    readonly requests: number;
    readonly failed: number;
    readonly wanted: number;
    readonly until: number;
  } | null;
}

export interface TypeFault {
  readonly file: string;
  readonly line: number;
  readonly code: string;
  readonly message: string;
  readonly frame: string;
}

export interface Row {
  readonly name: string;
  /** The supervisor's state; "off" without one; "silent" when it does not answer. */
  readonly state: Status["state"] | "off" | "silent";
  readonly why: string;
  readonly status: Status | undefined;
  readonly worker: Worker | undefined;
  readonly metrics: Snapshot | undefined;
  readonly retries: RetrySummary | undefined;
  readonly probes: readonly Probed[];
}

export interface Seen {
  readonly at: number;
  readonly node: string;
  readonly rows: readonly Row[];
}

const freshMs = 900;

const shared = keep("watch", () => ({ at: 0, seen: undefined as Promise<Seen> | undefined }));

export async function look(): Promise<Seen> {
  const now = Date.now();
  if (shared.seen === undefined || now - shared.at > freshMs) {
    shared.at = now;
    shared.seen = everything();
  }
  return await shared.seen;
}

/** Of one cage, what only its own page shows. */
export async function history(cage: string): Promise<readonly Entry[]> {
  return ((await maybe(operator.ask(cage, "history"))) as readonly Entry[] | undefined) ?? [];
}

export interface InFlight {
  readonly id: string;
  readonly interface: string;
  readonly label: string;
  readonly generation: number;
  readonly ageMs: number;
  readonly remainingMs: number;
}

export async function inFlight(cage: string): Promise<readonly InFlight[]> {
  return ((await maybe(operator.ask(cage, "requests"))) as readonly InFlight[] | undefined) ?? [];
}

async function everything(): Promise<Seen> {
  const instances = operator.instances();
  const supervised = new Set(instances.map((instance) => instance.cage));
  const names = [...new Set([...operator.cages(), ...supervised])].sort();
  const rows = await Promise.all(names.map((name) => (supervised.has(name) ? row(name) : off(name))));
  // What is not meant to run stands last.
  const known = [...rows.filter((row) => row.state !== "off"), ...rows.filter((row) => row.state === "off")];
  return { at: Date.now(), node: instances[0]?.node ?? "", rows: known };
}

const nothing = { status: undefined, worker: undefined, metrics: undefined, retries: undefined, probes: [] };
const off = (name: string): Row => ({ name, state: "off", why: "not started", ...nothing });

async function row(name: string): Promise<Row> {
  let status: Status;
  try {
    status = (await operator.ask(name, "status")) as Status;
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return code === "NO_SUCH_CAGE" ? off(name) : { name, state: "silent", why: message, ...nothing };
  }
  const worker = status.worker as Worker | undefined;
  const ready = status.state === "ready";
  const [metrics, retries] = ready
    ? await Promise.all([maybe(operator.ask(name, "metrics")), maybe(operator.ask(name, "retries"))])
    : [];
  const last = status.lastExit;
  return {
    name,
    // The supervisor is well, but the worker said nothing in time: its loop is blocked.
    state: ready && worker === undefined ? "silent" : status.state,
    why: ready ? "" : last === undefined ? "" : `ended: ${last.why}`,
    status,
    worker,
    metrics: metrics as Snapshot | undefined,
    retries: retries as RetrySummary | undefined,
    probes: ready ? probed(name, worker?.interfaces ?? []) : [],
  };
}

const maybe = (answer: Promise<unknown>): Promise<unknown> => answer.catch(() => undefined);
