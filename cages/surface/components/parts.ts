/**
 * The components that browsers know. A module of its own in the bundle: an upgrade loads its new version, which registers
 * every component anew, beside the script that runs already.
 */

export { Comment, CommentForm, Comments } from "./forum/comments/comments.ts";
export { Front, StartForm } from "./forum/front/front.ts";
export { ThreadRow } from "./forum/front/row.ts";
export { Post } from "./forum/post/post.ts";
export { Score, Vote } from "./forum/rating/rating.ts";
export { Reply } from "./forum/reply/reply.ts";
export { Thread } from "./forum/thread/thread.ts";
export { Notice, Notices } from "./people/notices/notices.ts";
export { Profile } from "./people/profile/profile.ts";
export { Sign } from "./people/sign/sign.ts";
export { ErrorPage } from "./site/error.ts";
export { Header } from "./site/header.ts";
