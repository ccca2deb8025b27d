/** Every interface that is asked keeps one contract. */
import { comet } from "../../../runtime/interfaces/comet/comet.ts";
import { http } from "../../../runtime/interfaces/http/http.ts";
import { rpc } from "../../../runtime/interfaces/rpc.ts";
import { tcp } from "../../../runtime/interfaces/tcp.ts";
import { thrift } from "../../../runtime/interfaces/thrift.ts";
import { interfaceContract } from "../../contract/interface.ts";
import { cometAsker, httpAsker, idl, rpcAsker, tcpAsker, thriftAsker } from "../../kit/askers.ts";

const port = { port: 0 };

interfaceContract("http", {
  protocol: http as never,
  options: port,
  work: "POST /hello",
  small: { maxBodyBytes: 1_000 },
  connect: httpAsker,
});

interfaceContract("tcp", {
  protocol: tcp as never,
  options: port,
  work: "line",
  small: { maxLineBytes: 1_000 },
  connect: tcpAsker,
});

interfaceContract("thrift", {
  protocol: thrift as never,
  options: { ...port, idl },
  work: "Greeter.hello",
  small: { maxMessageBytes: 1_000 },
  connect: thriftAsker,
});

interfaceContract("rpc", {
  protocol: rpc as never,
  options: port,
  work: "hello",
  answer: "greeter.hello($1)",
  small: {},
  connect: rpcAsker,
});

interfaceContract("comet", {
  protocol: comet as never,
  options: port,
  work: "hello",
  small: { maxBodyBytes: 1_024 },
  // Silence is how a client over polls is known to be gone.
  impatient: { sessionTimeoutMs: 1_000 },
  answersLater: true,
  connect: cometAsker,
});
