/**
 * A thread that computes for a cage (threads.ts): one task at a time, each in a request of its own with the id, trace and
 * what remains of the one that waits for it. There are no resources and no other cages here: such work awaits, and belongs
 * on the event loop.
 */

import { join } from "node:path";
import { parentPort, workerData } from "node:worker_threads";
import { CageError, coded } from "../errors.ts";
import { divertLog } from "../health/log.ts";
import * as door from "../index.ts";
import { Compiler } from "../modules/compile.ts";
import { Replica } from "../modules/replica.ts";
import { Background } from "../request/background.ts";
import { type Lease, Request, run, type Services } from "../request/request.ts";
import { handlerOf } from "../rpc/api.ts";
import { type FromThread, keyOf, maxReplicas, type Task, type ThreadData, type ThreadError } from "./threads.ts";

const { places, stateDir } = workerData as ThreadData;
const compiler = new Compiler(join(stateDir, "compile"));
const replicas = new Map<string, Promise<Replica>>();
const tell = (message: FromThread): void => parentPort?.postMessage(message);
divertLog((line) => tell({ kind: "log", line }));

parentPort?.on("message", (task: Task) => {
  void compute(task).then(
    (value) => {
      try {
        tell({ kind: "answer", value });
      } catch (cause) {
        const message = `${task.name}: its answer cannot leave the thread: ${(cause as Error).message}`;
        tell({ kind: "error", error: flat(new CageError("INTERNAL", message, { cause })) });
      }
    },
    (error: unknown) => tell({ kind: "error", error: flat(error) }),
  );
});

async function compute(task: Task): Promise<unknown> {
  const { id, trace, interface: via, label, remainingMs, logLevel } = task.request;
  const request = new Request({
    services,
    lease: leaseOf(task.generation),
    interface: via,
    label,
    timeoutMs: remainingMs,
    id,
    trace,
    logLevel,
  });
  try {
    const { exports } = await run(request, () => replicaOf(task));
    return await run(request, () => handlerOf(exports[task.name])(...task.args));
  } finally {
    request.end();
  }
}

/** The last used are kept, in the order that the pool keeps too: it sends the texts of what was dropped here. */
function replicaOf(task: Task): Promise<Replica> {
  const key = keyOf(task);
  const { file, generation, texts } = task;
  const known = texts === undefined ? replicas.get(key) : undefined;
  const replica =
    known ??
    Replica.load({
      file,
      texts: texts ?? new Map(),
      generation,
      places: { ...places, externals: { "#runtime": door } },
      compiler,
    });
  replicas.delete(key);
  replicas.set(key, replica);
  if (replicas.size > maxReplicas) {
    const [oldest, dropped] = replicas.entries().next().value as [string, Promise<Replica>];
    replicas.delete(oldest);
    void dropped.then(
      (each) => each.release(),
      () => {},
    );
  }
  return replica;
}

const refused = (): never => {
  throw new CageError(
    "UNAVAILABLE",
    "a function with worker: true only computes: hand it what it needs, and let who calls it ask cages and resources",
  );
};

const services: Services = {
  node: "",
  cage: places.cage,
  background: new Background(),
  call: async () => refused(),
  retry: async () => refused(),
  compute: async (work, args) => await handlerOf(work)(...args),
};

const leaseOf = (id: number): Lease => ({
  id,
  module: () => undefined,
  resource: refused,
  get config() {
    return refused();
  },
  again: () => leaseOf(id),
  release() {},
});

function flat(thrown: unknown): ThreadError {
  const { code, message, status, retryable, details, stack, cause } = coded(thrown);
  const shown = cause instanceof Error ? cause.stack : stack;
  return { code, message, status, retryable, details, stack: shown ?? message };
}
