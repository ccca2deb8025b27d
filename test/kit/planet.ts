/**
 * Planet in a folder of its own: copies of cages/, config/ and lib/ that a test may edit, its own state, free ports, driven
 * through the real launcher.
 */
import { cpSync } from "node:fs";
import { join } from "node:path";
import { createProject, freePorts, home, type Project } from "./project.ts";

export interface Planet extends Project {
  readonly site: string;
  readonly dashboard: string;
  readonly ports: {
    readonly surface: number;
    readonly impact: number;
    readonly orbit: number;
    readonly health: number;
    readonly greeter: number;
  };
}

export async function createPlanet(): Promise<Planet> {
  const [surface, impact, orbit, health, greeter] = (await freePorts(5)) as [number, number, number, number, number];
  const set = (path: string, value: unknown): [string, string] => [
    `CAGE_CONFIG__${path.replaceAll(".", "__")}`,
    JSON.stringify(value),
  ];
  const project = createProject(
    {},
    Object.fromEntries([
      set("surface.interfaces.web.port", surface),
      set("surface.resources.impact.port", impact),
      set("surface.settings.orbit.port", orbit),
      set("impact.interfaces.door.port", impact),
      set("orbit.interfaces.comet.port", orbit),
      set("health.interfaces.web.port", health),
      set("greeter.interfaces.greeter.port", greeter),
      set("health.interfaces.web.port", health),
    ]),
  );
  for (const part of ["cages", "config", "lib", "package.json"])
    cpSync(join(home, part), join(project.root, part), { recursive: true });
  return {
    ...project,
    site: `http://localhost:${surface}`,
    dashboard: `http://localhost:${health}`,
    ports: { surface, impact, orbit, health, greeter },
  };
}
