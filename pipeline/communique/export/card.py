"""The page that a wheel carries as its description."""

from __future__ import annotations

from typing import Any, Iterator, Mapping

from spacy.cli.package import generate_readme

USE = """\
### Use

```python
import spacy

nlp = spacy.load("{package}")
doc = nlp(text)
for ent in doc.ents:
    print(ent.text, ent.label_, ent._.confidence)
```
"""
FACTS = """\
`doc._.relations`, `doc._.clusters` and `doc._.facts` hold what else was found. A fact is a dict with type, head, tail,
score and evidence.
"""
INSIDE = """\
The code that runs the pipeline is under `{package}/runtime`, taken from communique {version}. It reads texts; to
train a pipeline takes communique itself.
"""
SCORED = "Scores of the training, in percent, on the corpus that the best model was chosen by"


def description_of(meta: Mapping[str, Any], code_version: str, code_license: str, *, has_facts: bool) -> str:
    """Markdown: what the pipeline is, its labels and scores, how it is used, and under which licences it is."""
    package = f"{meta['lang']}_{meta['name']}"
    shown = {key: value for key, value in meta.items() if value not in ("", None)}
    scores = {k: v for k, v in meta.get("performance", {}).items() if v is not None and not k.endswith("_loss")}
    page = generate_readme({**shown, "performance": scores}).strip()
    parts = [f"# {package}", page.replace("### Accuracy\n", f"### Accuracy\n\n{_scored(meta)}\n")]
    parts.append(USE.format(package=package))
    if has_facts:
        parts.append(FACTS)
    parts.append(INSIDE.format(package=package, version=code_version))
    parts += ["### Licences", "\n".join(_licences(meta, code_license))]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _scored(meta: Mapping[str, Any]) -> str:
    encoder = meta.get("encoder")
    if encoder is None:
        return f"{SCORED}."
    return f"{SCORED}, before its encoder went into {encoder['runtime'].upper()} ({encoder['precision']})."


def _licences(meta: Mapping[str, Any], code_license: str) -> Iterator[str]:
    yield f"* The code: {code_license}."
    yield f"* The pipeline: {meta.get('license') or 'not said'}."
    for source in meta.get("sources") or []:
        known = source if isinstance(source, dict) else {"name": source}
        yield f"* What it was made from, {known.get('name')}: {known.get('license') or 'not said'}."
