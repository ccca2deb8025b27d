/**
 * The client of Orbit in one door, for browsers and Node 20, with its three tiers: a session alone (`openCsp`), channels
 * over any session (`connectOver`), and both together:
 *
 *     const orbit = connect({ url: "http://127.0.0.1:8082/csp" });
 *     const off = orbit.subscribe("forum.thread.7", { token, position }, { event, gap });
 *
 * No dependencies; its size is kept under 6 KB (brotli) by a test.
 */
import { type CspOptions, openCsp } from "./csp/client.ts";
import { connectOver, type Orbit } from "./revolved/client.ts";

export { type CspOptions, type CspSession, openCsp, type Transport } from "./csp/client.ts";
export { connectOver, type Handlers, type Orbit, type State, type SubscribeOptions } from "./revolved/client.ts";

export const connect = (options: CspOptions): Orbit => connectOver((listener) => openCsp(options, listener));
