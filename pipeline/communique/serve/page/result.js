/** What was found in a release: the marked text, its facts and things, and what is chosen of them. */

import { byId, counted, motion } from "./dom.js";
import { FactList } from "./facts.js";
import { Labels } from "./labels.js";
import { Legend } from "./legend.js";
import { MarkedText } from "./marks.js";
import { CodePointText } from "./offsets.js";
import { confident, factsAbout, loneThing, normOf, thingsOf } from "./release.js";
import { copy, download } from "./take.js";
import { ThingList } from "./things.js";

export class Result {
  constructor() {
    this.marked = new MarkedText(byId("words"), (mention) => this.chooseMention(mention));
    this.factList = new FactList(byId("fact-list"), (fact, which, clicked) => this.chooseFact(fact, which, clicked));
    this.thingList = new ThingList(byId("thing-list"), (thing) => this.chooseThing(thing));
    this.legend = new Legend(byId("legend"), () => this.showMarks());
    this.thing = null;
    byId("least").addEventListener("input", () => this.onLeast());
    byId("all").addEventListener("click", () => this.chooseNothing());
    byId("download").addEventListener("click", () => download(this.shown, byId("result-title").textContent));
    byId("copy").addEventListener("click", async () => (byId("told").textContent = await copy(this.shown)));
  }

  /** Show a release. `scheme`: the label scheme, or null where it is not known. */
  show(release, scheme) {
    this.release = release;
    this.text = new CodePointText(release.text);
    this.labels = new Labels(scheme, {
      labels: (release.entities ?? []).map(({ label }) => label),
      types: (release.facts ?? []).map(({ type }) => type),
    });
    this.least = Number(byId("least").value);
    byId("told").textContent = "";
    byId("result-title").textContent = release.title || release.text.trimStart().split("\n", 1)[0];
    byId("result").hidden = false;
    this.marked.draw(release, this.text, this.labels);
    this.legend.show(countLabels(release), this.labels);
    byId("marked").scrollTop = 0;
    this.refresh();
    byId("result").scrollIntoView({ block: "start", behavior: motion() });
  }

  onLeast() {
    byId("least-value").textContent = Number(byId("least").value).toFixed(2);
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => {
      this.least = Number(byId("least").value);
      if (this.release) this.refresh();
    });
  }

  /** Show what is certain enough, whatever was chosen before. */
  refresh() {
    this.shown = confident(this.release, this.least);
    this.things = thingsOf(this.shown, this.text);
    this.legend.count(countLabels(this.shown));
    this.thingList.show(this.things, this.labels);
    this.title("things", this.things.length, "thing");
    this.showMarks();
    this.clear();
    this.summarise();
  }

  showMarks() {
    const certain = ({ score }) => score == null || score >= this.least;
    this.marked.show((mention) => certain(mention) && this.legend.wants(mention.label));
  }

  showFacts(facts) {
    this.factList.show(facts, this.labels.types);
    this.title("facts", facts.length, "fact");
  }

  title(id, number, what) {
    byId(`${id}-title`).textContent = number ? counted(number, what) : `No ${what}s`;
  }

  summarise() {
    const [mentions, facts] = [this.shown.entities?.length ?? 0, this.shown.facts?.length ?? 0];
    const uncertain = `Nothing is as certain as ${this.least.toFixed(2)}.`;
    const nothing = this.least > 0 ? uncertain : "Nothing was found in this text.";
    const found = `${counted(mentions, "mark")}, ${counted(facts, "fact")}, ${counted(this.things.length, "thing")}.`;
    this.summary = mentions + facts ? found : nothing;
    byId("summary").textContent = this.summary;
    byId("marked-hint").hidden = !(mentions + facts);
  }

  chooseFact(fact, which, clicked) {
    this.marked.pointAtFact(fact);
    if (clicked || getComputedStyle(byId("marked")).position === "sticky") this.marked.scrollToFact(fact, which);
  }

  chooseMention(mention) {
    const own = mention.cluster == null ? null : this.things.find(({ cluster }) => cluster === mention.cluster);
    this.tellOf(own ?? loneThing(mention, this.text));
    this.cameFrom = () => this.marked.focus();
  }

  chooseThing(thing) {
    const back = document.activeElement;
    this.tellOf(thing);
    this.marked.scrollToMention(thing.mentions[0]);
    this.cameFrom = () => back.focus();
  }

  /** Show the facts of a thing only, and its mentions in the text. */
  tellOf(thing) {
    this.thing = thing;
    this.showFacts(factsAbout(this.shown.facts ?? [], thing));
    this.marked.pointAtMentions(thing.mentions);
    const parts = [thing.name, normOf(thing), thing.label, counted(thing.mentions.length, "mention")];
    byId("about-thing").textContent = parts.filter(Boolean).join(" · ");
    byId("about").hidden = false;
    byId("facts-title").focus({ preventScroll: true });
    byId("facts-title").scrollIntoView({ block: "nearest", behavior: motion() });
  }

  clear() {
    this.thing = null;
    this.marked.pointAtNothing();
    this.showFacts(this.shown.facts ?? []);
    byId("about").hidden = true;
  }

  /** Back from what was chosen to where it was chosen. */
  chooseNothing() {
    if (this.thing) {
      this.clear();
      this.cameFrom();
    } else {
      this.factList.clear();
      this.marked.pointAtNothing();
    }
  }
}

function countLabels({ entities = [] }) {
  const counts = new Map();
  for (const { label } of entities) counts.set(label, (counts.get(label) ?? 0) + 1);
  return counts;
}
