/** Nested and crossing spans of a text as nested elements. */

import { element } from "./dom.js";

// Units of a block: it ends at a newline, or at a space where a line is so long that laying it out would take seconds.
const LEAST = 2000;
const MOST = 20000;
const SEARCHED = 1000;

/**
 * A fragment whose text is exactly `text`. `spans`: {start, end, element(again)}, in UTF-16 units, by start, those that
 * enclose others first. A span that is cut by the end of another goes on as a second element, made with `again` true.
 * The text is put into blocks that end outside of all spans: the browser leaves out those that are out of sight.
 */
export function draw(text, spans) {
  const drawing = new Drawing(text);
  for (const span of spans.filter(({ start, end }) => start < end && end <= text.length)) {
    drawing.closeUntil(span.start);
    drawing.write(span.start);
    drawing.open(span, false);
  }
  drawing.closeUntil(text.length);
  drawing.write(text.length);
  return drawing.fragment;
}

class Drawing {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.fragment = document.createDocumentFragment();
    this.opened = [];
    this.newBlock();
  }

  newBlock() {
    this.block = element("div", { className: "block" });
    this.fragment.append(this.block);
    this.blockStart = this.at;
    this.blockEnd = this.findEnd();
  }

  /** Where the block may end at or behind the present place. */
  findEnd() {
    const { text, at, blockStart } = this;
    const long = Math.max(at, blockStart + MOST);
    const line = find(text, /\n/, Math.max(at, blockStart + LEAST), long);
    if (line) return line;
    const end = find(text, /\s/, long, long + SEARCHED) || Math.min(long + SEARCHED, text.length);
    return isLowSurrogate(text.charCodeAt(end)) ? end + 1 : end;
  }

  open(span, again) {
    const made = span.element(again);
    (this.opened.at(-1)?.made ?? this.block).append(made);
    this.opened.push({ span, made });
  }

  write(end) {
    if (this.opened.length) {
      if (end > this.at) this.opened.at(-1).made.append(this.text.slice(this.at, end));
      this.at = end;
      return;
    }
    if (this.at > this.blockEnd) this.blockEnd = this.findEnd();
    while (this.at < end) {
      if (this.at === this.blockEnd) this.newBlock();
      const stop = Math.min(end, this.blockEnd);
      this.block.append(this.text.slice(this.at, stop));
      this.at = stop;
    }
  }

  closeUntil(offset) {
    while (this.opened.length) {
      const first = Math.min(...this.opened.map(({ span }) => span.end));
      if (first > offset) return;
      this.write(first);
      const cut = this.opened.findIndex(({ span }) => span.end === first);
      for (const { span } of this.opened.splice(cut)) if (span.end > first) this.open(span, true);
    }
  }
}

/** The offset behind the first match between two offsets, or 0. */
function find(text, pattern, from, to) {
  const found = from < to ? text.slice(from, to).search(pattern) : -1;
  return found < 0 ? 0 : from + found + 1;
}

function isLowSurrogate(unit) {
  return unit >= 0xdc00 && unit < 0xe000;
}
