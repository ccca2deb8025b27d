/** What other cages may ask of Impact. People ask through the door (planet.thrift). */
import { add } from "./notices.ts";

export const notices = { add };
