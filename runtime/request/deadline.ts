/**
 * One timer for all deadlines. A timer per request costs as much as a tenth of a call; nearly every deadline is
 * cancelled before it comes, so entries lie in slots of 20 ms and one tick looks at the slots that are due. A deadline
 * may therefore be noticed up to 20 ms late, never early.
 *
 *     slot 51 --> alarm <--> alarm <--> (back to the slot)       a ring of its own: in and out without a search
 */
import { AsyncResource } from "node:async_hooks";

const slotMs = 20;

export class Alarm {
  readonly ring: () => void;
  #before: Alarm = this;
  #after: Alarm = this;

  constructor(ring: () => void) {
    this.ring = ring;
  }

  join(slot: Alarm): void {
    this.#before = slot.#before;
    this.#after = slot;
    slot.#before.#after = this;
    slot.#before = this;
  }

  leave(): void {
    this.#before.#after = this.#after;
    this.#after.#before = this.#before;
    this.#before = this.#after = this;
  }

  /** The next of its slot; itself when there is none. */
  get next(): Alarm {
    return this.#after;
  }
}

const slots = new Map<number, Alarm>();
const nothing = (): void => {};
let timer: NodeJS.Timeout | undefined;
/** Made at load, outside any request: the timer must not carry whichever context happened to start it. */
const outside = new AsyncResource("deadlines");

export function alarmAt(deadline: number, ring: () => void): Alarm {
  const at = Math.ceil(deadline / slotMs);
  let slot = slots.get(at);
  if (slot === undefined) slots.set(at, (slot = new Alarm(nothing)));
  const alarm = new Alarm(ring);
  alarm.join(slot);
  timer ??= outside.runInAsyncScope(() => setInterval(tick, slotMs).unref());
  return alarm;
}

export const dismiss = (alarm: Alarm): void => alarm.leave();

function tick(): void {
  const due = Math.floor(performance.now() / slotMs);
  for (const [at, slot] of slots) {
    if (at > due) continue;
    slots.delete(at);
    for (let alarm = slot.next; alarm !== slot; alarm = slot.next) {
      alarm.leave();
      alarm.ring();
    }
  }
  if (slots.size > 0) return;
  clearInterval(timer);
  timer = undefined;
}
