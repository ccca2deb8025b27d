/** What every cage answers about itself: `self.describe`, `self.health`, `self.echo`. So an empty directory is callable. */
import { paths } from "../rpc/api.ts";
import type { Cage } from "./cage.ts";

export function selfApi(cage: Cage) {
  return {
    /** What can be called here, and what it is reached by. */
    async describe() {
      const lease = cage.lease();
      try {
        return {
          cage: cage.name,
          node: cage.node,
          generation: lease.id,
          functions: paths(lease.module("api")),
          interfaces: (await cage.openInterfaces()).map((open) => ({
            name: open.plan.name,
            protocol: open.plan.protocol.protocol,
            url: open.interface.url ?? null,
            ...(open.interface.status === undefined ? {} : { status: open.interface.status }),
          })),
        };
      } finally {
        lease.release();
      }
    },

    /** Is it well: each resource checked now. Throws nothing; a resource that is down says why. */
    async health() {
      const { attachment, id } = cage.loader.current;
      const resources: Record<string, string> = {};
      for (const [name, holding] of attachment.resources) {
        resources[name] = await holding.value.check().then(
          () => "ok",
          (error: Error) => error.message,
        );
      }
      return {
        ok: Object.values(resources).every((state) => state === "ok"),
        generation: id,
        uptimeMs: Date.now() - cage.startedAt,
        resources,
      };
    },

    echo: (value: unknown) => value,
  };
}
