/** The label scheme as the page needs it: an order and a colour for each label, and which labels may enclose others. */

const COLOURS = 12; // as many as page.css has

export class Labels {
  /** `scheme`: the answer of /labels, or null where it is not known; `seen`: labels and types of a release. */
  constructor(scheme, seen = { labels: [], types: [] }) {
    this.spans = new Set(scheme?.spans?.labels ?? []);
    this.names = [...new Set([...(scheme?.entities ?? []), ...this.spans, ...seen.labels])];
    this.types = [...new Set([...(scheme?.relations ?? []).map(({ type }) => type), ...seen.types])];
    this.place = new Map(this.names.map((name, i) => [name, i]));
  }

  /** The class of a label's marks. A colour may come again where there are many labels; the label is always written. */
  classOf(label) {
    return `colour-${(this.place.get(label) ?? 0) % COLOURS}${this.spans.has(label) ? " wide" : ""}`;
  }
}
