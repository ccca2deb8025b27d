/** The module of the interface "door": Planet's back end over Thrift. What each method means stands in planet.thrift. */
import * as Accounts from "./accounts.ts";
import * as Forum from "./forum.ts";
import planet, { type AccountsHandler, type ForumHandler } from "./planet.thrift";

export const idl = planet;

export const services: { readonly Accounts: AccountsHandler; readonly Forum: ForumHandler } = {
  Accounts: {
    signUp: Accounts.signUp,
    signIn: Accounts.signIn,
    signOut: Accounts.signOut,
    viewer: Accounts.viewer,
    notices: Accounts.notices,
    noticesSeen: Accounts.noticesSeen,
  },
  Forum,
};
