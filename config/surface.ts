import { defineCage } from "#runtime";
import planet from "../cages/impact/planet.thrift";

export const config = defineCage({
  interfaces: { web: { protocol: "http", port: 8080 } },
  resources: { impact: { protocol: "thrift", host: "127.0.0.1", port: 9090, transport: "header", idl: planet } },
  // Where browsers find Orbit: `url`, or this port of the host that they found Surface on.
  settings: { orbit: { port: 8085 } },
});
