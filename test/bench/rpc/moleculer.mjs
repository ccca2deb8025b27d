/** Moleculer over its own TCP transporter, JSON (its fastest serializer), nothing else switched on. */
import moleculer from "moleculer";
import { lanes } from "./lanes.mjs";

const [role, serverPort, clientPort] = process.argv.slice(2);
const broker = new moleculer.ServiceBroker({
  nodeID: `bench-${role}`,
  logger: false,
  transporter: {
    type: "TCP",
    options: {
      udpDiscovery: false,
      urls: [`127.0.0.1:${serverPort}/bench-server`, `127.0.0.1:${clientPort}/bench-client`],
    },
  },
});
if (role === "server") broker.createService({ name: "echo", actions: { echo: (context) => context.params } });
await broker.start();
if (role === "client") {
  await broker.waitForServices("echo", 20_000, 50);
  process.on("message", async (load) => process.send(await lanes((value) => broker.call("echo.echo", value), load)));
}
process.send("ready");
process.on("disconnect", () => process.exit());
