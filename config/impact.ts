import { defineCage } from "#runtime";
import { migrations } from "../cages/impact/schema.ts";

export const config = defineCage({
  interfaces: {
    door: { protocol: "thrift", port: 9090 },
    events: { protocol: "outbox", resource: "accounts", kind: "event" },
  },
  resources: {
    accounts: { protocol: "partitions", partitions: 4, migrations },
  },
});
