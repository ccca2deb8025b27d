/**
 * The floor: an echo over a unix socket as one would write it by hand for speed. msgpackr with record structures shared
 * over the connection, a length before each message, flushed when 1 KB is pending or at the turn's end. No deadline, no
 * trace, no context, no errors. `node floor.mjs server|client PATH`; the client is told what to do by its parent.
 */
import { connect, createServer } from "node:net";
import { Packr, Unpackr } from "msgpackr";
import { lanes } from "./lanes.mjs";

function messages(socket, each) {
  const packr = new Packr({ useRecords: true, sequential: true });
  const unpackr = new Unpackr({ useRecords: true, sequential: true, structures: [] });
  let pending = [];
  let bytes = 0;
  let scheduled = false;
  const flush = () => {
    scheduled = false;
    if (bytes === 0) return;
    socket.write(pending.length === 1 ? pending[0] : Buffer.concat(pending, bytes));
    pending = [];
    bytes = 0;
  };
  let rest;
  socket.on("data", (chunk) => {
    const data = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    while (data.length - at >= 4) {
      const end = at + 4 + data.readUInt32LE(at);
      if (data.length < end) break;
      each(unpackr.unpack(data.subarray(at + 4, end)));
      at = end;
    }
    rest = at < data.length ? data.subarray(at) : undefined;
  });
  return (message) => {
    const body = packr.pack(message);
    const whole = Buffer.allocUnsafe(4 + body.length);
    whole.writeUInt32LE(body.length, 0);
    whole.set(body, 4);
    pending.push(whole);
    bytes += whole.length;
    if (bytes >= 1024) flush();
    else if (!scheduled) {
      scheduled = true;
      setImmediate(flush);
    }
  };
}

const [role, path] = process.argv.slice(2);
if (role === "server") {
  createServer((socket) => {
    const send = messages(socket, ([id, value]) => send([id, value]));
  }).listen(path, () => process.send("ready"));
} else {
  const socket = connect(path);
  const waiting = new Map();
  const send = messages(socket, ([id, value]) => {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve(value);
  });
  let next = 1;
  const call = (value) =>
    new Promise((resolve) => {
      const id = next++;
      waiting.set(id, resolve);
      send([id, value]);
    });
  process.on("message", async (load) => process.send(await lanes(call, load)));
  process.send("ready");
}
process.on("disconnect", () => process.exit());
