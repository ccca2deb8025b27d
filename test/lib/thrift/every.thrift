/** Every feature of the language that Debian's compiler (0.17) knows. */
namespace * every
namespace py every (style = "plain")

include "shared.thrift"

typedef i64 (js.type = "number") Millis
typedef list<shared.Point> Path
typedef map<string, list<Color>> Palette

const i32 HEX = 0x1F
const i64 FAR = -9000000000
const double TENTH = 1e-1
const string QUOTED = 'it is "so"'
const list<i32> PRIMES = [2, 3, 5; 7]
const map<string, i32> AGES = { "ada": 36, "alan": 41 }
const shared.Point ORIGIN = { "x": 0, "y": 0 }

/** Colours of things. */
enum Color {
  RED
  GREEN = 4 (note = "like grass"),
  BLUE;
  /** Below nothing. */
  DARK = -1
}

# Each kind of value, required.
struct Scalars {
  1: required bool flag
  2: required byte tiny
  3: required i8 small
  4: required i16 short_
  5: required i32 medium
  6: required i64 large
  7: required Millis at
  8: required double real
  9: required string text
  10: required binary blob
  11: required Color color
}

struct Containers {
  1: list<i32> numbers,
  2: set<string> words,
  3: map<string, i32> ages,
  4: map<i32, list<string>> names,
  5: list<map<string, Scalars>> rows,
  6: map<shared.Point, Color> colors
  7: list<list<bool>> bits
  8: set<i64> ids
  9: Palette palette
}

struct Node {
  1: required string name
  2: optional list<Node> children
  16: optional i32 (deprecated) weight = 5
  500: optional string far
}

struct Defaults {
  1: i32 count = HEX
  2: string name = "nameless"
  3: Color color = Color.GREEN
  4: list<i32> primes = [2, 3, 5]
  5: required bool on = true
  6: optional double ratio = 0.5
  7: optional shared.Point at = { "x": 1, "y": 2 }
}

union Shape {
  1: shared.Point point
  2: string text
  3: list<shared.Point> path
}

struct Empty {}

exception Refused {
  1: required string code
  2: required string message
  3: map<string, string> fields
}

exception Gone {
  1: required i64 since
}

service Echo extends shared.Base {
  Scalars scalars(1: Scalars value)
  Containers containers(1: Containers value)
  Node node(1: Node value)
  Defaults defaults(1: Defaults value)
  Shape shape(1: Shape value)
  Empty empty(1: Empty value)
  string text(1: string value)
  binary blob(1: binary value)
  double real(1: double value)
  bool flag(1: bool value)
  i64 large(1: i64 value)
  list<i32> numbers(1: list<i32> value)
  void nothing()
  void refuse(1: string how) throws (1: Refused refused, 2: Gone gone)
  i32 fail(1: string how) throws (1: Refused refused)
  oneway void tell(1: string what)
  list<string> told()
}
