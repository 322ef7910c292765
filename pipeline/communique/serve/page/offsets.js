/** Offsets of the exchange format are in code points, those of JavaScript's strings in UTF-16 units. */

const BEYOND = /[\u{10000}-\u{10ffff}]/gu;

/** How many code points a string has; half a surrogate pair counts as one. */
export function codePoints(text) {
  let pairs = 0;
  for (const _ of text.matchAll(BEYOND)) pairs += 1;
  return text.length - pairs;
}

/** A text whose parts are asked for by code points. */
export class CodePointText {
  constructor(text) {
    this.text = text;
    this.beyond = []; // where the characters of two units stand, in code points
    for (const found of text.matchAll(BEYOND)) this.beyond.push(found.index - this.beyond.length);
  }

  /** The UTF-16 offset of an offset in code points. */
  units(offset) {
    let [low, high] = [0, this.beyond.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.beyond[middle] < offset) low = middle + 1;
      else high = middle;
    }
    return offset + low;
  }

  slice(start, end) {
    return this.text.slice(this.units(start), this.units(end));
  }
}
