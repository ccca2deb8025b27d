import { defineCage } from "#runtime";

export const config = defineCage({
  interfaces: { web: { protocol: "http", port: 8080 } },
  resources: { impact: { protocol: "thrift", host: "127.0.0.1", port: 9090 } },
  // Where browsers find Orbit: `url`, or this port of the host that they found Surface on.
  settings: { orbit: { port: 8085 } },
});
