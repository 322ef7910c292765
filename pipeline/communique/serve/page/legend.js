/** The legend: a switch for each label of the release. */

import { element } from "./dom.js";

export class Legend {
  /** `onSwitch()`: a label was switched on or off. */
  constructor(root, onSwitch) {
    this.root = root;
    this.off = new Set();
    root.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      const { label } = button.dataset;
      if (!this.off.delete(label)) this.off.add(label);
      button.setAttribute("aria-pressed", String(this.wants(label)));
      onSwitch();
    });
  }

  /** `counts`: label -> number of its mentions. What was switched off stays off. */
  show(counts, labels) {
    const buttons = labels.names.filter((label) => counts.has(label)).map((label) => {
      const className = `switch ${labels.classOf(label)}`;
      const state = { "data-label": label, "aria-pressed": String(this.wants(label)) };
      return element("button", { type: "button", className, ...state }, label, " ", element("small"));
    });
    this.root.querySelectorAll("button").forEach((button) => button.remove());
    this.root.append(...buttons);
    this.root.hidden = !buttons.length;
    this.count(counts);
  }

  count(counts) {
    for (const button of this.root.querySelectorAll("button")) {
      button.querySelector("small").textContent = (counts.get(button.dataset.label) ?? 0).toLocaleString("en");
    }
  }

  wants(label) {
    return !this.off.has(label);
  }
}
