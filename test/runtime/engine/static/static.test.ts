import { engineContract } from "../../../contract/engine.ts";
import { List } from "../../../kit/list.ts";

engineContract(
  "static",
  async () => {
    const cages = ["a", "b"];
    const list = await List.of(Object.fromEntries(cages.map((cage) => [`node-of-${cage}`, [cage]])));
    return { join: (cage) => list.join(`node-of-${cage}`, cage), close: () => list.remove() };
  },
  "calls",
);
