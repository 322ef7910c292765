/** A list that shows its first items, and more of them when asked: a long release has thousands. */

import { element } from "./dom.js";

const PAGE = 100;

/** Fill `list` with `make(item)` of each item, a page at a time. `what` names the items on the button. */
export function fill(list, items, make, what) {
  list.parentElement.querySelector(":scope > .more")?.remove();
  list.replaceChildren();
  const more = element("button", { type: "button", className: "more" });
  const add = () => {
    const from = list.children.length;
    list.append(...items.slice(from, from + PAGE).map(make));
    const left = items.length - list.children.length;
    more.textContent = `Show ${Math.min(PAGE, left)} more of ${items.length.toLocaleString("en")} ${what}`;
    if (left <= 0) more.remove();
    return list.children[from];
  };
  more.addEventListener("click", () => add().querySelector("button").focus());
  if (items.length > PAGE) list.after(more);
  add();
}
