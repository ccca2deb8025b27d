/** Answers the interface named "comet": a session's packets are Revolved frames (lib/revolved/PROTOCOL.md). */

import { enter, leave, receive } from "#lib/revolved/hub.ts";
import type { CometSession } from "#runtime";
import { circumstances, hub } from "./channels.ts";

export const connect = (session: CometSession): void => enter(hub, session);

export const message = (session: CometSession, text: string): void => receive(hub, session, text, circumstances());

export const disconnect = (session: CometSession): void => leave(hub, session);
