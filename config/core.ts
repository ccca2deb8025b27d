import { defineCage } from "#runtime";
import { migrations } from "../cages/core/community.ts";

export const config = defineCage({
  interfaces: {
    events: { protocol: "outbox", resource: "content", kind: "event" },
    listing: { protocol: "outbox", resource: "content", kind: "listing" },
  },
  resources: {
    content: { protocol: "partitions", partitions: 4, migrations },
  },
});
