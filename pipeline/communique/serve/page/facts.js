/** The list of facts, those of one sentence over the sentence that says them. */

import { counted, element } from "./dom.js";
import { fill } from "./pages.js";
import { bySentence, normOf } from "./release.js";

export class FactList {
  /** `onChoose(fact, which, how)`: a fact was chosen; `which` of its sentences; `how`: "focus" or "click". */
  constructor(list, onChoose) {
    this.list = list;
    this.onChoose = onChoose;
    this.facts = new WeakMap(); // button -> fact
    this.chosen = null;
    list.addEventListener("click", (event) => this.choose(event, true));
    list.addEventListener("focusin", (event) => this.choose(event, false));
  }

  /** `types`: relation types in the order in which facts of one sentence stand. */
  show(facts, types) {
    this.chosen = null;
    fill(this.list, bySentence(facts, types), (group) => this.group(group), "sentences");
  }

  group({ text, facts }) {
    const rows = element("ul", { className: "rows" }, ...facts.map((fact) => element("li", {}, this.button(fact))));
    const item = element("li", { className: "group" }, rows);
    if (text) item.append(element("q", { className: "said", dir: "auto" }, text.replace(/\s+/g, " ").trim()));
    return item;
  }

  button(fact) {
    const said = fact.evidence?.length ?? 0;
    const button = element(
      "button",
      { type: "button", className: "fact", "aria-pressed": "false" },
      element("span", { className: "score" }, fact.score == null ? "" : fact.score.toFixed(2)),
      nameOf(fact.head, "head"),
      element("span", { className: "type" }, fact.type),
      nameOf(fact.tail, "tail"),
    );
    if (said > 1) button.append(element("small", {}, `said in ${counted(said, "place")}, choose again for the next`));
    this.facts.set(button, fact);
    return button;
  }

  choose(event, clicked) {
    const button = event.target.closest("button.fact");
    if (!button) return;
    const fact = this.facts.get(button);
    const again = clicked && this.chosen?.button === button && this.chosen.clicked;
    const which = again ? (this.chosen.which + 1) % Math.max(1, fact.evidence?.length ?? 0) : 0;
    this.clear();
    button.setAttribute("aria-pressed", "true");
    this.chosen = { button, which, clicked };
    this.onChoose(fact, which, clicked);
  }

  clear() {
    this.chosen?.button.setAttribute("aria-pressed", "false");
    this.chosen = null;
  }
}

function nameOf(thing, className) {
  const name = element("span", { className }, element("bdi", {}, thing.name));
  if (normOf(thing)) name.append(" ", element("span", { className: "norm" }, normOf(thing)));
  return name;
}
