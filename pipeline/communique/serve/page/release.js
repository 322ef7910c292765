/** What is in an annotated release (docs/formats.md): pure functions, no page. */

/** The release without what is less certain than `least`, as `annotate --min-confidence` leaves it out. */
export function confident(release, least) {
  if (least <= 0) return release;
  const certain = (item) => item.score == null || item.score >= least;
  const entities = (release.entities ?? []).filter(certain);
  const number = new Map(entities.map((mention, i) => [mention.id, i]));
  const relations = (release.relations ?? []).filter((r) => certain(r) && number.has(r.from_id) && number.has(r.to_id));
  const left = {
    ...release,
    entities: entities.map((mention, id) => ({ ...mention, id })),
    relations: relations.map((r, id) => ({ ...r, id, from_id: number.get(r.from_id), to_id: number.get(r.to_id) })),
  };
  if (release.facts) left.facts = release.facts.filter(certain);
  return left;
}

/** A key for a stretch of the text. */
export function stretch([start, end]) {
  return `${start}:${end}`;
}

/** [start, end] of the sentence of an evidence, or null if it names none. */
export function sentenceOf(evidence) {
  return evidence?.start == null || evidence.end == null ? null : [evidence.start, evidence.end];
}

/** Facts by the sentence that says them first, in text order, those of one sentence by type in the given order. */
export function bySentence(facts, types) {
  const rank = new Map(types.map((type, i) => [type, i]));
  const start = (fact) => sentenceOf(fact.evidence?.[0])?.[0] ?? 0;
  const place = (fact) => rank.get(fact.type) ?? types.length;
  const groups = new Map();
  for (const fact of [...facts].sort((a, b) => start(a) - start(b) || place(a) - place(b))) {
    const sentence = sentenceOf(fact.evidence?.[0]);
    const key = sentence ? stretch(sentence) : "";
    if (!groups.has(key)) groups.set(key, { text: fact.evidence?.[0]?.text ?? "", facts: [] });
    groups.get(key).facts.push(fact);
  }
  return [...groups.values()];
}

/**
 * Things: {cluster, name, label, norm, mentions}, the most mentioned first. A thing is called what the facts call it;
 * one of which no fact tells, by its longest mention that begins with a capital.
 */
export function thingsOf(release, text) {
  const known = new Map();
  for (const fact of release.facts ?? []) {
    for (const end of [fact.head, fact.tail]) if (end.cluster != null) known.set(end.cluster, end);
  }
  const things = new Map();
  for (const mention of release.entities ?? []) {
    if (mention.cluster == null) continue;
    if (!things.has(mention.cluster)) things.set(mention.cluster, { cluster: mention.cluster, mentions: [] });
    things.get(mention.cluster).mentions.push(mention);
  }
  for (const thing of things.values()) {
    const { name, label, norm } = known.get(thing.cluster) ?? named(thing.mentions, text);
    Object.assign(thing, { name, label, norm });
  }
  return [...things.values()].sort((a, b) => b.mentions.length - a.mentions.length);
}

function named(mentions, text) {
  const telling = ({ name }) => (/^\p{Lu}/u.test(name) ? 1e6 : 0) + name.length;
  const calls = mentions.map((m) => ({ name: text.slice(m.start_offset, m.end_offset), label: m.label }));
  const best = calls.reduce((a, b) => (telling(b) > telling(a) ? b : a));
  return { ...best, norm: mentions.find((m) => m.norm != null)?.norm };
}

/** What a mention without a cluster is the only mention of. */
export function loneThing(mention, text) {
  const name = text.slice(mention.start_offset, mention.end_offset);
  return { cluster: null, name, label: mention.label, norm: mention.norm, mentions: [mention] };
}

/** The facts that tell of a thing. */
export function factsAbout(facts, thing) {
  const ends = (fact) => (fact.evidence ?? []).flatMap(({ head, tail }) => [[head, fact.head], [tail, fact.tail]]);
  const { cluster, mentions } = thing;
  if (cluster != null) return facts.filter((fact) => fact.head.cluster === cluster || fact.tail.cluster === cluster);
  const own = mentions.map((m) => `${stretch([m.start_offset, m.end_offset])} ${m.label}`);
  return facts.filter((fact) => ends(fact).some(([at, end]) => at && own.includes(`${stretch(at)} ${end.label}`)));
}

/** A name with its normal form, where that says more. */
export function normOf({ name, norm }) {
  return norm && norm !== name ? `[${norm}]` : "";
}
