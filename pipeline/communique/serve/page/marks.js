/** The marked text: its marks, which of them are shown, and where the chosen fact or thing stands in it. */

import { element, motion } from "./dom.js";
import { draw } from "./draw.js";
import { sentenceOf, stretch } from "./release.js";

const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const SHOWN = "mark:not(.off, .again)";

export class MarkedText {
  /** `root`: the element that holds the text; `onChoose`: called with the mention whose mark was chosen. */
  constructor(root, onChoose) {
    this.root = root;
    this.onChoose = onChoose;
    this.pointed = [];
    root.addEventListener("click", (event) => this.choose(event.target));
    root.addEventListener("keydown", (event) => this.onKey(event));
    root.addEventListener("focusin", (event) => this.stop(event.target));
  }

  /** Draw a release's text. `text`: its CodePointText; `labels`: a Labels. */
  draw(release, text, labels) {
    this.mentions = new Map(); // mark -> mention
    this.pieces = new Map(); // key of a mention or sentence -> its elements
    this.labelsAt = new Map(); // key of a stretch -> labels of its mentions
    this.pointed = [];
    const spans = [
      ...sentencesOf(release).map(([start, end]) => this.sentence(text, start, end)),
      ...(release.entities ?? []).map((mention) => this.mark(text, mention, labels)),
    ];
    spans.sort((a, b) => a.start - b.start || b.end - a.end || a.rank - b.rank);
    this.root.replaceChildren(draw(text.text, spans));
    this.current = null;
    this.stop(this.root.querySelector(SHOWN));
  }

  sentence(text, start, end) {
    const [from, to] = [text.units(start), text.units(end)];
    const inner = text.text.slice(from, to); // its blanks may hold the end of a line, at which a block can end
    const [first, last] = [to - inner.trimStart().length, from + inner.trimEnd().length];
    const pieces = this.piecesOf(stretch([start, end]));
    const made = () => pieces[pieces.push(element("span", { className: "sentence" })) - 1];
    return { start: first, end: last, rank: 0, element: made };
  }

  mark(text, mention, labels) {
    const { label, start_offset: start, end_offset: end } = mention;
    const pieces = this.piecesOf(markKey(mention));
    const at = stretch([start, end]);
    this.labelsAt.set(at, [...(this.labelsAt.get(at) ?? []), label]);
    const className = labels.classOf(label);
    const made = (again) => {
      const mark = element("mark", { className, tabIndex: -1, title: titleOf(mention), "data-label": label });
      if (again) mark.classList.add("again");
      pieces.at(-1)?.classList.add("cut");
      pieces.push(mark);
      this.mentions.set(mark, mention);
      return mark;
    };
    return { start: text.units(start), end: text.units(end), rank: labels.spans.has(label) ? 1 : 2, element: made };
  }

  piecesOf(key) {
    if (!this.pieces.has(key)) this.pieces.set(key, []);
    return this.pieces.get(key);
  }

  /** Show the marks of the mentions for which `wanted` is true, and no others. */
  show(wanted) {
    for (const [mark, mention] of this.mentions) {
      const off = !wanted(mention);
      if (off === mark.classList.contains("off")) continue;
      mark.classList.toggle("off", off);
      mark.title = off ? "" : titleOf(mention);
      if (off) mark.setAttribute("role", "none");
      else mark.removeAttribute("role");
    }
    if (!this.current?.matches(SHOWN)) this.stop(this.root.querySelector(SHOWN));
  }

  /** Point at a fact: its sentences, and in each the mentions that are its head and tail. */
  pointAtFact(fact) {
    this.pointAtNothing();
    for (const evidence of fact.evidence ?? []) {
      const sentence = sentenceOf(evidence);
      if (sentence) this.point(stretch(sentence), "chosen");
      for (const end of ["head", "tail"]) if (evidence[end]) this.pointAtStretch(evidence[end], fact[end].label, end);
    }
  }

  /** A fact's end is named after its thing, whose label the mention need not have. */
  pointAtStretch(at, label, className) {
    const labels = this.labelsAt.get(stretch(at)) ?? [];
    for (const found of labels.includes(label) ? [label] : labels) this.point(`${stretch(at)} ${found}`, className);
  }

  pointAtMentions(mentions) {
    this.pointAtNothing();
    for (const mention of mentions) this.point(markKey(mention), "same");
  }

  pointAtNothing() {
    for (const made of this.pointed) made.classList.remove("chosen", "head", "tail", "same");
    this.pointed = [];
  }

  point(key, className) {
    for (const made of this.pieces.get(key) ?? []) {
      made.classList.add(className);
      this.pointed.push(made);
    }
  }

  scrollToFact(fact, which = 0) {
    const evidence = fact.evidence?.[which] ?? {};
    const sentence = sentenceOf(evidence);
    this.scrollTo((sentence && this.pieces.get(stretch(sentence))?.[0]) ?? this.root.querySelector("mark.head"));
  }

  scrollToMention(mention) {
    this.scrollTo(this.pieces.get(markKey(mention))?.[0]);
  }

  scrollTo(made) {
    made?.scrollIntoView({ block: "nearest", behavior: motion() });
  }

  focus() {
    this.current?.focus();
  }

  choose(target) {
    const mark = target.closest(SHOWN.replace(", .again", ""));
    if (mark && getSelection().isCollapsed) this.onChoose(this.mentions.get(mark));
  }

  onKey(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.tagName !== "MARK") return;
    if (event.key === "Enter" || event.key === " ") this.onChoose(this.mentions.get(event.target));
    else if (event.key in STEPS) this.step(STEPS[event.key]);
    else return;
    event.preventDefault();
  }

  step(by) {
    const marks = [...this.root.querySelectorAll(SHOWN)];
    const next = Math.min(Math.max(marks.indexOf(this.current) + by, 0), marks.length - 1);
    marks[next]?.focus();
  }

  /** Of all marks, the Tab key stops at one: the last that had the focus. */
  stop(mark) {
    if (this.current) this.current.tabIndex = -1;
    this.current = mark;
    if (mark) mark.tabIndex = 0;
  }
}

function markKey({ start_offset: start, end_offset: end, label }) {
  return `${stretch([start, end])} ${label}`;
}

function titleOf({ label, score, norm }) {
  return [label, score == null ? "" : `confidence ${score.toFixed(2)}`, norm ?? ""].filter(Boolean).join(", ");
}

function sentencesOf(release) {
  const all = (release.facts ?? []).flatMap((fact) => (fact.evidence ?? []).map(sentenceOf));
  return [...new Map(all.filter(Boolean).map((at) => [stretch(at), at])).values()];
}
