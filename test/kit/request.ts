/** Runs `fn` as a request of its own, as code of a cage runs: for tests of resources. */
import { type Lease, Request, run, type Services } from "../../runtime/request/request.ts";

const services = { node: "test", cage: "test" } as unknown as Services;

const lease = (): Lease => ({
  id: 1,
  module: () => undefined,
  resource: () => undefined,
  config: {},
  again: lease,
  release() {},
});

export async function asRequest<T>(fn: (request: Request) => Promise<T>, timeoutMs = 5000): Promise<T> {
  const request = new Request({ services, lease: lease(), interface: "test", label: "test", timeoutMs });
  try {
    return await run(request, () => fn(request));
  } finally {
    request.end();
  }
}
