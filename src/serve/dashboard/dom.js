// Makes elements. Text is always set as text, never as markup, so nothing that an event holds can become code.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `h("td.num", {title: "..."}, "12", child)`. Names after dots are classes; `on*` are listeners. */
export function h(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElement(tag);
  if (classes.length) element.className = classes.join(" ");
  return fill(element, props, children);
}

/** The same for SVG. */
export function svg(name, props, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = document.createElementNS(SVG, tag);
  if (classes.length) element.setAttribute("class", classes.join(" "));
  return fill(element, props, children);
}

function fill(element, props, children) {
  if (props && (props instanceof Node || typeof props !== "object" || Array.isArray(props))) {
    children.unshift(props);
    props = null;
  }
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  append(element, children);
  return element;
}

function append(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** A comment of a script: what stands between backticks is code. */
export const prose = (text) =>
  (text ?? "").split(/`([^`]+)`/).map((part, place) => (place % 2 ? h("code", part) : part));

/** Replaces all children. */
export function put(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Sets the text if it differs; true if it did. Leaves an equal text alone, so a selection survives. */
export function say(element, text) {
  if (element.textContent === text) return false;
  element.textContent = text;
  return true;
}

const FLASH_MS = 1400;
const lit = new WeakMap();

/** Lets an element light up for a moment. One that is still lit is left alone, so that what changes all the time does not flicker. */
export function flash(element) {
  const now = performance.now();
  if (document.hidden || now - (lit.get(element) ?? -FLASH_MS) < FLASH_MS) return;
  lit.set(element, now);
  element.classList.add("flash");
  setTimeout(() => element.classList.remove("flash"), FLASH_MS);
}

/**
 * Lines of a list or a table's body that stay the same elements while their rows change. `lay` puts a line for each
 * item, in order: `make` makes one, with its `element`; `write` fills it, and is told whether what changes shall light up.
 */
export function keyedLines(parent) {
  const lines = new Map();
  let first = true;

  function lay(items, keyOf, make, write) {
    const seen = new Set();
    items.forEach((item, place) => {
      const key = keyOf(item, seen);
      seen.add(key);
      let line = lines.get(key);
      const fresh = !line;
      if (fresh) {
        line = make(item);
        lines.set(key, line);
      }
      if (parent.children[place] !== line.element) parent.insertBefore(line.element, parent.children[place] ?? null);
      write(line, item, !first && !fresh);
      if (fresh && !first) flash(line.element);
    });
    for (const [key, line] of lines) {
      if (seen.has(key)) continue;
      line.element.remove();
      lines.delete(key);
    }
    first = false;
  }
  /** What comes next is looked at for the first time: nothing of it lights up. */
  const restart = () => {
    first = true;
  };
  return { lay, restart };
}
