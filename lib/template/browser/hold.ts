/**
 * What belongs to the person at the page: the control they are in. What would change its value waits until they leave it, and
 * then the last such change is applied; moving or replacing its surroundings gives the focus back.
 */
const waiting = new WeakMap<Element, Map<string, () => void>>();

const isControl = (element: Element): element is HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement =>
  /^(input|textarea|select)$/.test(element.localName);

const held = (element: Element): boolean => {
  const control = element.localName === "option" ? element.closest("select") : element;
  return control !== null && isControl(control) && control === document.activeElement;
};

/** Runs `change` now, or when the person has left the control. */
export function unheld(element: Element, what: string, change: () => void): void {
  if (!held(element)) {
    waiting.get(element)?.delete(what);
    change();
    return;
  }
  let changes = waiting.get(element);
  if (changes === undefined) {
    waiting.set(element, (changes = new Map()));
    (element.closest("select") ?? element).addEventListener(
      "blur",
      () => {
        const all = waiting.get(element);
        waiting.delete(element);
        for (const late of all?.values() ?? []) late();
      },
      { once: true },
    );
  }
  changes.set(what, change);
}

/** Runs `change`; if it took the focus away, gives it back: to the same control, or to its successor in `area()`. */
export function keepingFocus<T>(change: () => T, area: (result: T) => ParentNode): T {
  const active = document.activeElement;
  if (active === null || active === document.body) return change();
  const control = isControl(active) ? active : undefined;
  const text = control instanceof HTMLInputElement || control instanceof HTMLTextAreaElement ? control : undefined;
  const value = text?.value;
  let selection: [number | null, number | null] = [null, null];
  try {
    if (text !== undefined) selection = [text.selectionStart, text.selectionEnd];
  } catch {} // a checkbox has none
  const result = change();
  if (document.activeElement === active) return result;
  const name = active.id || active.getAttribute("name");
  const next = active.isConnected
    ? active
    : name
      ? [...area(result).querySelectorAll(active.localName)].find(
          (other) => (other.id || other.getAttribute("name")) === name,
        )
      : undefined;
  if (!(next instanceof HTMLElement)) return result;
  next.focus({ preventScroll: true });
  if (
    value !== undefined &&
    next !== active &&
    (next instanceof HTMLInputElement || next instanceof HTMLTextAreaElement)
  ) {
    if (next.type !== "checkbox" && next.type !== "radio") next.value = value;
    if (selection[0] !== null) next.setSelectionRange(selection[0], selection[1]);
  }
  return result;
}

/** Moves a node; without losing its state where the browser can. */
export function move(parent: Node, node: Node, before: Node | null): void {
  const able = parent as Node & { moveBefore?: (node: Node, before: Node | null) => void };
  if (able.moveBefore !== undefined && node.isConnected && parent.isConnected) able.moveBefore(node, before);
  else parent.insertBefore(node, before);
}
