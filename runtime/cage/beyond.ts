/**
 * What joins a cage's node with others, as its configuration names it. A cage of one host loads nothing of it.
 *
 * A node is a state directory: the id that tells it from another of the same name is state/node.id, made at the first start.
 */
import type { Beyond } from "../engine/beyond.ts";
import type { Instance } from "../engine/engine.ts";
import type { EngineOptions } from "../engine/options.ts";
import type { Paths } from "./paths.ts";
import { keptIn } from "./secret.ts";

export async function beyondOf(options: EngineOptions, me: Instance, paths: Paths): Promise<Beyond | undefined> {
  if (options.kind === "local") return undefined;
  const { Nats } = await import("../engine/nats/nats.ts");
  return new Nats({ options, me, nodeId: keptIn(paths.state, "node.id"), root: paths.root });
}
