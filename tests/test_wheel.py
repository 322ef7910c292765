"""A pipeline's wheel, where nothing else is installed, and beside communique and other wheels."""

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import Distribution
from pathlib import Path

import pytest
import spacy
from packaging.requirements import Requirement
from spacy.language import Language
from typer.testing import CliRunner

from communique import __version__
from communique.annotate.run import load_model
from communique.bridge import from_doc
from communique.cli import app
from communique.corpus.exchange import read_gold
from communique.errors import ConfigError
from communique.export import closure, wheel
from test_docs import blocks

for needed in ("build", "hatchling", "tomli_w"):
    pytest.importorskip(needed)

ROOT = Path(__file__).resolve().parent.parent
WHEELHOUSE = ROOT / ".make" / "wheelhouse"
NAMES = ("small", "minilm")
LAYERS = ["relations", "clusters", "confidences", "norms", "facts"]
ODD = [
    "",
    "\n",
    "naïve café — № 3, KRW112bn “Ünïcode” 東京 🎸 e\u0301 U.S.-Japan",
    "Korea and Norway sign MOU\nTrade Minister Baek Seo-yun met with Minister Ingrid Solhaug in Oslo on May 12, 2026.",
]
NEVER = {"communique", "torch", "transformers", "spacy_transformers", "scipy", "matplotlib", "fastapi", "build"}
ONLY_MINILM = {"onnxruntime", "tokenizers"}

READ = f"""
import json, sys
from pathlib import Path
import spacy

def read(nlp, texts, **options):
    return [doc.to_json(underscore={LAYERS}) for doc in nlp.pipe(texts, **options)]
"""
WHOLE = f"""{READ}
from importlib.util import find_spec

name, texts = sys.argv[1], json.loads(sys.stdin.read())
nlp = spacy.load(name)
nlp.to_disk("saved")
package = sys.modules[name]
out = {{
    "read": read(nlp, texts),
    "disk": read(spacy.load("saved"), texts),
    "bytes": read(package.load().from_bytes(nlp.to_bytes()), texts),
    "processes": read(nlp, texts, n_process=2),
    "meta": json.loads(Path(package.__file__).with_name("meta.json").read_text("utf8")),
    "title": [nlp.meta["lang"], nlp.meta["name"], nlp.meta["version"]],
    "version": package.__version__,
    "code": package.runtime.__version__,
    "there": [m for m in {sorted(NEVER | ONLY_MINILM)} if find_spec(m)],
    "models": spacy.util.get_installed_models(),
}}
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def texts(root):
    return [*ODD, *(release.text for release in read_gold([root / "corpus" / "dev"])[:4])]


@pytest.fixture(scope="module")
def wheels(root, tmp_path_factory):
    """The wheels of both pipelines that ship, by name."""
    folder = tmp_path_factory.mktemp("wheels")
    metas = {name: root / "configs" / f"{name}.meta.json" for name in NAMES}
    return {name: wheel.export_wheel(name, folder, meta_file=meta) for name, meta in metas.items()}


@pytest.fixture(scope="module")
def unpacked(wheels, tmp_path_factory):
    """A folder for the path of each wheel, by name."""
    folders = {}
    for name, file in wheels.items():
        folders[name] = tmp_path_factory.mktemp(name)
        with zipfile.ZipFile(file) as archive:
            archive.extractall(folders[name])
    return folders


class Fresh:
    """A new environment with a wheel and what it requires, and a folder to work in."""

    def __init__(self, file: Path, folder: Path) -> None:
        self.folder = folder / "work"
        self.folder.mkdir()
        self.python = folder / "env" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "env"], check=True)
        pip = [sys.executable, "-m", "pip", "--python", self.python, "--isolated", "--disable-pip-version-check"]
        install = ["install", "--quiet", "--no-compile", "--no-index", "--find-links", WHEELHOUSE, file]
        subprocess.run([*pip, *install], check=True, env=self.env)

    @property
    def env(self):
        """Nothing of ours, and no pip configuration, which may name other places to install from."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "PIP_", "VIRTUAL_ENV"))}
        return {**kept, "PIP_CONFIG_FILE": os.devnull}

    def attempt(self, *args, given=""):
        command = [self.python, "-I", *args]
        return subprocess.run(command, cwd=self.folder, env=self.env, input=given, capture_output=True, text=True)

    def run(self, *args, given=""):
        result = self.attempt(*args, given=given)
        assert result.returncode == 0, result.stderr
        return result.stdout


@pytest.fixture(scope="module")
def fresh(wheels, tmp_path_factory):
    if not (WHEELHOUSE / "stamp").exists():
        pytest.skip("what the wheels require is not there to install from: make .make/wheelhouse/stamp")
    made = {}

    def get(name):
        if name not in made:
            made[name] = Fresh(wheels[name], tmp_path_factory.mktemp(f"fresh-{name}"))
        return made[name]

    return get


@pytest.fixture(scope="module")
def whole(fresh, texts):
    """What came out of a pipeline's environment."""
    found = {}

    def get(name):
        if name not in found:
            given = json.dumps(texts)
            found[name] = json.loads(fresh(name).run("-c", WHOLE, f"en_communique_{name}", given=given))
        return found[name]

    return get


def here(nlp, texts):
    return json.loads(json.dumps([doc.to_json(underscore=LAYERS) for doc in nlp.pipe(texts)]))


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_what_the_repository_reads(whole, texts, name):
    found = whole(name)["read"]
    for layer in ("relations", "clusters", "facts"):
        assert any(doc["_"][layer] for doc in found)
    assert any(doc["ents"] for doc in found) and any(doc["spans"]["pledges"] for doc in found)
    assert found == here(load_model(name), texts)


@pytest.mark.parametrize("way", ["disk", "bytes", "processes"])
@pytest.mark.parametrize("name", NAMES)
def test_it_survives_saving_and_other_processes(whole, name, way):
    assert whole(name)[way] == whole(name)["read"]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_else_is_there(whole, name):
    assert whole(name)["there"] == (sorted(ONLY_MINILM) if name == "minilm" else [])


@pytest.mark.parametrize("name", NAMES)
def test_its_meta(whole, root, name):
    found, code = whole(name), json.loads((root / "pipeline/communique/models" / name / "meta.json").read_text("utf8"))
    meta = found["meta"]
    assert [meta["lang"], meta["name"], meta["version"]] == found["title"] == ["en", f"communique_{name}", __version__]
    assert found["version"] == found["code"] == __version__
    assert found["models"] == [f"en_communique_{name}"]
    for key in ("performance", "labels", "pipeline", "communique", "encoder", "spacy_version"):
        assert meta.get(key) == code.get(key)
    assert meta["license"] == "MIT" and meta["sources"][0]["license"] == "Apache-2.0"
    assert meta["author"] == meta["email"] == meta["url"] == ""
    assert "numpy<3,>=2.0" in meta["requirements"] and meta["description"]


@pytest.mark.parametrize("name", NAMES)
def test_spacy_info_knows_it(fresh, name):
    said = fresh(name).run("-m", "spacy", "info", f"en_communique_{name}")
    assert f"communique_{name}" in said and __version__ in said


def test_what_was_saved_loads_in_a_new_process(fresh, whole):
    script = "import sys, spacy, en_communique_small\nprint(len(spacy.load('saved')(sys.argv[1]).ents))"
    assert whole("small") and int(fresh("small").run("-c", script, ODD[-1])) >= 4


def test_processes_that_are_spawned(fresh, whole, texts):
    script = (
        f"{READ}\nimport multiprocessing\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    print(json.dumps(read(spacy.load('en_communique_small'), json.loads(sys.stdin.read()), n_process=2)))\n"
    )
    (fresh("small").folder / "spawn.py").write_text(script, "utf8")
    assert json.loads(fresh("small").run("spawn.py", given=json.dumps(texts))) == whole("small")["read"]


GUARD = """
import _pickle, pickle, socket, subprocess, sys

class Refused(Exception):
    pass

class Unpickler:
    def __init__(self, *args, **kwargs):
        raise Refused("Unpickler")

def refuse(*args, **kwargs):
    raise Refused("unpickling")

for module in (pickle, _pickle):
    module.load = module.loads = refuse
    module.Unpickler = Unpickler
pickle._Unpickler, pickle._load, pickle._loads = Unpickler, refuse, refuse
EVENTS = {
    "pickle.find_class", "socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname",
    "socket.gethostbyaddr", "urllib.Request", "http.client.connect", "subprocess.Popen", "os.system", "os.exec",
    "os.posix_spawn", "os.fork", "os.forkpty",
}

def guard(event, args):
    if event in EVENTS:
        raise Refused(event)

sys.addaudithook(guard)
import spacy
nlp = spacy.load(sys.argv[1])
print(len(nlp(sys.argv[2]).ents))

# that the guard guards
import io, os, numpy
loaded, saved = bytes.fromhex("80054e2e"), io.BytesIO()
numpy.save(saved, numpy.array([None]), allow_pickle=True)
saved.seek(0)
for act in (
    lambda: pickle.loads(loaded),
    lambda: _pickle.loads(loaded),
    lambda: pickle.Unpickler(io.BytesIO(loaded)).load(),
    lambda: numpy.load(saved, allow_pickle=True),
    lambda: socket.create_connection(("127.0.0.1", 9)),
    lambda: socket.getaddrinfo("localhost", 80),
    lambda: subprocess.run([sys.executable, "--version"]),
    lambda: os.system("true"),
):
    try:
        act()
    except Refused:
        continue
    raise SystemExit("nothing refused it")
"""


@pytest.mark.parametrize("name", NAMES)
def test_loading_unpickles_nothing_connects_to_nothing_and_starts_nothing(fresh, name):
    assert int(fresh(name).run("-c", GUARD, f"en_communique_{name}", ODD[-1])) >= 4


def test_the_service_of_the_docs(fresh, root):
    (service,) = blocks("python", [root / "docs" / "wheel.md"])
    environment = fresh("small")
    (environment.folder / "service.py").write_text(service, "utf8")
    text = "Korea and Norway talk\nTrade Minister Baek Seo-yun met with Minister Ingrid Solhaug in Oslo today."
    given = json.dumps({"id": "a", "date": "2026-05-13", "text": text}) + "\n"
    found = [json.loads(line) for line in environment.run("service.py", given=given * 2).splitlines()]
    assert ["Baek Seo-yun", "MET_WITH", "Ingrid Solhaug"] in [line["fact"] for line in found]
    assert all(line["evidence"] in text and line["release"] == "a" and 0 < line["score"] <= 1 for line in found)


BOTH = f"""{READ}
sys.path.insert(0, sys.argv[1])
texts, out = json.loads(sys.stdin.read()), {{}}
for name in sys.argv[2:]:
    out[name] = read(spacy.load("en_communique_" + name), texts)
import en_communique_minilm.runtime.bridge, en_communique_small.runtime.bridge
nlp = spacy.load("en_communique_small")
for package in (en_communique_minilm, en_communique_small):
    bridge = package.runtime.bridge
    assert bridge.get_schema(nlp).entities
    assert bridge.from_doc(nlp(texts[-1]), "pledges").to_dict()["entities"]
print(json.dumps(out))
"""


@pytest.mark.parametrize("order", [NAMES, NAMES[::-1]])
def test_two_wheels_in_one_process(fresh, unpacked, whole, texts, order):
    """minilm's environment has what small requires."""
    found = json.loads(
        fresh("minilm").run("-W", "error", "-c", BOTH, str(unpacked["small"]), *order, given=json.dumps(texts))
    )
    assert found == {name: whole(name)["read"] for name in NAMES}


@pytest.fixture(scope="module")
def beside(fresh, tmp_path_factory):
    """Run code where the base install of communique is, with folders of unpacked wheels on the path."""
    site = tmp_path_factory.mktemp("site")
    (site / "communique").symlink_to(ROOT / "pipeline" / "communique")
    info = site / f"communique-{__version__}.dist-info"
    info.mkdir()
    for name in ("METADATA", "entry_points.txt"):
        (info / name).write_text(Distribution.from_name("communique").read_text(name), "utf8")

    def run(folder, code, *args, given=""):
        path = f"import sys\nsys.path[:0] = {[str(folder), str(site)]}\n"
        return fresh("minilm").attempt(*args, "-c", path + code, given=given)

    return run


ORDERS = {
    "communique first": ("ours = load_model('small')", "theirs = spacy.load('en_communique_small')"),
    "wheel first": ("theirs = spacy.load('en_communique_small')", "ours = load_model('small')"),
}


@pytest.mark.parametrize("order", ORDERS)
def test_beside_communique(beside, unpacked, texts, order):
    first, second = ORDERS[order]
    imports = "from communique.annotate.run import load_model"
    code = (
        f"{READ}\n{imports if 'ours' in first else ''}\n{first}\n{imports}\n{second}\n"
        "texts = json.loads(sys.stdin.read())\n"
        "assert read(ours, texts) == read(theirs, texts)\n"
        "import en_communique_small.runtime.schema, communique.schema\n"
        "assert en_communique_small.runtime.schema.Schema is communique.schema.Schema\n"
        "assert load_model('en_communique_small').meta['name'] == 'communique_small'\n"
    )
    result = beside(unpacked["small"], code, "-W", "error::UserWarning", given=json.dumps(texts))
    assert result.returncode == 0, result.stderr


def test_code_of_another_version_is_told(beside, unpacked, tmp_path):
    shutil.copytree(unpacked["small"], tmp_path / "older")
    manifest = tmp_path / "older" / "en_communique_small" / "runtime" / "manifest.json"
    manifest.write_text(manifest.read_text("utf8").replace(__version__, "0.0.1"), "utf8")
    code = f"import spacy; print(len(spacy.load('en_communique_small')({ODD[-1]!r}).ents))"
    told = beside(tmp_path / "older", code)
    assert told.returncode == 0 and int(told.stdout) >= 4
    for said in ("UserWarning", "en_communique_small", "communique 0.0.1", __version__):
        assert said in told.stderr
    refused = beside(tmp_path / "older", code, "-W", "error::UserWarning:en_communique_small")
    assert refused.returncode == 1 and "0.0.1" in refused.stderr


def parts(file):
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def code_of(files):
    return {name: text.decode("utf8") for name, text in files.items() if name.endswith(".py")}


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_the_code_that_it_needs_and_no_other(wheels, name):
    files = parts(wheels[name])
    folder = f"en_communique_{name}/runtime/"
    modules = {f.removeprefix(folder) for f in files if f.startswith(folder)}
    assert {"components/relations.py", "schema.py", "registers/countries.json", "manifest.json"} <= modules
    assert ("components/onnx_encoder.py" in modules) == (name == "minilm")
    others = ("corpus", "export", "own", "annotate", "models", "serve", "doccano", "evaluate/report")
    assert not [m for m in modules if m.startswith(others)]
    assert not modules & {"cli.py", "training.py", "loop.py", "calibrate.py", "components/transformer.py"}
    for file, text in code_of(files).items():
        for node in ast.walk(ast.parse(text)):
            assert not isinstance(node, ast.Constant) or node.value != "communique", file
            assert not isinstance(node, ast.ImportFrom) or node.level or not str(node.module).startswith("communique")


@pytest.mark.parametrize("name", NAMES)
def test_what_it_requires_is_what_communique_declares(wheels, name):
    files = parts(wheels[name])
    info = f"en_communique_{name}-{__version__}.dist-info"
    head, _, page = files[f"{info}/METADATA"].decode("utf8").partition("\n\n")
    lines = [line.partition(": ")[2] for line in head.splitlines() if line.startswith("Requires-Dist")]
    found = {r.name: r.specifier for r in map(Requirement, lines)}
    declared = {r.name: r.specifier for r in map(Requirement, Distribution.from_name("communique").requires or [])}
    assert set(found) == {"numpy", "pycountry", "spacy", "srsly", "thinc"} | (
        ONLY_MINILM if name == "minilm" else set()
    )
    assert all(specifier == declared[r] for r, specifier in found.items() if r != "spacy")
    assert found["spacy"].contains(spacy.__version__) and not found["spacy"].contains("3.8.8")
    assert "License-Expression: MIT AND Apache-2.0" in head
    assert "### Label Scheme" in page and "`PLEDGE`" in page and "`RELS_F`" in page and "_LOSS" not in page
    assert ("before its encoder went into ONNX (int8)" in page) == (name == "minilm")
    assert "MIT License" in files[f"{info}/licenses/LICENSE"].decode("utf8")


def test_the_same_pipeline_gives_the_same_file(wheels, root, tmp_path):
    again = wheel.export_wheel("small", tmp_path, meta_file=root / "configs" / "small.meta.json")
    assert again.read_bytes() == wheels["small"].read_bytes()


@pytest.fixture(scope="module")
def own(bands, tmp_path_factory):
    """The folder of a pipeline with labels of its own."""
    folder = tmp_path_factory.mktemp("own") / "bands"
    bands.to_disk(folder)
    return folder


def export(*args):
    return CliRunner().invoke(app, ["export", "wheel", *map(str, args)])


def test_a_pipeline_of_ones_own(beside, own, bands, tmp_path):
    result = export(own, tmp_path, "--version", "1.0rc1")
    assert result.exit_code == 0, result.stderr
    (file,) = tmp_path.iterdir()
    assert file.name == "en_communique_bands-1.0rc1-py3-none-any.whl" and file.name in result.stderr
    files = parts(file)
    assert not {f for f in files if f.endswith(("dates.py", "money.py", "abbreviations.py"))}
    page = files["en_communique_bands-1.0rc1.dist-info/METADATA"].decode("utf8")
    assert "License-Expression: MIT\n" in page and "The pipeline: not said" in page and "Accuracy" not in page
    with zipfile.ZipFile(file) as archive:
        archive.extractall(tmp_path / "site")
    text = "Red Owls played Moonlight in Lisbon\nThe Owls played with Tin Cats."
    code = (
        "import spacy, json\nfrom en_communique_bands.runtime.bridge import from_doc\n"
        f"print(json.dumps(from_doc(spacy.load('en_communique_bands')({text!r}), 'plans').to_dict()))"
    )
    result = beside(tmp_path / "site", code)
    assert json.loads(result.stdout) == json.loads(json.dumps(from_doc(bands(text), "plans").to_dict()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--name", "en_bands"], "--name bands"),
        (["--name", "my-bands"], "'my-bands'"),
        (["--name", "a__b"], "'a__b'"),
        (["--name", "Bands"], "'Bands'"),
        (["--name", "b\u00e4nds"], "small letters"),
        (["--version", "new"], "'new'"),
        (["--version", ""], "PEP 440"),
        (["--meta", "none.json"], "none.json"),
    ],
)
def test_wrong_options_are_refused(own, tmp_path, options, said):
    result = export(own, tmp_path, *options)
    assert result.exit_code == 2 and said in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "one JSON object"),
        ("{", "no JSON"),
        ('{"licence": "MIT"}', "'licence'"),
        ('{"license": "my own"}', "'my own'"),
        ('{"license": 3}', "license"),
        ('{"sources": [{"name": "x", "license": "whatever"}]}', "'whatever'"),
    ],
)
def test_wrong_metas_are_refused(own, tmp_path, text, said):
    file = tmp_path / "meta.json"
    file.write_text(text, "utf8")
    result = export(own, tmp_path / "out", "--meta", file)
    assert result.exit_code == 2 and said in result.stderr and "meta.json" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_name_is_no_package_name_needs_one(own, tmp_path):
    (tmp_path / "model-best").symlink_to(own)
    link = tmp_path / "model-best"
    assert wheel.default_name(str(link), "en") == "communique_bands"  # the folder's own
    with pytest.raises(ConfigError, match="--name"):
        wheel.checked_name(wheel.default_name("training/small/model-best", "en"))
    assert wheel.default_name("en_communique_small", "en") == "communique_small"


def test_missing_tools_are_named(own, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "hatchling", None)
    result = export(own, tmp_path)
    assert result.exit_code == 2 and "communique[wheel]" in result.stderr


def test_code_of_other_packages_is_refused(own, tmp_path):
    Language.component("somebodys", func=lambda doc: doc)
    nlp = load_model(own)
    nlp.add_pipe("somebodys")
    with pytest.raises(ConfigError, match=r"somebodys.*test_wheel"):
        closure.closure_of(nlp)


def test_a_transformer_is_refused(root, tiny_encoder, tmp_path):
    from spacy.util import load_model_from_config

    from communique.schema import Schema
    from conftest import BAND_SCHEMA, band_examples
    from test_minilm import minilm_config

    nlp = load_model_from_config(minilm_config(root, tiny_encoder), auto_fill=True)
    nlp.initialize(lambda: band_examples(nlp, Schema.from_dict(BAND_SCHEMA)))
    nlp.to_disk(tmp_path / "bands")
    result = export(tmp_path / "bands", tmp_path / "out")
    assert result.exit_code == 2 and "communique export onnx" in result.stderr and "spacy_transformers" in result.stderr
    assert not (tmp_path / "out").exists()


def test_make_packs_what_ships_or_what_is_named():
    def plan(*args):
        return subprocess.run(["make", "-n", "package", *args], cwd=ROOT, capture_output=True, text=True).stdout

    assert "export wheel small dist --name communique_small --meta configs/small.meta.json" in plan()
    assert "export wheel minilm dist --name communique_minilm --meta" in plan("CONFIG=minilm")
    assert "export wheel out/mine dist --name communique_mine \n" in plan("CONFIG=mine", "MODEL=out/mine")
