import { afterAll, beforeAll } from "vitest";
import { engineContract } from "../../../contract/engine.ts";
import { type NatsServer, natsServer } from "../../../kit/nats.ts";
import { needing } from "../../../kit/needs.ts";
import { Nodes } from "../../../kit/nodes.ts";

const { describe } = needing("nats");

describe("over NATS", () => {
  let server: NatsServer;
  let flocks = 0;
  beforeAll(async () => {
    server = await natsServer();
  });
  afterAll(() => server.stop());

  engineContract("nats", async () => {
    // A cluster of its own for each test.
    const nodes = new Nodes({ servers: [server.address], prefix: `flock${++flocks}` });
    return { join: (cage) => nodes.join(`node-of-${cage}`, cage), close: () => nodes.remove() };
  });
});
