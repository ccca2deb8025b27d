namespace * shared

struct Point {
  1: required i32 x
  2: required i32 y
}

service Base {
  string ping(1: optional string word)
}
