import { defineCage } from "#runtime";
import { migrations } from "../cages/impact/schema.ts";

export const config = defineCage({
  interfaces: {
    // Surface, on this host: its requests keep their deadline and log level.
    door: { protocol: "thrift", port: 9090, trusted: ["127.0.0.1", "::1"] },
    events: { protocol: "outbox", resource: "accounts", kind: "event" },
  },
  resources: {
    accounts: { protocol: "partitions", partitions: 4, migrations },
  },
});
