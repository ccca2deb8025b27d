/** Named here so that a save of any of them makes a new generation, and with it a new stylesheet (assets.ts bundles it). */
import comments from "./forum/comments/comments.css";
import front from "./forum/front/front.css";
import post from "./forum/post/post.css";
import rating from "./forum/rating/rating.css";
import reply from "./forum/reply/reply.css";
import thread from "./forum/thread/thread.css";
import profile from "./people/profile/profile.css";
import sign from "./people/sign/sign.css";
import base from "./site/base.css";
import site from "./site.css";

export const styles: readonly string[] = [site, base, front, thread, post, rating, comments, reply, profile, sign];
