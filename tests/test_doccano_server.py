"""The annotation loop against a real Doccano: people work in it, and things go wrong."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from communique.cli import app
from communique.corpus.exchange import read_gold, write_jsonl
from communique.doccano.credentials import Credentials
from communique.doccano.options import load_options
from communique.doccano.project import find_project, open_project
from communique.doccano.push import push
from communique.doccano.remote import connect
from communique.doccano.rows import PROVENANCE, plain
from communique.doccano.server import DoccanoError
from communique.release import Mention, Relation, Release

pytestmark = pytest.mark.usefixtures("doccano")

ODD = "👩‍👩‍👧 Korea 😀 e\u0301 “Chile”\r\nMinister  Zoë O’Neill met\u2028Norway 🇰🇷 in Oslo.\n "


def run(*args):
    return CliRunner().invoke(app, ["doccano", *map(str, args)])


def done(*args, code=0):
    result = run(*args)
    assert result.exit_code == code, result.output
    return result.output


def summary(*args, code=0):
    found = json.loads(done(*args, "--json", code=code).splitlines()[-1])
    return {key: n for key, n in found.items() if isinstance(n, int) and n and key != "number"}


def gold(count, text=ODD):
    """Releases with a relation in each."""
    spans = [
        ("Korea", "COUNTRY", "kr"),
        ("O’Neill", "PERSON", "p.1"),
        ("Norway", "COUNTRY", "n"),
        ("Oslo", "PLACE", "o"),
    ]
    mentions = [
        Mention(i, label, text.index(words), text.index(words) + len(words), cluster)
        for i, (words, label, cluster) in enumerate(spans)
    ]
    relations = [Relation(0, "MET_WITH", 0, 2), Relation(1, "REPRESENTS", 1, 0)]
    release = Release(
        "r", text, text.split("\n")[0], "2026-03-02", None, mentions, relations, None, {"share": 0.1 + 0.2}
    )
    return [replace(release, id=f"r{i}") for i in range(count)]


@pytest.fixture
def sent(doccano, tmp_path, request):
    """Three releases in a project of the test's own: the project's name, the file, and the project for a person."""
    name = request.node.name[:90]
    path = tmp_path / "gold.jsonl"
    write_jsonl(path, gold(3))
    assert summary("push", path, "--gold", "-p", name) == {"new": 3}
    return name, path, doccano.person().project(name)


def test_the_corpus_goes_there_and_comes_back_as_it_is(doccano, root, tmp_path):
    dev = root / "corpus" / "dev"
    count = len(list(dev.glob("*.txt")))
    assert summary("push", dev, "--gold", "-p", "dev") == {"new": count}
    assert summary("push", dev, "--gold", "-p", "dev") == {"unchanged": count}
    assert summary("pull", tmp_path / "dev", "-p", "dev", "--all") == {"new": count, "waiting": count}
    sides = [{r.id: plain(r) for r in read_gold([path])} for path in (dev, tmp_path / "dev")]
    assert sides[0] == sides[1]
    assert CliRunner().invoke(app, ["corpus", "check", str(tmp_path / "dev")]).exit_code == 0
    types = doccano.person().project("dev").types("span")
    assert list(types) and set(types) >= {"PERSON", "PLEDGE"}


def test_what_a_person_corrects_is_learned(doccano, sent, tmp_path, root):
    name, _, project = sent
    chile = project.label("r0", "Chile", "COUNTRY")
    spans = {s["start_offset"]: s["id"] for s in project.spans("r0")}
    project.relate("r0", spans[min(spans)], "MET_WITH", chile)
    project.unlabel("r0", spans[max(spans)])
    for release in ("r0", "r1"):
        project.confirm(release)
    before = time.time()
    assert summary("pull", tmp_path / "out", "-p", name) == {"new": 2, "waiting": 1, "unidentified": 1}
    pulled = {r.id: r for r in read_gold([tmp_path / "out"])}
    found = [(pulled["r0"].span_text(m), m.label, m.cluster) for m in pulled["r0"].mentions]
    assert found == [
        ("Korea", "COUNTRY", "kr"),
        ("Chile", "COUNTRY", None),
        ("O’Neill", "PERSON", "p.1"),
        ("Norway", "COUNTRY", "n"),
    ]
    assert {(r.type, r.head, r.tail) for r in pulled["r0"].relations} == {
        ("MET_WITH", 0, 1),
        ("MET_WITH", 0, 3),
        ("REPRESENTS", 2, 0),
    }
    assert plain(pulled["r1"]) == plain(gold(2)[1])
    (who,) = pulled["r0"].meta[PROVENANCE]["confirmed"]
    assert who["by"] == "admin" and who["at"][:4] >= time.strftime("%Y", time.gmtime(before - 86400))[:4]
    assert summary("push", tmp_path / "out", "--gold", "-p", name) == {"unchanged": 2}
    learns(root, [*pulled.values(), *gold(1)])


def learns(root, releases):
    """Whether a pipeline that is trained on pulled gold for a moment gets better at it."""
    import spacy
    from spacy.training import Example

    from communique.bridge import to_doc
    from communique.schema import Schema

    schema = Schema.from_disk(root / "configs" / "schema.cfg")
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("communique_spans", name="entities")
    examples = [Example(nlp.make_doc(r.text), to_doc(r, nlp.make_doc, schema)) for r in releases]
    optimizer = nlp.initialize(lambda: examples)
    losses = [nlp.update(examples, sgd=optimizer)["entities"] for _ in range(8)]
    assert losses[-1] < losses[0]


def test_pre_annotated_by_the_model(doccano, tmp_path, root):
    listing = root / "examples" / "listing.txt"
    assert summary("push", listing, "-p", "listing", "-m", "small") == {"new": 2}
    assert summary("push", listing, "-p", "listing", "-m", "small") == {"unchanged": 2}
    done("pull", tmp_path / "o.jsonl", "-p", "listing", "--all")
    found = read_gold([tmp_path / "o.jsonl"])
    assert sum(len(r.mentions) for r in found) > 20 and any(r.relations for r in found)
    assert all(m.score is None for r in found for m in r.mentions)


def test_people_who_annotate_apart(doccano, sent, tmp_path):
    _, path, _ = sent
    admin = doccano.person()
    assert summary("push", path, "--gold", "-p", "apart", "--apart") == {"new": 3}
    project = admin.project("apart")
    for name in ("ann", "bob"):
        admin.new_user(name, "correct horse 9")
        admin.invite(project, name)
        theirs = doccano.person(name, "correct horse 9").project("apart")
        assert theirs.spans("r0") == []
        theirs.label("r0", "Norway", "COUNTRY")
        theirs.label("r0", "Oslo", "PLACE" if name == "ann" else "COUNTRY")
        theirs.confirm("r0")
    assert summary("pull", tmp_path / "each", "-p", "apart") == {"new": 2, "waiting": 2}
    files = [tmp_path / "each" / f"{name}.jsonl" for name in ("ann", "bob")]
    assert all(f.exists() for f in files) and len(list((tmp_path / "each").glob("*.jsonl"))) == 2
    result = CliRunner().invoke(app, ["corpus", "agreement", *map(str, files), "--json"])
    assert json.loads(result.output)["scores"]["entities"]["f"] == 0.5
    assert "people annotate each alone" in done("push", path, "--gold", "-p", "apart", "--together", code=2)


def test_what_people_did_stays(doccano, sent, tmp_path):
    name, path, project = sent
    project.unlabel("r0", project.spans("r0")[0]["id"])
    project.confirm("r1")
    write_jsonl(path, [replace(r, mentions=r.mentions[:1], relations=[]) for r in gold(3)])
    assert summary("push", path, "--gold", "-p", name, code=1) == {"updated": 1, "kept": 2}
    assert len(project.spans("r0")) == 3 and len(project.spans("r1")) == 4 and len(project.spans("r2")) == 1
    assert summary("push", path, "--gold", "-p", name, "--force") == {"forced": 2, "unchanged": 1}


def test_killed_in_the_middle_of_an_import(doccano, tmp_path):
    path = tmp_path / "gold.jsonl"
    write_jsonl(path, gold(5))
    outputs = []
    with doccano.held() as waiting:
        pushing = threading.Thread(target=lambda: outputs.append(run("push", path, "--gold", "-p", "killed")))
        pushing.start()
        until(waiting.exists)
        doccano.kill()
        pushing.join(120)
    try:
        assert outputs[0].exit_code == 2 and "can't be reached" in outputs[0].output
        assert "can't be reached" in done("push", path, "--gold", "-p", "killed", code=2)
    finally:
        doccano.start()
    project = doccano.person().project("killed")
    assert len(project.examples()) == 5 and len(project.spans("r0")) == 4
    assert summary("push", path, "--gold", "-p", "killed") == {"repaired": 5}
    done("pull", tmp_path / "o.jsonl", "-p", "killed", "--all")
    assert [plain(r) for r in read_gold([tmp_path / "o.jsonl"])] == [plain(r) for r in gold(5)]


def until(condition, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to pass"
        time.sleep(0.02)


def test_two_pushes_at_once_leave_each_release_once(doccano, tmp_path):
    with connected(doccano) as server:
        project = open_project(server, "race", load_options().project, True)

    def work():
        with connected(doccano) as server, suppress(DoccanoError):  # the other one was quicker with something
            push(server, project, gold(40), load_options().push)

    pushing = [threading.Thread(target=work) for _ in range(2)]
    for thread in pushing:
        thread.start()
    for thread in pushing:
        thread.join(300)
    path = tmp_path / "gold.jsonl"
    write_jsonl(path, gold(40))
    run("push", path, "--gold", "-p", "race")
    assert summary("push", path, "--gold", "-p", "race") == {"unchanged": 40}
    assert len(doccano.person().project("race").examples()) == 40


@contextmanager
def connected(doccano):
    with connect(doccano.url, Credentials("admin", doccano.password), load_options()) as server:
        yield server


def test_wrong_password(doccano, monkeypatch, sent):
    monkeypatch.setenv("DOCCANO_PASSWORD", "not-this-one")
    output = done("pull", "o.jsonl", "-p", sent[0], code=2)
    assert "user name or password are wrong" in output and "not-this-one" not in output


def test_a_user_who_may_not(doccano, monkeypatch, sent, tmp_path):
    name, path, project = sent
    admin = doccano.person()
    admin.new_user("guest", "correct horse 9")
    monkeypatch.setenv("DOCCANO_USERNAME", "guest")
    monkeypatch.setenv("DOCCANO_PASSWORD", "correct horse 9")
    assert "no project" in done("pull", tmp_path / "o.jsonl", "-p", name, code=2)
    assert "does not allow this user" in done("push", path, "--gold", "-p", "another", code=2)
    admin.invite(project, "guest")
    assert "does not allow this user" in done("pull", tmp_path / "o.jsonl", "-p", name, code=2)


def test_no_doccano_where_it_should_be(doccano, sent, tmp_path):
    args = ("pull", tmp_path / "o.jsonl", "-p", sent[0])
    assert "can't be reached" in done(*args, "--url", "http://127.0.0.1:9", code=2)
    assert "http://127.0.0.1" in done(*args, "--url", f"{doccano.url}/elsewhere", code=2)
    assert not (tmp_path / "o.jsonl").exists()


def test_a_project_that_was_deleted(doccano, sent, tmp_path):
    name, path, project = sent
    with connected(doccano) as server:
        found = find_project(server, name)
        project.person.delete(f"projects/{project.number}")
        with pytest.raises(DoccanoError, match="was the project deleted"):
            push(server, found, gold(3), load_options().push)
    assert "no project" in done("pull", tmp_path / "o.jsonl", "-p", name, code=2)
    assert summary("push", path, "--gold", "-p", name) == {"new": 3}


def test_a_label_that_was_deleted(doccano, sent, tmp_path):
    name, path, project = sent
    project.confirm("r0")
    project.person.delete(f"{project.path}/span-types/{project.types('span')['PLACE']}")
    assert "has no PLACE" in done("pull", tmp_path / "o.jsonl", "-p", name, code=2)
    assert summary("push", path, "--gold", "-p", name, code=1) == {"kept": 3}
    assert summary("push", path, "--gold", "-p", name, "--force") == {"forced": 3}
    assert summary("pull", tmp_path / "o.jsonl", "-p", name, "--all") == {"new": 3, "waiting": 3}


def test_two_thousand_releases(doccano, tmp_path):
    path = tmp_path / "gold.jsonl"
    many = [replace(r, text=f"{r.text}{r.id}") for r in gold(2000)]
    write_jsonl(path, many)
    assert summary("push", path, "--gold", "-p", "many") == {"new": 2000}
    assert summary("pull", tmp_path / "o.jsonl", "-p", "many", "--all") == {"new": 2000, "waiting": 2000}
    assert [plain(r) for r in read_gold([tmp_path / "o.jsonl"])] == [plain(r) for r in many]


def test_the_password_is_in_no_argument_variable_or_log(doccano, sent, tmp_path):
    """Of any process that the command starts, while it works."""
    name, path, _ = sent
    script = os.path.join(os.path.dirname(sys.executable), "communique")
    write_jsonl(path, gold(4))
    with doccano.held() as waiting:
        command = [script, "doccano", "push", str(path), "--gold", "-p", name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(waiting.exists)
        children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
        assert children
        seen = b"".join(read(f"/proc/{child}/{what}") for child in children for what in ("cmdline", "environ"))
        assert b"far_side.py" in seen and doccano.password.encode() not in seen
    output = process.communicate(timeout=120)[0]
    assert process.returncode == 0 and doccano.password not in output
    assert doccano.password not in doccano.log()


def read(path):
    with open(path, "rb") as stream:
        return stream.read()
