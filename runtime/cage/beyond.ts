/**
 * What joins a cage's node with others, as its configuration names it. A cage of one host loads nothing of it.
 *
 * A node is a state directory: the id that tells it from another of the same name is state/node.id, made at the first start.
 */
import { join } from "node:path";
import type { Beyond } from "../engine/beyond.ts";
import type { Instance } from "../engine/engine.ts";
import type { EngineOptions } from "../engine/options.ts";
import type { Link } from "./link.ts";
import type { Paths } from "./paths.ts";
import { keptIn } from "./secret.ts";

export interface Joining {
  readonly options: EngineOptions;
  readonly me: Instance;
  readonly paths: Paths;
  readonly listen: Link["listen"];
}

export async function beyondOf({ options, me, paths, listen }: Joining): Promise<Beyond | undefined> {
  switch (options.kind) {
    case "local":
      return undefined;
    case "nats": {
      const { Nats } = await import("../engine/nats/nats.ts");
      return new Nats({ options, me, nodeId: keptIn(paths.state, "node.id"), root: paths.root });
    }
    case "static": {
      const { Static } = await import("../engine/static/static.ts");
      return new Static({ options, me, root: paths.root, keysDir: join(paths.state, "keys"), listen });
    }
  }
}
