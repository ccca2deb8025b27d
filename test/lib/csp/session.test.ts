/**
 * Whatever is lost on the way, every packet arrives once and in order, in both directions: an honest client that knows
 * only the protocol, against the server without sockets, under every fault that a network has.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CspHttp, type Reply } from "../../../lib/csp/http.ts";
import { limits } from "../../../lib/csp/limits.ts";
import { pack } from "../../../lib/csp/packet.ts";
import type { EndReason, Session } from "../../../lib/csp/session.ts";
import { Sessions } from "../../../lib/csp/sessions.ts";

interface Recorded extends Reply {
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
  ended: boolean;
}

function record(): Recorded {
  const reply: Recorded = {
    status: 0,
    headers: {},
    text: "",
    ended: false,
    answer(status, headers, body) {
      Object.assign(reply, { status, headers, text: body, ended: true });
    },
    begin(status, headers) {
      Object.assign(reply, { status, headers });
    },
    write: (text) => void (reply.text += text),
    end: () => void (reply.ended = true),
  };
  return reply;
}

/** A server without sockets and with a clock that the test turns. */
function serve(given: Partial<{ maxBufferedBytes: number; maxSessions: number; inbox: number }> = {}) {
  let nowMs = 0;
  let keys = 0;
  const received: string[] = [];
  const ended: EndReason[] = [];
  const flushes: (() => void)[] = [];
  let session: Session | undefined;
  const sessions = new Sessions({
    clock: () => nowMs,
    randomKey: () => `key${++keys}`,
    schedule: (flush) => flushes.push(flush),
    limits: { ...limits, ...given },
    accept: (made) => {
      session = made;
      return {
        ready: () => received.length < (given.inbox ?? 1e9),
        message: (text) => void received.push(text),
        ended: (reason) => void ended.push(reason),
      };
    },
  });
  const csp = new CspHttp({ sessions, maxDurationS: 30 });
  const ask = (path: string, query: string, body = "", lastEventId?: string) => {
    const reply = record();
    const left = csp.answer({ method: "POST", path, query, body, lastEventId }, reply);
    return { reply, left };
  };
  const turn = () => {
    for (const flush of flushes.splice(0)) flush();
  };
  return {
    sessions,
    csp,
    received,
    ended,
    ask,
    turn,
    handshake(query = "") {
      ask("/handshake", query, "{}");
      return session as Session;
    },
    pass(ms: number) {
      nowMs += ms;
      sessions.sweep();
    },
    send(text: string) {
      const taken = session?.send(pack(text)) ?? false;
      turn();
      return taken;
    },
  };
}

type Packet = [number, number, string | null];

const transports = {
  longpoll: "is=0&se=0&bp=&bs=&du=30",
  polling: "is=0&se=0&bp=&bs=&du=0",
  stream: "is=1&se=0&bp=&bs=%0A&du=30&i=10",
  sse: "is=1&se=1&bp=data:%20&bs=%0D%0A&ct=text/event-stream&du=30&i=10",
  ssepoll: "is=0&se=1&bp=data:%20&bs=%0D%0A&ct=text/event-stream&du=30",
  jsonp: "is=0&se=0&bp=cb.x1&bs=;&du=30",
} as const;
type Transport = keyof typeof transports;

/** The whole batches in what arrived, as a client of that transport finds them. */
function batches(transport: Transport, text: string, whole: boolean): Packet[][] {
  const found: string[] = [];
  if (transport === "stream") found.push(...text.split("\n").slice(0, -1));
  else if (transport === "sse" || transport === "ssepoll")
    for (const event of text.split("\r\n").slice(0, -1)) {
      if (event.startsWith("data: ")) found.push(event.slice(6));
    }
  else if (whole && transport === "jsonp") found.push(text.replace(/^cb\.x1/, "").replace(/;$/, ""));
  else if (whole) found.push(text);
  return found.map((batch) => JSON.parse(batch.slice(1, -1)) as Packet[]);
}

const decode = ([, encoding, data]: Packet) => (encoding === 1 ? Buffer.from(data!, "base64url").toString() : data!);

const anyText = fc.oneof(fc.string({ maxLength: 20 }), fc.string({ unit: "binary", maxLength: 10 }));

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("serverSends" as const), text: anyText }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant("clientQueues" as const), text: anyText }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant("send" as const),
      fate: fc.constantFrom("ok", "request lost", "answer lost", "twice", "old again"),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("poll" as const),
      transport: fc.constantFrom(...(Object.keys(transports) as Transport[])),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("read" as const),
      fate: fc.constantFrom("all", "cut", "lost"),
      at: fc.nat(200),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("time" as const), ms: fc.constantFrom(100, 10_000, 31_000) }) },
);

describe("a session under loss", () => {
  it("delivers every packet once and in order, both ways, over any mix of transports", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
        const server = serve();
        const { key } = server.handshake();
        const sent = { down: [] as string[], up: [] as string[] };
        const arrived: string[] = [];
        let last = 0;
        const unsent: Packet[] = [];
        let numbered = 0;
        let poll: { reply: Recorded; left: () => void; transport: Transport; read: number } | undefined;
        let oldBatch = "[]";

        const take = (packets: Packet[]) => {
          for (const packet of packets) {
            if (packet[0] <= last) continue;
            expect(packet[0]).toBe(last + 1);
            last = packet[0];
            arrived.push(decode(packet));
          }
        };
        const read = (fate: string, at: number) => {
          if (poll === undefined || poll.reply.text === "") return;
          const { reply, transport, left } = poll;
          const text = fate === "cut" ? reply.text.slice(0, at) : fate === "lost" ? "" : reply.text;
          for (const batch of batches(transport, text, text === reply.text && reply.ended)) take(batch);
          if (fate === "all" && !reply.ended) {
            reply.text = "";
            return;
          }
          if (!reply.ended) left();
          poll = undefined;
        };
        const open = (transport: Transport) => {
          poll = { ...server.ask("/comet", `s=${key}&a=${last}&${transports[transport]}`), transport, read: 0 };
          expect(poll.reply.status).toBe(transport === "stream" || transport === "sse" || poll.reply.ended ? 200 : 0);
        };
        const post = (body: string) => server.ask("/send", `s=${key}&a=${last}`, body).reply.status;

        for (const now of steps) {
          if (now.do === "serverSends") {
            sent.down.push(now.text);
            server.send(now.text);
          } else if (now.do === "clientQueues") {
            // What a client may: plain only when every character is one byte.
            const plain = /^[\x20-\x7e]*$/.test(now.text);
            const utf8 = Buffer.from(now.text);
            sent.up.push(utf8.toString());
            unsent.push([++numbered, plain ? 0 : 1, plain ? now.text : utf8.toString("base64url")]);
          } else if (now.do === "send") {
            const body = JSON.stringify(unsent);
            if (now.fate === "old again") expect(post(oldBatch)).toBe(200);
            else if (now.fate !== "request lost") {
              expect(post(body)).toBe(200);
              if (now.fate === "twice") expect(post(body)).toBe(200);
              if (now.fate !== "answer lost") unsent.length = 0;
              oldBatch = body;
            }
          } else if (now.do === "poll") open(now.transport);
          else if (now.do === "read") read(now.fate, now.at);
          else {
            server.pass(now.ms);
            // An honest client is never silent for as long as the session's time-out: it reads what came and asks again.
            if (poll?.reply.ended) read("all", 0);
            if (poll === undefined) open("longpoll");
          }
        }
        // The network heals.
        post(JSON.stringify(unsent));
        for (let more = true; more; ) {
          open("polling");
          const before = last;
          read("all", 0);
          more = last > before;
        }
        // Lone surrogates have no UTF-8: both sides see the replacement character.
        expect(arrived).toEqual(sent.down.map((text) => Buffer.from(text).toString()));
        expect(server.received).toEqual(sent.up);
        expect(server.ended).toEqual([]);
      }),
      { numRuns: 400 },
    );
  });
});

describe("a session's life", () => {
  it("ends after its silence, keeps the end for as long again, and is then unknown", () => {
    const server = serve();
    const session = server.handshake();
    server.send("unread");
    server.pass(limits.sessionTimeoutMs + 1);
    expect([server.ended, session.state]).toEqual([["timeout"], "closing"]);
    expect(server.ask("/comet", `s=${session.key}&a=0`).reply.text).toBe('([[1,0,"unread"],[2,0,null]])');
    server.pass(limits.sessionTimeoutMs + 1);
    expect(server.ask("/comet", `s=${session.key}&a=0`).reply).toMatchObject({
      status: 404,
      text: "'Session not found'",
    });
    expect(server.sessions.size).toBe(0);
  });

  it("does not count an open poll as silence, and completes it at its duration with an empty batch", () => {
    const server = serve();
    const { key } = server.handshake();
    for (let n = 0; n < 10; n++) {
      const { reply } = server.ask("/comet", `s=${key}&a=0&du=20`);
      server.pass(19_900);
      expect(reply.ended).toBe(false);
      server.pass(200);
      expect(reply.text).toBe("([])");
    }
    expect(server.ended).toEqual([]);
  });

  it("is forgotten soon after the client's null, and at once when both nulls have passed", () => {
    const server = serve();
    const { key } = server.handshake();
    expect(server.ask("/send", `s=${key}`, "[[1,0,null]]").reply.text).toBe('("OK")');
    expect(server.ended).toEqual(["client"]);
    expect(server.ask("/comet", `s=${key}&a=0`).reply.text).toBe("([[1,0,null]])");
    server.ask("/send", `s=${key}&a=1`, "[]");
    expect(server.sessions.size).toBe(0);

    const other = serve();
    other.ask("/send", `s=${other.handshake().key}`, "[[1,0,null]]");
    other.pass(limits.lingerMs + 1);
    expect(other.sessions.size).toBe(0);
  });

  it("sends what was queued before its own end, and nothing after", () => {
    const server = serve();
    const session = server.handshake();
    server.send("a");
    session.close();
    expect(server.send("b")).toBe(false);
    expect(server.ask("/comet", `s=${session.key}&a=0`).reply.text).toBe('([[1,0,"a"],[2,0,null]])');
    // The client's answer: its own null, acknowledging ours.
    expect(server.ask("/send", `s=${session.key}&a=2`, "[[1,0,null]]").reply.status).toBe(200);
    expect(server.ask("/comet", `s=${session.key}&a=2`).reply.status).toBe(404);
  });

  it("answers /close with OK and a null packet", () => {
    const server = serve();
    const { key } = server.handshake("rp=cb1&rs=;");
    expect(server.ask("/close", `s=${key}`).reply.text).toBe('cb1("OK");');
    expect(server.ask("/comet", `s=${key}&a=0`).reply.text).toBe("([[1,0,null]])");
  });

  it("refuses what the application has no room for, and takes it when it comes again", () => {
    const server = serve({ inbox: 2 });
    const { key } = server.handshake();
    const batch = '[[1,0,"a"],[2,0,"b"],[3,0,"c"]]';
    expect(server.ask("/send", `s=${key}`, batch).reply.status).toBe(503);
    expect(server.received.splice(0)).toEqual(["a", "b"]);
    expect(server.ask("/send", `s=${key}`, batch).reply.status).toBe(200);
    expect(server.received).toEqual(["c"]);
  });

  it("joins a character that an old client cut in two", () => {
    const server = serve();
    const { key } = server.handshake();
    const bytes = Buffer.from("å");
    const half = (id: number, byte: number) => [id, 1, Buffer.from([byte]).toString("base64url")];
    server.ask("/send", `s=${key}`, JSON.stringify([half(1, bytes[0]!), half(2, bytes[1]!)]));
    expect(server.received.join("")).toBe("å");
  });
});

describe("the forms of the protocol", () => {
  const answers = (query: string, text?: string) => {
    const server = serve();
    const { key } = server.handshake(query);
    const { reply } = server.ask("/comet", `s=${key}&a=0`);
    if (text !== undefined) server.send(text);
    return reply;
  };

  it("long poll: held until there is something, then whole", () => {
    expect(answers("")).toMatchObject({ status: 0, ended: false });
    expect(answers("", "hi")).toMatchObject({ status: 200, ended: true, text: '([[1,0,"hi"]])' });
  });

  it("polling: answered at once", () => expect(answers("du=0")).toMatchObject({ ended: true, text: "([])" }));

  it("stream: prebuffer, an empty batch at once, then batch after batch", () =>
    expect(answers("is=1&bs=%0A&ps=3", "hi")).toMatchObject({ ended: false, text: '   ([])\n([[1,0,"hi"]])\n' }));

  it("server-sent events: dispatched by the blank line, numbered by the last packet", () =>
    expect(answers("is=1&se=1&bp=data:%20&bs=%0D%0A&ct=text/event-stream", "hi")).toMatchObject({
      headers: { "Content-Type": "text/event-stream; charset=utf-8" },
      text: 'data: ([])\r\n\r\ndata: ([[1,0,"hi"]])\r\nid: 1\r\n\r\n',
    }));

  it("JSONP: a call of the named function", () =>
    expect(answers("bp=cb1&bs=;&ct=application/javascript", "hi").text).toBe('cb1([[1,0,"hi"]]);'));

  it("never writes a `<` of the data, whatever the content type", () =>
    expect(answers("", "<script>").text).toBe('([[1,0,"\\u003cscript>"]])'));

  it("ends a stream after its share of bytes, so that it is acknowledged", () => {
    const server = serve();
    const { key } = server.handshake("is=1&bs=%0A");
    const { reply } = server.ask("/comet", `s=${key}&a=0`);
    for (let n = 0; !reply.ended && n < 200; n++) server.send("x".repeat(1000));
    expect(reply.text.length).toBeGreaterThan(limits.maxStreamBytes);
    expect(reply.text.length).toBeLessThan(limits.maxStreamBytes + 2000);
  });

  it("writes an empty batch into a silent stream at the interval", () => {
    const server = serve();
    const { key } = server.handshake("is=1&bs=%0A&i=5");
    const { reply } = server.ask("/comet", `s=${key}&a=0`);
    server.pass(4_900);
    expect(reply.text).toBe("([])\n");
    server.pass(200);
    expect(reply.text).toBe("([])\n([])\n");
  });

  it("Last-Event-Id supersedes `a`", () => {
    const server = serve();
    const { key } = server.handshake("du=0");
    server.send("one");
    server.send("two");
    expect(server.ask("/comet", `s=${key}&a=0`, "", "1").reply.text).toBe('([[2,0,"two"]])');
  });

  it("ignores numbers that are none, and an acknowledgement of what was never sent", () => {
    const server = serve();
    const { key } = server.handshake("du=soon&i=-1&ps=1e9");
    const { reply } = server.ask("/comet", `s=${key}&a=999`);
    server.send("hi");
    expect(reply.text).toBe('([[1,0,"hi"]])');
  });

  it("writes once for all that one turn has sent", () => {
    const server = serve();
    const session = server.handshake();
    const { reply } = server.ask("/comet", `s=${session.key}&a=0`);
    session.send(pack("a"));
    session.send(pack("b"));
    expect(reply.ended).toBe(false);
    server.turn();
    expect(reply.text).toBe('([[1,0,"a"],[2,0,"b"]])');
  });
});

describe("the client of 2009 (js.io), by the requests it makes", () => {
  it("shakes hands, writes base64url, polls, and answers the end with its own", () => {
    const server = serve();
    const shaken = server.ask("/handshake", "ct=application%2Fjavascript", "{}").reply;
    expect(shaken).toMatchObject({ status: 200, text: '({"session":"key1"})' });
    expect(shaken.headers["Content-Type"]).toContain("application/javascript");
    expect(server.ask("/send", "s=key1&a=0", '[[1,1,"csOka3Ntw7ZyZ8Olcw=="]]').reply.text).toBe('("OK")');
    expect(server.received).toEqual(["räksmörgås"]);
    const poll = server.ask("/comet", "s=key1&a=0").reply;
    server.send("å");
    expect(poll.text).toBe('([[1,1,"w6U"]])');
    server.sessions.find("key1")?.close();
    expect(server.ask("/comet", "s=key1&a=1").reply.text).toBe("([[2,0,null]])");
    expect(server.ask("/send", "s=key1&a=2", "[[2,0,null]]").reply.status).toBe(200);
    expect(server.ask("/comet", "s=key1&a=2").reply).toMatchObject({ status: 404, text: "'Session not found'" });
  });

  it("by JSONP: everything in the query, a new function's name each time, and d=null on comet", () => {
    const server = serve();
    const shaken = server.ask("/handshake", "ct=application%2Fjavascript&d=%7B%7D&n=0.1&rs=%3B&rp=cb1").reply;
    expect(shaken.text).toBe('cb1({"session":"key1"});');
    server.send("x");
    expect(server.ask("/comet", "s=key1&a=0&d=null&n=0.2&bs=%3B&bp=cb2").reply.text).toBe('cb2([[1,0,"x"]]);');
    const sent = server.ask("/send", "s=key1&a=1&d=%5B%5B1%2C1%2C%22aGk%22%5D%5D&n=0.3&rs=%3B&rp=cb3").reply;
    expect([sent.text, server.received]).toEqual(['cb3("OK");', ["hi"]]);
  });
});
