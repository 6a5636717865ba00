// @ts-check
/** The parts of the page, one at a time. The address names the one that is shown. */
import { $, mark } from "./dom.js";

export class Tabs {
  /** @param {HTMLElement} list @param {(name: string) => void} shown */
  constructor(list, shown) {
    this.shown = shown;
    this.tabs = /** @type {HTMLElement[]} */ ([...list.querySelectorAll("[role=tab]")]);
    this.name = "";
    for (const tab of this.tabs) tab.addEventListener("click", () => this.go(this.nameOf(tab)));
    list.addEventListener("keydown", (event) => this.walk(event));
    addEventListener("hashchange", () => this.open(location.hash.slice(1)));
  }

  /** @param {HTMLElement} tab */
  nameOf(tab) {
    return tab.id.replace("tab-", "");
  }

  /** @param {string} name */
  go(name) {
    history.replaceState(null, "", `#${name}`);
    this.open(name);
  }

  /** @param {string} name one that is none shows the first */
  open(name) {
    const chosen = this.tabs.find((tab) => this.nameOf(tab) === name) ?? this.tabs[0];
    if (!chosen || this.name === this.nameOf(chosen)) return;
    this.name = this.nameOf(chosen);
    for (const tab of this.tabs) {
      mark(tab, "aria-selected", `${tab === chosen}`);
      tab.tabIndex = tab === chosen ? 0 : -1;
      $(`#${this.nameOf(tab)}`).hidden = tab !== chosen;
    }
    chosen.scrollIntoView({ block: "nearest", inline: "nearest" });
    this.shown(this.name);
  }

  /** @param {KeyboardEvent} event */
  walk(event) {
    const at = this.tabs.findIndex((tab) => this.nameOf(tab) === this.name);
    const last = this.tabs.length - 1;
    const to = { ArrowLeft: at ? at - 1 : last, ArrowRight: at < last ? at + 1 : 0, Home: 0, End: last }[event.key];
    const tab = to === undefined ? undefined : this.tabs[to];
    if (!tab) return;
    event.preventDefault();
    tab.focus();
    this.go(this.nameOf(tab));
  }
}
