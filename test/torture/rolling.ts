/** Rolling restarts under load, 20 of them: no request fails but those of a client that cannot be told to leave, counted apart. */
import { createProject, freePorts } from "../kit/project.ts";
import { startTraffic, underLoad } from "../kit/traffic.ts";

export async function run(count = 20): Promise<boolean> {
  const [web, thrift, load] = (await freePorts(3)) as [number, number, number];
  const project = createProject(underLoad({ web, thrift, load }));
  try {
    await project.ok("start");
    const traffic = await startTraffic(project, { web, thrift, load });
    for (let round = 1; round <= count; round++) {
      await project.ok("restart", "shop", "--rolling");
      process.stdout.write(`${round} of ${count}\n`);
    }
    const { samples, taken, effects } = await traffic.stop();
    const failed = samples.filter(({ error }) => error !== undefined);
    const ours = failed.filter(({ kind }) => kind !== "foreign");
    const once = [...effects].sort().join() === [...taken].sort().join();
    process.stdout.write(
      `${samples.length} requests, ${ours.length} failed, ${failed.length - ours.length} of foreign clients; retried calls ${once ? "" : "not "}done once each\n`,
    );
    for (const { kind, error } of ours.slice(0, 10)) process.stdout.write(`${kind}: ${error}\n`);
    return ours.length === 0 && once;
  } finally {
    await project.remove();
  }
}
