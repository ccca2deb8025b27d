/** What Impact answers, under the names that this cage uses for it: the structs of impact/planet.thrift. */
export type {
  Comment,
  Notice,
  Person,
  Post,
  Profile,
  Rating,
  Session,
  Thread,
  ThreadPage,
  Viewer,
} from "../impact/planet.thrift";
