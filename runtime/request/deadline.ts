/**
 * One timer for all deadlines. A timer per request costs as much as a tenth of a call; nearly every deadline is
 * cancelled before it comes, so entries lie in slots of 20 ms and one tick looks at the slots that are due. A deadline
 * may therefore be noticed up to 20 ms late, never early.
 */
const slotMs = 20;

export interface Alarm {
  readonly slot: number;
  readonly ring: () => void;
}

const slots = new Map<number, Set<Alarm>>();
let timer: NodeJS.Timeout | undefined;

export function alarmAt(deadline: number, ring: () => void): Alarm {
  const alarm = { slot: Math.ceil(deadline / slotMs), ring };
  let slot = slots.get(alarm.slot);
  if (slot === undefined) slots.set(alarm.slot, (slot = new Set()));
  slot.add(alarm);
  timer ??= setInterval(tick, slotMs).unref();
  return alarm;
}

export function dismiss(alarm: Alarm): void {
  const slot = slots.get(alarm.slot);
  if (slot?.delete(alarm) && slot.size === 0) slots.delete(alarm.slot);
}

function tick(): void {
  const due = Math.floor(performance.now() / slotMs);
  for (const [at, slot] of slots) {
    if (at > due) continue;
    slots.delete(at);
    for (const alarm of slot) alarm.ring();
  }
  if (slots.size === 0) {
    clearInterval(timer);
    timer = undefined;
  }
}
