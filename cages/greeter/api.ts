/** What other cages (and ./cage call) may call; nothing else is reachable. */
export * as greeter from "./greeter.ts";
