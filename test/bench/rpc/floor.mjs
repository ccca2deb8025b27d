/**
 * The floor: an echo over a unix socket as one would write it by hand for speed. msgpackr with record structures shared
 * over the connection, a length before each message, flushed when 1 KB is pending or at the turn's end. No deadline, no
 * trace, no context, no errors. `node floor.mjs server|client PATH map|places`; the client is told what to do by its
 * parent, and keeps its calls in a Map, as most would, or in an array whose places are used again (lib/numbered.ts: why).
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

/** What waits: `put` answers its id, `take` gives it back. */
function inMap() {
  const map = new Map();
  let next = 1;
  return {
    put(resolve) {
      map.set(next, resolve);
      return next++;
    },
    take(id) {
      const resolve = map.get(id);
      map.delete(id);
      return resolve;
    },
  };
}

function inPlaces() {
  const places = [];
  const free = [];
  return {
    put(resolve) {
      const id = free.pop() ?? places.length;
      places[id] = resolve;
      return id;
    },
    take(id) {
      const resolve = places[id];
      places[id] = undefined;
      free.push(id);
      return resolve;
    },
  };
}

const [role, path, kept] = process.argv.slice(2);
if (role === "server") {
  createServer((socket) => {
    const send = messages(socket, ([id, value]) => send([id, value]));
  }).listen(path, () => process.send("ready"));
} else {
  const socket = connect(path);
  const waiting = kept === "map" ? inMap() : inPlaces();
  const send = messages(socket, ([id, value]) => waiting.take(id)(value));
  const call = (value) => new Promise((resolve) => send([waiting.put(resolve), value]));
  process.on("message", async (load) => process.send(await lanes(call, load)));
  process.send("ready");
}
process.on("disconnect", () => process.exit());
