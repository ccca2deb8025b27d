/**
 * Hosts of a test's own, each a network namespace, joined by a switch whose links can be cut: the machine's own network
 * is not touched, and nothing in these reaches beyond them.
 *
 *     const network = createNetwork("east", "west");
 *     createProject(files, env, network.host("west").exec);       // its commands run on that host
 *     network.cut("west");                                        // as a pulled cable: no connection is told
 *     network.remove();                                           // and what still runs there is ended
 *
 *     east eth0 10.77.0.2 ---- port0 \
 *                                      bridge 10.77.0.1 (network.hub)
 *     west eth0 10.77.0.3 ---- port1 /
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { pathOf } from "./needs.ts";

export interface Place {
  readonly address: string;
  /** What runs a command there, to be put before it. */
  readonly exec: readonly string[];
}

export interface Network<Host extends string> {
  /** The switch itself: no link of a host is between. */
  readonly hub: Place;
  host(name: Host): Place;
  cut(name: Host): void;
  heal(name: Host): void;
  remove(): void;
}

export function createNetwork<Host extends string>(...hosts: readonly Host[]): Network<Host> {
  const program = pathOf("namespaces");
  const ip = (...args: readonly string[]): string => execFileSync(program, args, { encoding: "utf8" });
  // Namespaces have names for the whole machine; all within them is only theirs.
  const id = randomBytes(4).toString("hex");
  const namespaceOf = (name: string): string => `cage-${id}-${name}`;
  const hub = namespaceOf("switch");
  const made: string[] = [];
  const make = (namespace: string): void => {
    ip("netns", "add", namespace);
    made.push(namespace);
    ip("-n", namespace, "link", "set", "lo", "up");
  };
  const placeOf = (namespace: string, number: number): Place => ({
    address: `10.77.0.${number}`,
    exec: [program, "netns", "exec", namespace],
  });
  const portOf = (name: Host): string => `port${hosts.indexOf(name)}`;
  const network: Network<Host> = {
    hub: placeOf(hub, 1),
    host: (name) => placeOf(namespaceOf(name), hosts.indexOf(name) + 2),
    cut: (name) => void ip("-n", hub, "link", "set", portOf(name), "down"),
    heal: (name) => void ip("-n", hub, "link", "set", portOf(name), "up"),
    remove() {
      for (const namespace of made.splice(0)) {
        // They would keep the network alive, and nobody could reach them any more.
        for (const pid of ip("netns", "pids", namespace).split("\n").filter(Boolean)) kill(Number(pid));
        ip("netns", "del", namespace);
      }
    },
  };
  try {
    make(hub);
    ip("-n", hub, "link", "add", "bridge", "type", "bridge");
    ip("-n", hub, "addr", "add", `${network.hub.address}/24`, "dev", "bridge");
    ip("-n", hub, "link", "set", "bridge", "up");
    for (const name of hosts) {
      const [namespace, port] = [namespaceOf(name), portOf(name)];
      make(namespace);
      ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
      ip("-n", hub, "link", "set", port, "master", "bridge", "up");
      ip("-n", namespace, "addr", "add", `${network.host(name).address}/24`, "dev", "eth0");
      ip("-n", namespace, "link", "set", "eth0", "up");
    }
  } catch (error) {
    network.remove();
    throw error;
  }
  return network;
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // It ended by itself meanwhile.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
