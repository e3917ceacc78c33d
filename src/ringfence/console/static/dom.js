// Elements are made and filled by hand: everything that is shown goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** h("p.note", { title: "…" }, "text", child, …) */
export function h(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  const element = document.createElement(tag || "div");
  if (classes.length) element.className = classes.join(" ");
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value != null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** Sets text only where it differs, so that selections and screen readers are left alone. */
export function say(element, text) {
  const words = String(text);
  if (element.textContent !== words) element.textContent = words;
}

const drawn = new WeakMap();

/** Replaces the content only when what it is drawn from has changed. */
export function draw(element, data, make) {
  const seen = JSON.stringify(data);
  if (drawn.get(element) === seen) return;
  drawn.set(element, seen);
  element.replaceChildren(...[make(data)].flat().filter(Boolean));
}

/** Keeps one child per item, by key: made once, filled each time, in the order of the items. */
export function list(parent, items, keyOf, make, fill) {
  const old = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = items.map((item) => {
    const key = String(keyOf(item));
    let child = old.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    old.delete(key);
    fill(child, item);
    return child;
  });
  for (const child of old.values()) child.remove();
  wanted.forEach((child, place) => {
    if (parent.children[place] !== child) parent.insertBefore(child, parent.children[place] ?? null);
  });
}

export const pill = (kind, text) => h(`span.pill.${kind}`, {}, text);

/** A command to type, with a button that copies it. */
export function command(text) {
  return h("p.command", {}, h("code", {}, text), h("button.small", { type: "button", onclick: (event) => copy(event.currentTarget, text) }, "Copy"));
}

/** Copies and says so on the button. Over plain HTTP to another machine browsers have no clipboard: then it is selected. */
export async function copy(button, text, shown = null) {
  const before = button.dataset.label ?? button.textContent;
  button.dataset.label = before;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    const words = shown ?? button.previousElementSibling;
    if (words) getSelection().selectAllChildren(words);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = before; }, 1600);
}
