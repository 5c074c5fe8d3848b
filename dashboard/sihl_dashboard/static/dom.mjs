/**
 * Building the page. Text only ever becomes a text node: names, logs and metadata are hostile, and
 * nothing here can make markup of them.
 */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element.
 *
 * @param {string} tag its name, for example "div"
 * @param {Object<string, *>} [props] `class`, `text`, `data: {...}`, `style: {...}` (properties, set one
 *   by one: the policy allows no style text), `onclick` and the like, DOM properties such as
 *   `value` or `disabled`; everything else becomes an attribute. null, undefined and false: left out.
 * @param {...(Node|string|number|null|undefined|false|Array)} children
 * @returns {HTMLElement}
 */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same in SVG. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

const PROPERTIES = new Set(["value", "checked", "disabled", "indeterminate", "selected", "open"]);

function filled(node, props, children) {
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") node.setAttribute("class", value);
    else if (name === "text") node.textContent = String(value);
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") styled(node, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name) && name in node) node[name] = value;
    else node.setAttribute(name, value === true ? "" : addressed(name, value));
  }
  append(node, children);
  return node;
}

/** Addresses come from records too: none of them may run anything. */
function addressed(name, value) {
  if (name !== "href" && name !== "src") return value;
  return /^\s*(?:javascript|data|vbscript):/i.test(String(value)) ? "#" : value;
}

/** Sets style properties, custom ones included, by script: a strict policy allows that. */
export function styled(node, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) node.style.removeProperty(name);
    else node.style.setProperty(name, String(value));
  }
}

/** Appends children; strings become text nodes, arrays are flattened, null and false are left out. */
export function append(node, children) {
  for (const child of [children].flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : String(child));
  }
  return node;
}

/** Puts these in the place of all that a node holds. */
export function replace(node, ...children) {
  node.replaceChildren();
  return append(node, children);
}

/** Writes text, only where it differs: a live region would be read out again. */
export function write(node, text) {
  const wanted = String(text ?? "");
  if (node.textContent !== wanted) node.textContent = wanted;
}

/**
 * Brings a list up to date and keeps the elements that stay, and so focus, selection and scroll.
 *
 * @param {Element} root holds one element for each item, and nothing else
 * @param {Array} items
 * @param {function(*): string} key tells them apart
 * @param {function(*): {node: Element, update: function(*)}} create makes one; `update` fills it
 */
export function keyed(root, items, key, create) {
  const kept = root.keyedItems ?? new Map();
  const next = new Map();
  let place = root.firstElementChild;
  for (const item of items) {
    const name = key(item);
    if (next.has(name)) continue;
    const entry = kept.get(name) ?? create(item);
    kept.delete(name);
    entry.update(item);
    next.set(name, entry);
    if (entry.node === place) place = place.nextElementSibling;
    else root.insertBefore(entry.node, place);
  }
  for (const entry of kept.values()) {
    entry.destroy?.();
    entry.node.remove();
  }
  root.keyedItems = next;
}

const sheets = new Map();

/**
 * Loads a part's own style sheet, once.
 *
 * @param {string} base the module's `import.meta.url`
 * @param {string} name beside it, for example "./chart.css"
 * @returns {Promise<void>} when it holds, or could not be had
 */
export function stylesheet(base, name) {
  const href = new URL(name, base).href;
  if (!sheets.has(href)) {
    const link = el("link", { rel: "stylesheet", href });
    sheets.set(href, new Promise((done) => {
      link.addEventListener("load", () => done());
      link.addEventListener("error", () => done());
    }));
    document.head.append(link);
  }
  return sheets.get(href);
}

/** Tells those who hear the page what changed, politely; the same text again is told again. */
export function announce(text) {
  const node = document.getElementById("announcer");
  if (!node) return;
  node.textContent = node.textContent === text ? `${text}\u00a0` : text;
}

let last = 0;

/** An id that nothing else on the page has. */
export function uniqueId(prefix = "id") {
  last += 1;
  return `${prefix}-${last}`;
}
