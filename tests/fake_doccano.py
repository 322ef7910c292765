"""A Doccano in memory that keeps and loses what the real one does, and people who work in it."""

from __future__ import annotations

import copy
import json
from itertools import count

from communique.doccano.offsets import Utf16
from communique.doccano.server import TOGETHER, Confirmation, DoccanoError, Example, Project, ProjectSettings

ME = "admin"


class FakeDoccano:
    """See ``communique.doccano.server.Server``. ``cut``: how the next import ends early: after "examples" or "spans",
    or "twice" for one that the server runs again. ``away``: how many calls go well before it can't be reached."""

    url = "http://fake"

    def __init__(self):
        self.projects, self.labels, self.held, self.states = [], {}, {}, {}
        self.numbers = count(1)
        self.cut = None
        self.away = None
        self.uploads = 0

    def _call(self):
        if self.away is not None:
            if self.away == 0:
                raise DoccanoError("away", "Doccano can't be reached")
            self.away -= 1

    # --- what push and pull ask

    def find_projects(self, name):
        self._call()
        return [p for p in self.projects if p.name == name]

    def create_project(self, name, description, guideline, settings):
        self._call()
        project = Project(next(self.numbers), name, settings)
        self.projects.append(project)
        self.labels[project.id], self.held[project.id] = [], {}
        return project

    def label_types(self, project):
        return list(self.labels[project.id])

    def create_label_type(self, project, label_type):
        self.labels[project.id].append(label_type)

    def snapshot(self, project):
        self._call()
        return [copy.deepcopy(self.held[project.id][n]) for n in sorted(self.held[project.id])]

    def upload(self, project, rows):
        self._call()
        self.uploads += 1
        lines = [json.loads(json.dumps(row)) for row in rows]
        cut, self.cut = self.cut, None
        for _ in range(2 if cut == "twice" else 1):
            self._import(project, copy.deepcopy(lines), cut)
        if cut in ("examples", "spans", "relations"):
            raise DoccanoError("away", "Doccano can't be reached: connection reset")
        return []

    def delete(self, project, ids):
        self._call()
        for number in ids:
            del self.held[project.id][number]

    def set_meta(self, project, example, key, value):
        self._call()
        self.held[project.id][example].meta[key] = json.loads(json.dumps(value))

    def confirmations(self, project, examples):
        if not project.settings.collaborative_annotation:
            return [Confirmation(e.id, who, None) for e in examples for who in sorted(e.confirmed)]
        return [Confirmation(e.id, *self.states[e.id]) for e in examples]

    def _import(self, project, rows, cut):
        who = TOGETHER if project.settings.collaborative_annotation else ME
        made = []
        for row in rows:
            text = row.pop("text")
            entities, relations = row.pop("entities"), row.pop("relations")
            example = Example(next(self.numbers), text, row)
            self.held[project.id][example.id] = example
            made.append((example, entities, relations))
        for example, entities, _ in made if cut != "examples" else ():
            kept = [e for e in entities if isinstance(e["id"], int) and 0 <= e["start_offset"] < e["end_offset"]]
            if not project.settings.allow_overlapping:
                kept = [e for i, e in enumerate(kept) if not any(e["start_offset"] < o["end_offset"] for o in kept[:i])]
            example.annotations[who] = {"entities": [{**e, "id": next(self.numbers)} for e in kept], "relations": []}
            example.sent = {old["id"]: new["id"] for old, new in zip(kept, example.annotations[who]["entities"])}
        for example, _, relations in made if cut not in ("examples", "spans") else ():
            for r in relations[:1] if cut == "relations" else relations:
                ends = {key: example.sent[r[key]] for key in ("from_id", "to_id")}
                example.annotations[who]["relations"].append({"id": next(self.numbers), "type": r["type"], **ends})

    # --- what people do

    def example(self, name, project=0):
        (found,) = [e for e in self.held[self.projects[project].id].values() if e.meta["communique"]["id"] == name]
        return found

    def label(self, name, words, label, who=TOGETHER):
        """Select the first place of these words on the page, which counts in UTF-16 units, and label it."""
        example = self.example(name)
        start = example.text.index(words)
        place = Utf16(example.text)
        new = {"id": next(self.numbers), "label": label, "start_offset": place.units(start)}
        data = example.annotations.setdefault(who, {"entities": [], "relations": []})
        data["entities"].append({**new, "end_offset": place.units(start + len(words))})
        return new["id"]

    def unlabel(self, name, number=0, who=TOGETHER):
        data = self.example(name).annotations[who]
        gone = data["entities"].pop(number)["id"]
        data["relations"] = [r for r in data["relations"] if gone not in (r["from_id"], r["to_id"])]

    def relate(self, name, head, type_, tail, who=TOGETHER):
        new = {"id": next(self.numbers), "from_id": head, "to_id": tail, "type": type_}
        self.example(name).annotations[who]["relations"].append(new)

    def confirm(self, name, who=TOGETHER):
        example = self.example(name)
        example.confirmed = example.confirmed ^ {who}
        self.states[example.id] = ("ann" if who == TOGETHER else who, "2026-11-25T10:00:00Z")


def together(**changes):
    return ProjectSettings(**changes)
