/**
 * Planet's back end, as any language sees it. Surface is one client of it.
 *
 * `session` is the token that signUp and signIn give out; empty for a visitor. `once` is a name the client makes for one
 * act (an idempotency key): the same act sent twice is done once. Times are milliseconds since 1970.
 */
namespace * planet

typedef string Id

/** A refusal that a person can act on. `code` is stable; `fields` says what is wrong with which input. */
exception Refused {
  1: required string code
  2: required string message
  3: map<string, string> fields
}

struct Person {
  1: required Id id
  2: required string name
}

/** What people think of an item; `item` is "post:ID" or "profile:ID". `mine` is the viewer's own: -1, 0 or 1. */
struct Rating {
  1: required string item
  2: required i32 up
  3: required i32 down
  4: optional i32 mine
}

struct Comment {
  1: required Id id
  2: required string item
  3: required Person author
  4: required string body
  5: required i64 (js.type = "number") at
}

struct Post {
  1: required Id id
  2: required Id thread
  3: required Person author
  4: required string body
  5: required i64 (js.type = "number") at
  6: required Rating rating
  7: required list<Comment> comments
}

struct Thread {
  1: required Id id
  2: required string title
  3: required Person author
  4: required i64 (js.type = "number") at
  5: required i32 posts
  6: required i64 (js.type = "number") lastAt
}

struct ThreadPage {
  1: required Thread thread
  2: required list<Post> posts
  /** Where the next page begins; absent on the last. */
  3: optional Id nextId (js.name = "next")
}

struct Profile {
  1: required Person person
  2: required i64 (js.type = "number") since
  3: required Rating rating
  4: required list<Thread> threads
}

struct Notice {
  1: required Id id
  2: required string kind
  3: required Id thread
  4: required string title
  5: required Person by
  6: required i64 (js.type = "number") at
  7: required bool seen
}

struct Session {
  1: required string token
  2: required Person person
  3: required i64 (js.type = "number") expires
}

/** What every page needs of its viewer, in one answer. */
struct Viewer {
  1: required Person person
  2: required i32 notices
}

service Accounts {
  Session signUp(1: string name, 2: string password) throws (1: Refused refused)
  Session signIn(1: string name, 2: string password) throws (1: Refused refused)
  void signOut(1: string session)
  /** The person of a session; Refused with code UNAUTHORIZED when it is no session (any more). */
  Viewer viewer(1: string session) throws (1: Refused refused)
  list<Notice> notices(1: string session) throws (1: Refused refused)
  void noticesSeen(1: string session) throws (1: Refused refused)
}

service Forum {
  /** Newest activity first. `before` continues a list: "LASTAT.ID" of the last thread shown, as it was shown. */
  list<Thread> threads(1: i32 limit, 2: optional string before) throws (1: Refused refused)
  /** In order of writing, 50 posts a page; `after` is the `next` of the page before. Reading needs no session. */
  ThreadPage thread(1: string session, 2: Id id, 3: optional Id after) throws (1: Refused refused)
  Thread start(1: string session, 2: string title, 3: string body, 4: string once) throws (1: Refused refused)
  Post reply(1: string session, 2: Id thread, 3: string body, 4: string once) throws (1: Refused refused)
  Comment comment(1: string session, 2: string item, 3: string body, 4: string once) throws (1: Refused refused)
  /** 1, -1, or 0 to take it back. */
  Rating rate(1: string session, 2: string item, 3: i32 value) throws (1: Refused refused)
  /** By name, in any case. */
  Profile profile(1: string session, 2: string name) throws (1: Refused refused)
}
