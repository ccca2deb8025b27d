import { messages } from "#lib/i18n/messages.ts";
import en from "./en.json" with { type: "json" };
import sv from "./sv.json" with { type: "json" };

export const t = messages({ en, sv });
