/** A request and its reply as @nats-io gives them, with our codec and nothing else: `bare.mjs server|client ADDRESS`. */
import { connect } from "@nats-io/transport-node";
import { pack, unpack } from "../../../lib/pack.ts";
import { lanes } from "../rpc/lanes.mjs";

const [role, servers] = process.argv.slice(2);
const connection = await connect({ servers });
if (role === "server") {
  connection.subscribe("bare.echo", { callback: (_, message) => void message.respond(pack(unpack(message.data))) });
  await connection.flush();
} else {
  const call = async (value) => unpack((await connection.request("bare.echo", pack(value), { timeout: 60_000 })).data);
  process.on("message", async (load) => process.send(await lanes(call, load)));
}
process.send("ready");
