"""What the docs say of the service holds: each line of their `sh` blocks runs, and what they show comes out."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from importlib.util import find_spec

import pytest

from test_docs import ROOT, blocks

MISSING = [
    name for name in ("fastapi", "uvicorn", "httptools", "prometheus_client", "httpx") if find_spec(name) is None
]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: install the extra [serve]")

PAGE = ROOT / "docs" / "serving.md"
PAGES = [ROOT / "README.md", ROOT / "docs" / "clients.md", PAGE]
LINES = [line for block in blocks("sh", PAGES) for line in block.splitlines() if line.strip()]
TOKEN = "the-token-of-the-docs"


@pytest.fixture(scope="module")
def service():
    from communique.annotate.run import load_model
    from serving import LocalPool, serving

    with serving(lambda tell: LocalPool(load_model("small"))) as running:
        yield running


def curl(line, service):
    if shutil.which("curl") is None:
        pytest.skip("there is no curl")
    line = line.replace("http://127.0.0.1:8000", service.url)
    env = {**os.environ, "COMMUNIQUE_TOKEN": TOKEN}
    return subprocess.run(["bash", "-c", f"{line} --fail-with-body"], env=env, capture_output=True, text=True)


def test_there_are_lines():
    assert sum(line.startswith("curl ") for line in LINES) >= 7
    assert sum(line.startswith("communique serve") for line in LINES) >= 3
    assert all(line.startswith(("curl ", "communique serve")) for line in LINES)


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("curl ")])
def test_curl(line, service):
    result = curl(line, service)
    bad = '"text": " "' in line
    assert (result.returncode == 0) != bad, result.stdout + result.stderr
    if "/annotate" in line and not bad:
        assert all(release["entities"] is not None for release in json.loads(result.stdout)["releases"])


def test_the_error_that_is_shown(service):
    (line,) = [line for line in LINES if '"text": " "' in line]
    shown = list(blocks("json", [PAGE]))
    assert json.loads(curl(line, service).stdout) == json.loads(shown[1])


def test_the_failed_release_that_is_shown():
    from communique.serve.models import FailedRelease

    shown = next(blocks("json", [PAGE]))
    assert FailedRelease.model_validate_json(shown).model_dump() == json.loads(shown)


@pytest.fixture
def folder(tmp_path):
    config, _ = blocks("ini", [PAGE])
    (tmp_path / "my-serve.cfg").write_text(config)
    (tmp_path / "token.txt").write_text(TOKEN)
    return tmp_path


@pytest.mark.parametrize("line", sorted({line for line in LINES if line.startswith("communique serve")}))
def test_serve(line, folder):
    from serving import command

    with command(*shlex.split(line)[2:], cwd=folder) as (process, url, lines):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "".join(lines)
        assert url.startswith("http://127.0.0.1:")


def test_all_metrics_paths_and_codes_are_named(service):
    page = PAGE.read_text("utf8")
    names = set(re.findall(r"^# TYPE (communique_\w+)", service.client.get("/metrics").text, re.M))
    assert names and all(f"`{name}`" in page for name in names)
    paths = [*service.client.get("/openapi.json").json()["paths"], "/openapi.json"]
    assert all(f" {path}`" in page for path in paths)
    source = "".join(p.read_text("utf8") for p in (ROOT / "pipeline/communique/serve").glob("*.py"))
    codes = set(re.findall(r'ApiError\(\s*\d+,\s*"([\w-]+)"|unavailable\(\s*"([\w-]+)"', source))
    assert len(codes) > 10 and all(f"`{code or other}`" in page for code, other in codes)


def test_the_names_that_are_shown(tmp_path):
    from communique.serve.names import is_named, load_names
    from communique.serve.settings import load_settings

    _, config = blocks("ini", [PAGE])
    (tmp_path / "my-serve.cfg").write_text(config)
    names = load_names(load_settings(tmp_path / "my-serve.cfg"), None)
    for host in ("annotate.example", "192.0.2.7:8000", "localhost", "127.0.0.1", "[::1]"):
        assert is_named([(b"host", host.encode())], names)
