/** The list of things: what the release tells of, with the number of its mentions. */

import { counted, element } from "./dom.js";
import { fill } from "./pages.js";
import { normOf } from "./release.js";

export class ThingList {
  constructor(list, onChoose) {
    this.list = list;
    this.onChoose = onChoose;
    this.things = new WeakMap(); // button -> thing
    list.addEventListener("click", (event) => {
      const button = event.target.closest("button.thing");
      if (button) onChoose(this.things.get(button));
    });
  }

  show(things, labels) {
    fill(this.list, things, (thing) => element("li", {}, this.button(thing, labels)), "things");
  }

  button(thing, labels) {
    const button = element(
      "button",
      { type: "button", className: "thing" },
      element("bdi", {}, thing.name),
      " ",
      element("span", { className: "norm" }, normOf(thing)),
      element("span", { className: `label ${labels.classOf(thing.label)}` }, thing.label),
      " ",
      element("small", {}, counted(thing.mentions.length, "mention")),
    );
    this.things.set(button, thing);
    return button;
  }
}
