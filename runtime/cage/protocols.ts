/** Every protocol a configuration may name. Loaded when first named: a cage pays for what it uses. */
import type { Protocols } from "./config.ts";

export const protocols: Protocols = {
  interfaces: {
    http: async () => (await import("../interfaces/http/http.ts")).http as never,
    comet: async () => (await import("../interfaces/comet/comet.ts")).comet as never,
    thrift: async () => (await import("../interfaces/thrift.ts")).thrift as never,
    tcp: async () => (await import("../interfaces/tcp.ts")).tcp as never,
    rpc: async () => (await import("../interfaces/rpc.ts")).rpc as never,
    schedule: async () => (await import("../interfaces/schedule/schedule.ts")).schedule as never,
    outbox: async () => (await import("../interfaces/outbox.ts")).outbox as never,
  },
  resources: {
    http: async () => (await import("../resources/http.ts")).http as never,
    partitions: async () => (await import("../resources/partitions.ts")).partitions as never,
    thrift: async () => (await import("../resources/thrift.ts")).thrift as never,
    sqlite: async () => (await import("../resources/sqlite.ts")).sqlite as never,
  },
};
