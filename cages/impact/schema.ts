/**
 * The keyspace "accounts": everything about one person is in one partition. A person's id is made in the partition of
 * their name (`name:NORMALISED`), so it carries that bucket: name and person, which must agree, share a transaction, and
 * both name and id find them. (Names never change; what can will need a lookup of its own.)
 */

import type { Migration } from "#lib/partition.ts";
import { resources } from "#runtime";
import type { config } from "../../config/impact.ts";

export const { accounts } = resources<typeof config>();

export const migrations: readonly Migration[] = [
  {
    name: "person/1",
    sql: `
      create table person (
        id text primary key, name text not null, name_key text not null unique, password text not null,
        since integer not null, bucket integer not null
      ) strict;
      create index person_bucket on person (bucket);`,
  },
  {
    name: "session/1",
    sql: `
      create table session (
        hash text primary key, person text not null, at integer not null, expires integer not null, bucket integer not null
      ) strict, without rowid;
      create index session_person on session (person, at);
      create index session_bucket on session (bucket);`,
  },
  {
    name: "attempt/1",
    sql: `
      create table attempt (
        name_key text primary key, tries integer not null, since integer not null, bucket integer not null
      ) strict, without rowid;
      create index attempt_since on attempt (since);
      create index attempt_bucket on attempt (bucket);`,
  },
  {
    name: "notice/1",
    sql: `
      create table notice (
        id text primary key, person text not null, kind text not null, thread text not null, title text not null,
        by_id text not null, by_name text not null, at integer not null, seen integer not null default 0,
        bucket integer not null
      ) strict;
      create index notice_person on notice (person, id);
      create index notice_bucket on notice (bucket);`,
  },
];
