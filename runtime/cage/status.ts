/** What a supervisor says of its instance. */
export type State = "starting" | "ready" | "restarting" | "failed" | "draining" | "drained" | "stopping";

export interface Status {
  readonly cage: string;
  readonly node: string;
  readonly state: State;
  readonly supervisor: number;
  readonly pid: number | undefined;
  readonly startedAt: number;
  readonly restarts: number;
  readonly lastExit: { readonly at: number; readonly why: string } | undefined;
  readonly stderr: readonly string[];
  /** What the worker says of itself; absent while it cannot. */
  readonly worker?: unknown;
  /** Of `processes: N`, those that died too often and are not there now. */
  readonly degraded: readonly number[];
  /** Of `processes: N`, those beside the first. */
  readonly others: readonly { readonly process: number; readonly pid: number | undefined; readonly worker?: unknown }[];
}
