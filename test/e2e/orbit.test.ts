import { cpSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, type Orbit } from "../../lib/orbit.ts";
import { createProject, eventually, freePorts, home, type Project } from "../kit/project.ts";

let project: Project;
let url: string;
const clients: Orbit[] = [];

interface Granted {
  token: string;
  position: string;
}

async function call<T>(path: string, ...args: unknown[]): Promise<T> {
  return JSON.parse(await project.ok("call", "orbit", path, ...args.map((arg) => JSON.stringify(arg)))) as T;
}

const grant = async (channel: string) =>
  (await call<Record<string, Granted>>("channels.grant", { channels: [channel], user: "ann" }))[channel]!;

const post = (channel: string, key: string) =>
  call<string[]>("channels.publish", [{ channel, key, type: "post", data: { id: key, text: "hallå" } }]);

beforeAll(async () => {
  const [port] = await freePorts(1);
  project = createProject({}, { CAGE_CONFIG__orbit__interfaces__comet__port: String(port) });
  cpSync(join(home, "cages/orbit"), join(project.root, "cages/orbit"), { recursive: true });
  cpSync(join(home, "config/orbit.ts"), join(project.root, "config/orbit.ts"), { recursive: true });
  await project.ok("start", "orbit");
  url = `http://127.0.0.1:${port}/csp`;
});

afterAll(async () => {
  for (const client of clients) client.close();
  await project?.remove();
});

function follow(transport: "sse" | "longpoll", channel: string, granted: Granted) {
  const client = connect({ url, transport });
  clients.push(client);
  const heard: string[] = [];
  const gaps: unknown[] = [];
  client.subscribe(channel, granted, {
    event: ({ type, data }) => heard.push(`${type} ${(data as { id: string; text: string }).id}`),
    gap: (position) => gaps.push(position),
  });
  return { client, heard, gaps };
}

describe("the orbit cage", () => {
  it("delivers what is published after the grant, once and in order, over both transports", async () => {
    const granted = await grant("thread.1");
    await post("thread.1", "before-subscribing");
    const sse = follow("sse", "thread.1", granted);
    const poll = follow("longpoll", "thread.1", granted);
    await eventually("caught up", () => sse.heard.length === 1 && poll.heard.length === 1);
    await post("thread.1", "live");
    await post("thread.1", "live");
    await post("thread.1", "after");
    await eventually("live", () => sse.heard.length === 3 && poll.heard.length === 3);
    expect(sse.heard).toEqual(["post before-subscribing", "post live", "post after"]);
    expect(poll.heard).toEqual(sse.heard);
  });

  it("answers other cages: positions, history since one of them, numbers; and refuses what is no channel", async () => {
    const [first] = await post("thread.9", "one");
    await post("thread.9", "two");
    expect(await call("channels.history", "thread.9", first)).toMatchObject({
      gap: false,
      events: [{ type: "post", data: { id: "two", text: "hallå" } }],
    });
    expect(await call("channels.history", "thread.9", "other:1")).toMatchObject({ gap: true, events: [] });
    const positions = await call<Record<string, string>>("channels.positions", ["thread.9", "unused"]);
    expect(positions["unused"]).toBe(positions["thread.9"]);
    expect(await call("channels.stats")).toMatchObject({ sessions: 2, subscribedChannels: 1, subscriptions: 2 });
    for (const entry of [{ channel: "no good", type: "t", data: 1 }, { channel: "a", data: 1 }, 7])
      expect((await project.cage("call", "orbit", "channels.publish", JSON.stringify([entry]))).stderr).toContain(
        "BAD_INPUT",
      );
  });

  it("keeps sessions, subscriptions and history while its code is replaced", async () => {
    const granted = await grant("thread.2");
    const { heard, gaps, client } = follow("sse", "thread.2", granted);
    await post("thread.2", "one");
    await eventually("one", () => heard.length === 1);
    const states: string[] = [];
    client.onState((state) => states.push(state));
    const file = "cages/orbit/channels.ts";
    const text = readFileSync(join(project.root, file), "utf8");
    project.write({ [file]: `${text}\nexport const edited = () => "yes";\n` });
    await eventually("reloaded", async () => (await project.cage("call", "orbit", "channels.edited")).code === 0);
    await post("thread.2", "two");
    await eventually("two", () => heard.length === 2);
    expect([heard, gaps, states]).toEqual([["post one", "post two"], [], []]);
  });

  it("tells a gap after its process was replaced, and goes on from there", async () => {
    const granted = await grant("thread.3");
    const { heard, gaps } = follow("longpoll", "thread.3", granted);
    await post("thread.3", "one");
    await eventually("one", () => heard.length === 1);
    await project.ok("restart", "orbit");
    await eventually("a gap", () => gaps.length === 1, 20_000);
    await post("thread.3", "two");
    await eventually("two", () => heard.length === 2);
    expect([heard, gaps.length]).toEqual([["post one", "post two"], 1]);
  });
});
