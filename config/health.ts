import { defineCage } from "#runtime";

export const config = defineCage({
  interfaces: { web: { protocol: "http", port: 8090 } },
  resources: {
    // Asks the other cages' own addresses, from outside, as their users do.
    outside: { protocol: "http", timeoutMs: 2_000, maxBodyBytes: 65_536, connections: 16 },
  },
});
