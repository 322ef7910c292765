"""The project that releases go to: found or created, with settings that lose nothing, with all labels of the scheme."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import List, Optional

from ..schema import Schema
from .colours import LabelType
from .options import ProjectOptions
from .server import DoccanoError, Project, ProjectSettings, Server

LONGEST_NAME = 100  # Doccano's own limit
# What goes wrong in a project with the other setting.
HARM = {
    "project_type": "only projects for sequence labelling hold spans",
    "allow_overlapping": "the server drops spans that overlap without a word: pledges enclose entities",
    "use_relation": "the server drops relations",
    "grapheme_mode": "the page counts what is seen as one character as one, and offsets no longer fit",
}


def find_project(server: Server, name: str) -> Optional[Project]:
    """The project of this name, or None. Raises DoccanoError for several, and for one that would lose something."""
    found = server.find_projects(name)
    if len(found) > 1:
        numbers = ", ".join(str(project.id) for project in found)
        raise DoccanoError("project", f"{server.url} has several projects {name!r} ({numbers}): rename all but one")
    for project in found:
        check_project(server, project)
    return found[0] if found else None


def check_project(server: Server, project: Project) -> None:
    """Raises DoccanoError that names each setting with which the project would lose something."""
    has, wanted = asdict(project.settings), asdict(ProjectSettings())
    wrong = [f"{key} is {has[key]!r}: {harm}" for key, harm in HARM.items() if has[key] != wanted[key]]
    if wrong:
        listed = "; ".join(wrong)
        raise DoccanoError(
            "project", f"the project {project.name!r} of {server.url} can't be used: {listed}. Name another project"
        )


def open_project(server: Server, name: str, options: ProjectOptions, together: Optional[bool]) -> Project:
    """The project of this name, created where there is none.

    together: whether all annotate the same annotations, or each one's own; None for whatever an existing project has.
    Raises DoccanoError.
    """
    if not name.strip() or name != name.strip() or len(name) > LONGEST_NAME:
        message = f"--project {name!r}: write 1 to {LONGEST_NAME} characters, no blank first or last"
        raise DoccanoError("project", message)
    project = find_project(server, name)
    if project is None:
        settings = ProjectSettings(collaborative_annotation=together is not False)
        return server.create_project(name, options.description, _guideline(options), settings)
    if together is not None and project.settings.collaborative_annotation != together:
        how = "together" if project.settings.collaborative_annotation else "each alone"
        raise DoccanoError("project", f"in the project {name!r} people annotate {how}: name another project")
    return project


def _guideline(options: ProjectOptions) -> str:
    if options.guideline is None:
        return ""
    try:
        return Path(options.guideline).read_text("utf8")
    except (OSError, UnicodeDecodeError) as err:
        raise DoccanoError("project", f"[project] guideline: {options.guideline} can't be read: {err}") from err


def add_label_types(server: Server, project: Project, wanted: List[LabelType]) -> List[LabelType]:
    """Create the labels and relation types that the project lacks, and return them; those it has stay as they are."""
    there = server.label_types(project)
    names = {(found.kind, found.text) for found in there}
    keys = {found.suffix_key for found in there if found.kind == "span"}
    added = []
    for label in (label for label in wanted if (label.kind, label.text) not in names):
        if label.suffix_key in keys:  # somebody has given it to another label
            label = replace(label, suffix_key=None)
        server.create_label_type(project, label)
        added.append(label)
    return added


def check_label_types(server: Server, project: Project, schema: Schema) -> None:
    """Raises DoccanoError where the project lacks a label of the scheme: with it went all that had it."""
    there = {(found.kind, found.text) for found in server.label_types(project)}
    wanted = [*(("span", name) for name in schema.labels), *(("relation", name) for name in schema.relation_names)]
    lost = ", ".join(name for kind, name in wanted if (kind, name) not in there)
    if lost:
        message = (
            f"the project {project.name!r} has no {lost}: whoever deletes a label deletes all that has it, and what "
            "would be pulled lacks it. `doccano push` brings labels back, and with --force releases as they are here"
        )
        raise DoccanoError("project", message)
