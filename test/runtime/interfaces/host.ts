/**
 * The smallest host an interface can have: real requests on a real server, one module that a test may swap. For tests
 * of interfaces only; the runtime's own is runtime/cage.
 */
import type { AddressInfo } from "node:net";
import { CageError } from "../../../runtime/errors.ts";
import type { Handler, InterfaceHost, Work } from "../../../runtime/interfaces/interface.ts";
import { type Lease, Request, run, type Services, within } from "../../../runtime/request/request.ts";

export interface TestHost extends InterfaceHost {
  swap(module: Handler): void;
  readonly served: Work[];
}

const services = { node: "test", cage: "test" } as unknown as Services;

export const lease = (): Lease => ({
  id: 1,
  module: () => undefined,
  resource: () => undefined,
  config: {},
  again: lease,
  release() {},
});

/** Runs `fn` as a request, as code of a cage runs. */
export async function asRequest<T>(fn: (request: Request) => Promise<T>, timeoutMs = 5000): Promise<T> {
  const request = new Request({ services, lease: lease(), interface: "test", label: "test", timeoutMs });
  try {
    return await run(request, () => fn(request));
  } finally {
    request.end();
  }
}

export function testHost(first: Handler): TestHost {
  let module = first;
  const listeners = new Set<() => void>();
  const served: Work[] = [];
  return {
    name: "door",
    cage: "test",
    served,
    listen: (server, address) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(address.port, address.host, () => resolve({ port: (server.address() as AddressInfo).port }));
      }),
    serve(work, handler) {
      served.push(work);
      const mine = module;
      if (mine === undefined) return Promise.reject(new CageError("NOT_FOUND", "no module"));
      return asRequest(
        (request) =>
          within(
            request,
            work.label,
            Promise.resolve().then(() => handler(mine, request)),
          ),
        work.timeoutMs,
      );
    },
    onSwap(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    peek: () => module,
    swap(next) {
      module = next;
      for (const listener of listeners) listener();
    },
  };
}
