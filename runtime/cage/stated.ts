/**
 * The configuration of a cage that does not run, from its files alone: its modules of config/ are loaded as they would be
 * for a start, and the same rules decide. No port is opened, no resource, and nothing of state/ is made or read, so that
 * after a rollback this tells what lies on the disk, not what is held.
 */
import { join } from "node:path";
import { Compiler } from "../modules/compile.ts";
import { Disk } from "../modules/disk.ts";
import { onDisk } from "../modules/ground.ts";
import { loadOnce } from "../modules/once.ts";
import { type Explained, explain } from "./explain.ts";
import { placed } from "./fault.ts";
import type { Paths } from "./paths.ts";
import { protocols } from "./protocols.ts";

/** `door` is what `#runtime` is to the modules. Throws a LoadError with its place and frame. */
export async function stated(
  { home, root, config }: Paths,
  cage: string,
  door: object,
  env: NodeJS.ProcessEnv,
): Promise<readonly Explained[]> {
  const fileOf = (name: string) => join(config, `${name}.ts`);
  const places = { root, home, cage, externals: { "#runtime": door } };
  const ground = onDisk(places, new Disk());
  const roots = ["defaults", "cluster", cage].map(fileOf).filter(ground.look());
  const modules = await loadOnce({ places, ground, roots, compiler: new Compiler() });
  const statedIn = (name: string) => modules.get(fileOf(name))?.exports["config"];
  const layers = { defaults: statedIn("defaults"), cluster: statedIn("cluster"), own: statedIn(cage) };
  return await explain(cage, layers, protocols, env).catch((error) => {
    throw placed(error, root, (file) => modules.get(file)?.source.text);
  });
}
