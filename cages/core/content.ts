/** Where Core keeps everything: the keyspace of its configuration. */
import { resources } from "#runtime";
import type { config } from "../../config/core.ts";

export const { content } = resources<typeof config>();
