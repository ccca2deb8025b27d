"""The other side of the interoperability tests: code made by `thrift --gen py`, run by Debian's python3-thrift.

    peer.py client PORT     calls our server; prints one JSON line a finding; a failed claim ends it with a traceback
    peer.py server          prints the port it listens on, then echoes framed calls
    peer.py header          likewise, calls of the header transport
"""
import json
import math
import socket
import sys
import threading

from thrift.protocol.TBinaryProtocol import TBinaryProtocol, TBinaryProtocolFactory
from thrift.protocol.TCompactProtocol import TCompactProtocol
from thrift.protocol.THeaderProtocol import THeaderProtocol, THeaderProtocolFactory
from thrift.protocol.TMultiplexedProtocol import TMultiplexedProtocol
from thrift.server.TServer import TThreadedServer
from thrift.Thrift import TApplicationException, TMessageType
from thrift.TMultiplexedProcessor import TMultiplexedProcessor
from thrift.transport.THeaderTransport import THeaderClientType, THeaderSubprotocolID, THeaderTransformID
from thrift.transport.TSocket import TServerSocket, TSocket
from thrift.transport.TTransport import TFramedTransport, TFramedTransportFactory, TTransportFactoryBase

from every import Echo
from every.ttypes import Color, Containers, Defaults, Empty, Gone, Node, Refused, Scalars, Shape
from shared.ttypes import Point

TEXTS = ["", "plain", "Żółć", "Привет", "漢字かな", "مرحبا", "👩‍👩‍👧", "x" * 70000]


def scalars(**more):
    value = dict(flag=True, tiny=-128, small=127, short_=-32768, medium=2147483647, large=-(2**63), at=2**53 - 1,
                 real=math.pi, text="ü", blob=bytes(range(256)), color=Color.DARK)
    value.update(more)
    return Scalars(**value)


def thrown(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("nothing was thrown")


def calls(echo):
    for value in (scalars(), scalars(flag=False, large=2**63 - 1, at=-(2**53 - 1), real=-0.0, blob=b"", color=Color.BLUE)):
        assert echo.scalars(value) == value
    assert math.copysign(1, echo.real(-0.0)) == -1
    assert math.isnan(echo.real(math.nan))
    assert echo.real(math.inf) == math.inf and echo.real(-math.inf) == -math.inf
    for text in TEXTS:
        assert echo.text(text) == text
    assert echo.blob(bytes(range(256)) * 1000) == bytes(range(256)) * 1000
    for number in (0, 1, -1, 2**63 - 1, -(2**63)):
        assert echo.large(number) == number
    value = Containers(numbers=list(range(100)), words={"a", "ö"}, ages={"ada": 36, "__proto__": 1, "constructor": 2},
                       names={-1: ["x", "y"], 7: []}, rows=[{}, {"r": scalars()}], bits=[[True, False], []],
                       ids={2**62, -1}, palette={"warm": [Color.RED]})
    assert echo.containers(value) == value
    empty = Containers(numbers=[], words=set(), ages={}, names={}, rows=[], bits=[], ids=set(), palette={})
    assert echo.containers(empty) == empty
    assert len(echo.numbers(list(range(100000)))) == 100000
    node = Node("root", [Node("leaf", weight=7), Node("twig", [Node("deep", far="far")])])
    assert echo.node(node) == node
    assert echo.defaults(Defaults()) == Defaults(at=Point(1, 2), ratio=0.5)
    for shape in (Shape(point=Point(1, -1)), Shape(text="t"), Shape(path=[Point(0, 0)])):
        assert echo.shape(shape) == shape
    assert echo.empty(Empty()) == Empty()
    assert echo.nothing() is None
    assert echo.ping("w") == "w" and echo.ping(None) == "nothing"
    refused = thrown(Refused, lambda: echo.refuse("refused"))
    assert (refused.code, refused.message, refused.fields) == ("TAKEN", "taken", {"name": "other"})
    assert thrown(Gone, lambda: echo.refuse("gone")).since == 7
    mapped = thrown(Refused, lambda: echo.fail("open"))
    assert (mapped.code, mapped.message) == ("LOW_STOCK", "only 3 left")
    hidden = thrown(TApplicationException, lambda: echo.fail("secret"))
    assert hidden.type == TApplicationException.INTERNAL_ERROR and "secret" not in hidden.message
    # Nobody answers a oneway call: what comes next must be the answer to what is asked next.
    echo.tell("one")
    echo.tell("two")
    assert echo.told()[-2:] == ["one", "two"]
    assert echo.flag(True) is True


def client(port):
    def dial(strict=True):
        transport = TFramedTransport(TSocket("127.0.0.1", port))
        transport.open()
        return transport, TBinaryProtocol(transport, strictRead=False, strictWrite=strict)

    for strict in (True, False):
        transport, protocol = dial(strict)
        calls(Echo.Client(TMultiplexedProtocol(protocol, "Echo")))
        calls(Echo.Client(protocol))
        print(json.dumps({"strict": strict, "calls": "ok"}))
        transport.close()

    transport, _ = dial()
    calls(Echo.Client(TMultiplexedProtocol(TCompactProtocol(transport), "Echo")))
    print(json.dumps({"compact": True, "calls": "ok"}))
    transport.close()

    for name, number in (("binary", THeaderSubprotocolID.BINARY), ("compact", THeaderSubprotocolID.COMPACT)):
        for packed in (False, True):
            protocol = THeaderProtocol(TSocket("127.0.0.1", port), (THeaderClientType.HEADERS,), number)
            protocol.trans.open()
            if packed:
                protocol.add_transform(THeaderTransformID.ZLIB)
            echo = Echo.Client(protocol)
            calls(echo)
            calls(Echo.Client(TMultiplexedProtocol(protocol, "Echo")))
            protocol.set_header(b"note", f"{name} {packed} ö".encode())
            protocol.set_header(b"empty", b"")
            refused = thrown(Refused, lambda: echo.fail("open"))
            assert protocol.get_headers() == {b"x-code": refused.code.encode()}
            assert echo.flag(True) is True and protocol.get_headers() == {}
            print(json.dumps({"header": name, "packed": packed, "calls": "ok"}))
            protocol.trans.close()

    transport, protocol = dial()
    unknown = thrown(TApplicationException, lambda: Echo.Client(TMultiplexedProtocol(protocol, "Nobody")).flag(True))
    print(json.dumps({"unknown": unknown.type}))
    # A required field left out: refused by our server, and the connection goes on.
    protocol.writeMessageBegin("scalars", TMessageType.CALL, 9)
    protocol.writeStructBegin("args")
    protocol.writeFieldBegin("value", 12, 1)
    protocol.writeStructBegin("Scalars")
    protocol.writeFieldStop()
    protocol.writeFieldStop()
    protocol.writeMessageEnd()
    protocol.trans.flush()
    name, kind, seqid = protocol.readMessageBegin()
    error = TApplicationException()
    error.read(protocol)
    print(json.dumps({"name": name, "kind": kind, "seqid": seqid, "type": error.type, "message": error.message}))
    assert Echo.Client(protocol).flag(False) is False
    transport.close()


here = threading.local()


class Noting(TMultiplexedProcessor):
    """Lets a handler see the protocol of its call: there lie the headers."""

    def process(self, iprot, oprot):
        here.protocol = iprot
        return super().process(iprot, oprot)


class Handler:
    heard = []

    def __getattr__(self, name):
        return lambda value: value

    def nothing(self):
        return None

    def ping(self, word):
        return word if word is not None else "nothing"

    def refuse(self, how):
        raise Gone(7) if how == "gone" else Refused("TAKEN", "taken", {"name": "other"})

    def fail(self, how):
        raise ValueError("secret")

    def text(self, value):
        if value == "headers":
            here.protocol.set_header(b"answered", b"yes")
            found = {key.decode(): text.decode() for key, text in here.protocol.get_headers().items()}
            return json.dumps(found, sort_keys=True)
        if value == "pack":
            here.protocol.add_transform(THeaderTransformID.ZLIB)
        return value

    def tell(self, what):
        self.heard.append(what)

    def told(self):
        return self.heard


class Listening(TServerSocket):
    def listen(self):
        self.handle = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.handle.bind(("127.0.0.1", 0))
        self.handle.listen(16)
        print(self.handle.getsockname()[1], flush=True)


def server(transport, protocol):
    processor = Noting()
    processor.registerProcessor("Echo", Echo.Processor(Handler()))
    processor.registerDefault(Echo.Processor(Handler()))
    TThreadedServer(processor, Listening("127.0.0.1", 0), transport, protocol, daemon=True).serve()


if sys.argv[1] == "client":
    client(int(sys.argv[2]))
elif sys.argv[1] == "header":
    server(TTransportFactoryBase(), THeaderProtocolFactory())
else:
    server(TFramedTransportFactory(), TBinaryProtocolFactory())
