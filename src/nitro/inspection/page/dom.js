// @ts-check
/** The few things that the page does to its document. Nodes are made once and then only change what they say. */

/** @param {string} selector @param {ParentNode} [root] @returns {HTMLElement} */
export function $(selector, root = document) {
  const found = root.querySelector(selector);
  if (!found) throw new Error(`The page has no ${selector}`);
  return /** @type {HTMLElement} */ (found);
}

/** An element with that text, if any. @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name @param {string} [className] @param {string} [text] @returns {HTMLElementTagNameMap[Name]} */
export function make(name, className = "", text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Shows a text, and touches the document only if it is another one. @param {Element} element @param {string} text */
export function put(element, text) {
  const first = element.firstChild;
  if (!first) {
    if (text) element.textContent = text;
  } else if (first instanceof Text && !first.nextSibling) {
    if (first.data !== text) first.data = text;
  } else element.textContent = text;
}

/** Sets an attribute if it has another value; null takes it away.
 * @param {Element} element @param {string} name @param {string | null} value */
export function mark(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/** A list of nodes that are used again for whatever is shown next. @template Item @template {{root: HTMLElement}} Node */
export class Rows {
  /** @param {HTMLElement} parent @param {() => Node} build @param {(node: Node, item: Item) => void} paint */
  constructor(parent, build, paint) {
    this.parent = parent;
    this.build = build;
    this.paint = paint;
    /** @type {Node[]} */
    this.nodes = [];
  }

  /** @param {Item[]} items */
  show(items) {
    items.forEach((item, i) => {
      const node = this.nodes[i] ??= this.build();
      if (!node.root.parentNode) this.parent.append(node.root);
      this.paint(node, item);
    });
    for (let i = items.length; i < this.nodes.length; i++) this.nodes[i]?.root.remove();
  }
}
