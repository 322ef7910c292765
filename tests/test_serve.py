"""The HTTP service: what it answers, what it refuses and how, and what happens when things go wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import band_releases

for package in ("fastapi", "uvicorn", "httptools", "prometheus_client", "httpx"):
    pytest.importorskip(package, reason=f"{package} comes with the extra [serve]")

import httpx
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from communique.annotate.records import refusal
from communique.annotate.run import annotate
from communique.annotate.sinks import dump
from communique.cli import app as cli
from communique.errors import ConfigError
from communique.release import Release
from communique.serve.auth import load_token
from communique.serve.errors import ApiError
from communique.serve.names import is_named, load_names
from communique.serve.settings import DEFAULTS, load_settings
from communique.workers import Event, WorkerPool
from poison import Poisoned
from serving import LocalPool, command, head, read_all, ready, received, serving, until
from test_workers import gone

TEXT = "Red Owls played Moonlight in Lisbon\nThe Owls played with Tin Cats."
TOKEN = "a-token-of-some-length.0123"


@pytest.fixture(scope="module")
def service(bands):
    """With limits that are easy to reach, and two places to work at."""
    limits = {"body_bytes": 20_000, "releases": 5, "chars": 1000, "queue": 1000}
    with serving(lambda tell: LocalPool(bands, 2), limits=limits) as running:
        yield running


@pytest.fixture(scope="module")
def folder(bands, tmp_path_factory):
    path = tmp_path_factory.mktemp("bands") / "model"
    bands.to_disk(path)
    return path


def error_of(response, status, code=None):
    """The error of an answer, which has the one format of all errors."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert {"code", "message"} <= set(error) <= {"code", "message", "field"}
    assert all(isinstance(value, str) and value for value in error.values())
    assert code is None or error["code"] == code
    return error


def raw_error(connection):
    status, headers, body = read_all(connection)
    assert headers["content-type"] == "application/json" and headers["connection"] == "close"
    return status, json.loads(body)["error"]["code"]


# what is answered


def test_one_release(service, bands):
    response = service.annotate(
        {"id": "a", "title": "T", "date": "2026-05-13", "text": TEXT, "pages": [1, {"x": None}]}
    )
    assert response.status_code == 200 and response.headers["content-type"] == "application/json"
    (release,) = response.json()["releases"]
    expected = next(annotate(bands, [Release("a", TEXT, "T", "2026-05-13", meta={"pages": [1, {"x": None}]})]))
    assert release == expected.to_dict() and release["entities"] and release["facts"]
    assert response.json()["model"] == {
        "name": "bands",
        "version": bands.meta["version"],
        "lang": "en",
        "spacy_version": bands.meta["spacy_version"],
        "communique_version": response.json()["model"]["communique_version"],
    }


def test_several_releases_are_what_annotate_writes_to_the_byte(service, bands):
    releases = [Release(r.id, r.text, source="Bänd\u2028", meta={"n": 0.1}) for r in band_releases()]
    asked = [{"id": r.id, "text": r.text, "source": r.source, "n": 0.1} for r in releases]
    lines = [dump(r).strip() for r in annotate(bands, releases)]
    response = service.annotate({"releases": asked})
    begin, _, _ = response.text.partition('], "model": ')
    assert begin == '{"releases": [' + ", ".join(lines)
    certain = service.annotate({"releases": asked}, params={"min_confidence": 0.9}).json()["releases"]
    assert certain == [r.to_dict() for r in annotate(bands, releases, min_confidence=0.9)]


@pytest.mark.parametrize("date", ["yesterday", "2026-13-01", "13 May 2026", "2026-05-13T09:00:00+09:00", "", None])
def test_a_date_that_is_none_goes_through_as_in_annotate(service, bands, date):
    """Listings and other people's files have many kinds; only what depends on the day then has no normal form."""
    record = {"id": "a", "date": date, "text": TEXT}
    release = Release.from_dict(record)
    assert refusal(release, 1000) is None
    expected = next(annotate(bands, [release])).to_dict()
    assert service.annotate(record).json()["releases"] == [expected] and expected.get("date") == date


def test_ids_are_given_by_position(service):
    answer = service.annotate(
        {"releases": [{"text": TEXT}, {"text": TEXT, "id": "x"}, {"text": TEXT}, {"text": TEXT, "id": 7}]}
    )
    assert [r["id"] for r in answer.json()["releases"]] == ["1", "x", "3", "7"]
    assert service.annotate({"text": TEXT}).json()["releases"][0]["id"] == "1"
    assert service.annotate({"releases": []}).json()["releases"] == []


def test_what_was_annotated_can_be_annotated_again(service):
    first = service.annotate({"text": TEXT, "id": "a"}).json()["releases"][0]
    assert service.annotate({**first, "entities": [{"odd": 1}]}).json()["releases"] == [first]


def test_odd_but_good_requests(service):
    assert service.post(b"\xef\xbb\xbf" + json.dumps({"text": TEXT}).encode()).status_code == 200
    assert service.post(json.dumps({"text": TEXT}), "Application/JSON; charset=UTF-8").status_code == 200
    chunks = (c.encode() for c in json.dumps({"text": TEXT}))
    assert service.post(chunks).status_code == 200
    emoji = service.post('{"text": "Red Owls \\ud83e\\udd89 played"}').json()["releases"][0]
    assert emoji["text"] == "Red Owls \U0001f989 played"


def test_a_release_on_which_the_model_fails_costs_no_other(folder):
    nlp = Poisoned(str(folder))()
    with serving(lambda tell: LocalPool(nlp)) as running:
        response = running.annotate(
            {"releases": [{"text": TEXT}, {"id": "bad", "text": f"{TEXT} RAISE"}, {"text": TEXT}]}
        )
        assert response.status_code == 200
        first, bad, last = response.json()["releases"]
        assert first["entities"] == last["entities"] and last["id"] == "3"
        assert set(bad) == {"id", "error"} and bad["id"] == "bad"
        assert bad["error"]["code"] == "model" and bad["error"]["message"].startswith("the model failed: ValueError")
        assert running.metric('communique_releases_total{outcome="model"}') == 1
        assert running.metric('communique_releases_total{outcome="ok"}') == 2
        assert running.metric("communique_words_total") == 2 * len(TEXT.split())


def test_labels(service):
    answer = service.client.get("/labels").json()
    assert answer["entities"] == ["BAND", "SONG", "CITY"]
    assert answer["spans"] == {"key": "plans", "labels": ["PLAN"]}
    assert answer["relations"][0] == {"type": "PLAYED", "heads": ["BAND"], "tails": ["SONG"], "symmetric": False}
    assert [r["type"] for r in answer["relations"] if r["symmetric"]] == ["WITH"]
    assert answer["limits"] == {"releases": 5, "chars": 1000, "body_bytes": 20_000}
    assert answer["model"]["name"] == "bands"


def test_state_and_metrics(service):
    assert service.client.get("/healthz").json() == {"status": "ok"}
    assert service.client.get("/readyz").json() == {"status": "ready", "workers": 2}
    service.annotate({"text": TEXT})
    response = service.client.get("/metrics")
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/plain")
    for name in ("requests_total", "request_seconds_bucket", "releases_total", "words_total", "queue_releases"):
        assert f"communique_{name}" in response.text
    for name in ("batch_releases_bucket", "worker_restarts_total", "requests_in_flight", "workers_alive 2.0"):
        assert f"communique_{name}" in response.text
    assert service.metric('communique_requests_total{method="POST",path="/annotate",status="200"}') >= 1


@pytest.mark.parametrize("path", ["/", "/page/page.js", "/healthz", "/readyz", "/labels", "/openapi.json", "/metrics"])
def test_head_is_answered_as_get_without_the_body(service, path):
    got, asked = service.client.get(path), service.client.head(path)
    assert asked.status_code == got.status_code == 200 and not asked.content and got.content
    if path != "/metrics":  # which are others each time
        assert asked.headers["content-length"] == got.headers["content-length"]
    assert asked.headers["content-type"] == got.headers["content-type"]
    with service.connect() as connection:  # nothing of a body stands before the next answer
        request = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n"
        connection.sendall(f"{request}\r\n{request}Connection: close\r\n\r\n".encode())
        answers = received(connection).split(b"\r\n\r\n")
    assert len(answers) == 3 and answers[2] == b"" and all(a.startswith(b"HTTP/1.1 200 ") for a in answers[:2])


def test_head_where_get_is_an_error(service):
    for path, status in (("/nothing", 404), ("/annotate", 405)):
        response = service.client.head(path)
        assert response.status_code == status and not response.content and response.headers["content-length"] != "0"
        assert response.headers.get("allow") == ("POST" if status == 405 else None)
    until(lambda: any(line["method"] == "HEAD" and line["status"] == 405 for line in service.requests()))


def test_the_page_is_served_to_all(bands, tmp_path, monkeypatch):
    (tmp_path / "index.html").write_text("<!doctype html><title>Page</title>")
    (tmp_path / "page.js").write_text("export default 1;")
    (tmp_path.parent / "secret.txt").write_text("secret")
    monkeypatch.setattr("communique.serve.app.FOLDER", tmp_path)
    with serving(lambda tell: LocalPool(bands), token=TOKEN) as running:
        index = running.client.get("/")
        assert index.status_code == 200 and index.headers["content-type"].startswith("text/html")
        assert "default-src 'self'" in index.headers["content-security-policy"]
        script = running.client.get("/page/page.js")
        assert script.status_code == 200 and "javascript" in script.headers["content-type"]
        assert script.headers["x-content-type-options"] == "nosniff"
        for path in ("/page/none.js", "/page/", "/page/%2e%2e/secret.txt", "/page/..%2fsecret.txt"):
            error_of(running.client.get(path), 404, "path")
        assert {line["path"] for line in running.requests()} == {"/", "/page"}


# what is refused

BAD_BODIES = [
    (b"", 400, "json", "body"),
    (b"{", 400, "json", "body"),
    (b"\xff{}", 400, "encoding", "body"),
    (b'{"text": "a", "k": NaN}', 400, "json", "body"),
    (b'{"text": "a", "k": 1e999}', 400, "json", "body"),
    (b'{"text": "a", "k": ' + b"9" * 5000 + b"}", 400, "json", "body"),
    (b"[" * 5000, 400, "json", "body"),
    (b'{"text": "a", "k": ' + b"[" * 200 + b"]" * 200 + b"}", 400, "json", "body"),
    (b"[]", 422, "record", "body"),
    (b'"text"', 422, "record", "body"),
    (b"{}", 422, "record", "text"),
    (b'{"text": null}', 422, "record", "text"),
    (b'{"text": ["a"]}', 422, "record", "text"),
    (b'{"text": ""}', 422, "empty", "text"),
    (b'{"text": " \\n\\u00a0"}', 422, "empty", "text"),
    (b'{"text": "a\\u0000b"}', 422, "control", "text"),
    (b'{"text": "a\\u001bb"}', 422, "control", "text"),
    (b'{"text": "a\\ud800b"}', 422, "encoding", "text"),
    (b'{"text": "<p>a</p>"}', 422, "html", "text"),
    (b'{"text": "' + b"a " * 501 + b'"}', 422, "length", "text"),
    (b'{"text": "a", "title": "\\udfff"}', 422, "encoding", "title"),
    (b'{"text": "a", "k": {"\\ud800": 1}}', 422, "encoding", "k"),
    (b'{"text": "a", "\\ud800": 1}', 422, "encoding", "\ud800"),
    (b'{"text": "a", "title": 3}', 422, "record", "title"),
    (b'{"text": "a", "date": []}', 422, "record", "date"),
    (b'{"text": "a", "source": {}}', 422, "record", "source"),
    (b'{"text": "a", "id": null}', 422, "record", "id"),
    (b'{"text": "a", "id": true}', 422, "record", "id"),
    (b'{"text": "a", "id": 1.5}', 422, "record", "id"),
    (b'{"text": "a", "error": 1}', 422, "record", "error"),
    (b'{"releases": {}}', 422, "record", "releases"),
    (b'{"releases": [], "text": "a"}', 422, "record", "text"),
    (b'{"releases": [], "min_confidence": 1}', 422, "record", "min_confidence"),
    (b'{"releases": [{"text": "a"}, 3]}', 422, "record", "releases[1]"),
    (b'{"releases": [{"text": "a"}, {"text": 3}]}', 422, "record", "releases[1].text"),
    (b'{"releases": [{"text": "a"}, {"text": " "}]}', 422, "empty", "releases[1].text"),
    (
        b'{"releases": [{"text": "a", "id": "x"}, {"text": "b"}, {"text": "c", "id": "x"}]}',
        422,
        "duplicate-id",
        "releases[2].id",
    ),
    (b'{"releases": [{"text": "a", "id": "2"}, {"text": "b"}]}', 422, "duplicate-id", "releases[1].id"),
    (b'{"releases": [' + b",".join([b'{"text": "a"}'] * 6) + b"]}", 422, "releases", "releases"),
    (b'{"text": "' + b"a" * 20_000 + b'"}', 413, "body-length", "body"),
]


@pytest.mark.parametrize("body, status, code, field", BAD_BODIES)
def test_bad_bodies_are_refused_with_the_field(service, body, status, code, field):
    assert error_of(service.post(body), status, code)["field"] == field


BAD_HEADERS = [
    ("text/plain", {}, "content-type", "Content-Type"),
    ("", {}, "content-type", "Content-Type"),
    ("application/json; charset=latin-1", {}, "content-type", "Content-Type"),
    ("application/json", {"Content-Encoding": "gzip"}, "content-encoding", "Content-Encoding"),
]


@pytest.mark.parametrize("kind, headers, code, field", BAD_HEADERS)
def test_bad_headers_are_refused_with_the_field(service, kind, headers, code, field):
    assert error_of(service.post(b"{}", kind, **headers), 415, code)["field"] == field


@pytest.mark.parametrize(
    "kinds", [("application/json", "text/plain"), ("text/plain", "application/json"), 2 * ("application/json",)]
)
def test_a_body_has_one_kind(service, kinds):
    headers = [("Content-Type", kind) for kind in kinds]
    error = error_of(service.client.post("/annotate", content=b'{"text": "a"}', headers=headers), 415, "content-type")
    assert error == {"code": "content-type", "message": "send one Content-Type header, not 2", "field": "Content-Type"}


def test_a_body_has_no_second_encoding(service):
    headers = [("Content-Type", "application/json"), ("Content-Encoding", "identity"), ("Content-Encoding", "gzip")]
    response = service.client.post("/annotate", content=b'{"text": "a"}', headers=headers)
    assert error_of(response, 415, "content-encoding")["field"] == "Content-Encoding"


@pytest.mark.parametrize("value", ["-0.1", "1.1", "nan", "inf", "x", ""])
def test_bad_parameters_are_refused_with_the_field(service, value):
    response = service.annotate({"text": TEXT}, params={"min_confidence": value})
    assert error_of(response, 422, "parameter")["field"] == "min_confidence"


def test_other_paths_and_methods(service):
    error_of(service.client.get("/nothing/here"), 404, "path")
    error_of(service.client.get("/annotate/"), 404, "path")
    error_of(service.client.get("/docs"), 404, "path")  # its page would be loaded from elsewhere
    response = service.client.get("/annotate")
    error_of(response, 405, "method")
    assert response.headers["allow"] == "POST"
    for path in ("/", "/labels", "/healthz", "/openapi.json", "/page/page.js"):
        response = service.client.post(path)
        error_of(response, 405, "method")
        assert response.headers["allow"] == "GET, HEAD"


def test_a_body_too_long_is_not_read_to_its_end(service):
    with service.connect() as connection:
        connection.sendall(head(10**9))
        connection.sendall(b"x" * 5000)
        assert b" 413 " in connection.recv(1000)
    with service.connect() as connection:  # it does not say how long it is
        connection.sendall(head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked"))
        for _ in range(6):
            connection.sendall(b"fa0\r\n" + b"x" * 4000 + b"\r\n")
        assert b" 413 " in connection.recv(1000)
    # one that is not endless can be sent to its end, and the answer be read
    assert error_of(service.post(b"x" * 30_000), 413)


def test_no_http(service):
    with service.connect() as connection:
        connection.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
        assert raw_error(connection) == (400, "http")


UPGRADES = [
    ("Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    ("keep-alive, upgrade", "UPGRADE: websocket", "Sec-WebSocket-Version: 13"),
    ("Upgrade", "Upgrade: h2c", "Upgrade: TLS/1.3"),
]
BODY = json.dumps({"text": TEXT, "id": "whole"}).encode()
LENGTH = f"Content-Length: {len(BODY)}"
PIECES = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:30], BODY[30:])) + b"0\r\n\r\n"


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize(
    "framing, body", [(LENGTH, BODY), ("Transfer-Encoding: chunked", PIECES)], ids=["length", "chunked"]
)
def test_another_protocol_is_not_changed_to(service, upgrade, size, framing, body):
    """What asks for one is answered as if it had not; so is what comes after it on the connection."""
    post = "POST /annotate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: "
    post += "\r\n".join([*upgrade, framing, "\r\n"])
    get = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: {upgrade[0]}\r\n{upgrade[1]}\r\n\r\n"
    last = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    data = post.encode() + body + get.encode() + post.encode() + body + last.encode()
    with service.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, len(data), size):
            connection.sendall(data[begin : begin + size])
        answers = received(connection)
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 ") == 4
    assert answers.count(b'"id": "whole"') == 2 and answers.count(b'"status"') == 2


def test_the_body_of_what_would_upgrade_is_no_request_of_its_own(service):
    hidden = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with service.connect() as connection:
        connection.sendall(head(len(hidden), "Connection: upgrade, close", "Upgrade: h2c") + hidden)
        assert raw_error(connection) == (400, "json")


def test_what_would_upgrade_has_the_same_limits(strict):
    upgrade = ("Connection: upgrade", "Upgrade: h2c")
    with strict.connect() as connection:
        connection.sendall(head(10, *upgrade, "X: " + 5000 * "x"))
        assert raw_error(connection) == (431, "header-length")
    with strict.connect() as connection:
        connection.sendall(head(10, *upgrade))
        assert raw_error(connection) == (408, "slow")
    with strict.connect() as connection:
        connection.sendall(head(10, *upgrade)[:-2])
        assert raw_error(connection) == (408, "slow")


@pytest.mark.parametrize("upgrade", [(), ("Connection: upgrade", "Upgrade: h2c")])
def test_no_tunnels(service, upgrade):
    with service.connect() as connection:
        lines = ["CONNECT localhost:80 HTTP/1.1", "Host: localhost:80", *upgrade, "", ""]
        connection.sendall("\r\n".join(lines).encode() + b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert raw_error(connection) == (400, "http")


def test_request_ids(service):
    assert service.client.get("/healthz", headers={"X-Request-ID": "my-id.1"}).headers["x-request-id"] == "my-id.1"
    for odd in ("two words", "x" * 101, '{"a"', ""):
        given = service.client.get("/healthz", headers={"X-Request-ID": odd}).headers["x-request-id"]
        assert given != odd and len(given) == 32


# the token


def test_the_token(bands):
    with serving(lambda tell: LocalPool(bands), token=TOKEN) as running:
        for wrong in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": TOKEN}):
            for path in ("/labels", "/metrics", "/openapi.json", "/nothing"):
                response = running.client.get(path, headers=wrong)
                assert error_of(response, 401, "token")["field"] == "Authorization"
                assert response.headers["www-authenticate"].startswith("Bearer")
            error_of(running.annotate({"text": TEXT}, headers=wrong), 401)
        twice = [("Authorization", f"Bearer {TOKEN}"), ("Authorization", "Bearer x")]
        error_of(running.client.get("/labels", headers=twice), 401)
        odd = httpx.Headers([(b"Authorization", "Bearer tökén".encode())])
        error_of(running.client.get("/labels", headers=odd), 401)
        for path in ("/healthz", "/readyz"):
            assert running.client.get(path).status_code == 200
        right = {"Authorization": f"bearer {TOKEN}"}
        assert running.annotate({"text": TEXT}, headers=right).status_code == 200
        assert running.client.get("/metrics", headers=right).status_code == 200
        document = running.client.get("/openapi.json", headers=right).json()
        assert document["paths"]["/annotate"]["post"]["security"] == [{"token": []}]
        assert "security" not in document["paths"]["/healthz"]["get"]
        assert not any(TOKEN in line for line in running.lines)


def test_where_the_token_comes_from(tmp_path):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    config = tmp_path / "serve.cfg"
    config.write_text('[server]\ntoken_file = "token"\n')
    assert load_token(load_settings(config), {}) == TOKEN
    assert load_token(load_settings(config), {"COMMUNIQUE_TOKEN": "other"}) == "other"
    assert load_token(load_settings(), {}) is None
    for bad in ("", "two words", "tökén", "a\nb"):
        with pytest.raises(ConfigError, match="COMMUNIQUE_TOKEN: a token has letters"):
            load_token(load_settings(), {"COMMUNIQUE_TOKEN": bad})
    (tmp_path / "token").write_text("\n")
    with pytest.raises(ConfigError, match="token: a token has letters"):
        load_token(load_settings(config), {})
    (tmp_path / "token").unlink()
    with pytest.raises(ConfigError, match="token_file can't be read: No such file"):
        load_token(load_settings(config), {})


def test_no_service_for_everybody_by_accident():
    for host, local in (("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)):
        settings = load_settings(None, {"server": {"host": host}})
        if local:
            assert load_token(settings, {}) is None
        else:
            with pytest.raises(ConfigError, match=r"others than this machine.*COMMUNIQUE_TOKEN.*open = true"):
                load_token(settings, {})
            assert load_token(load_settings(None, {"server": {"host": host, "open": True}}), {}) is None


# the names of the service

OURS = ["localhost", "localhost:8000", "LOCALHOST", "LocalHost.:1", "127.0.0.1", "127.0.0.1:8000", "127.8.9.1", "[::1]"]
OURS += ["[::1]:8000", "[0:0:0:0:0:0:0:1]", "localhost:"]
FOREIGN = ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example.", ""]
FOREIGN += [
    "localhost@evil.example",
    "evil.example#localhost",
    "localhost, evil.example",
    "0.0.0.0",
    "[::]",
    "[::1",
    "::1",
]
FOREIGN += [
    "127.0.0.1:x",
    "localhost:80:80",
    "[localhost]",
    "http://localhost",
    "10.0.0.1",
    "[::1]evil.example",
    "lócalhost",
]


def ask_as(running, *hosts, path="/labels", version="1.1"):
    """Status, headers and body of the answer to a request with these Host headers."""
    lines = [f"GET {path} HTTP/{version}", *(f"Host: {host}" for host in hosts), "Connection: close", "", ""]
    with running.connect() as connection:
        connection.sendall("\r\n".join(lines).encode())
        return read_all(connection)


def misdirected(answer, status=421, code="host"):
    assert answer[0] == status and answer[1]["content-type"] == "application/json"
    error = json.loads(answer[2])["error"]
    assert set(error) >= {"code", "message"} and error["code"] == code
    return error


@pytest.mark.parametrize("host", OURS)
def test_the_names_of_this_machine(service, host):
    assert ask_as(service, host)[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_other_names_could_be_a_web_page_s(service, host):
    """Its own name may lead to this machine, and the browser then takes it for the service's own page."""
    error = misdirected(ask_as(service, host))
    assert error["field"] == "Host" and "[server] hosts" in error["message"]


@given(st.from_regex(r"[a-z0-9.\-_~!$&'()*+,;=%:@\[\]]{1,40}", fullmatch=True))
def test_what_names_this_machine_is_told_exactly(value):
    ours = r"(?:localhost|127(?:\.(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)){3})\.?(?::\d*)?|\[[0:]*:[0:]*:0*1\](?::\d*)?"
    if is_named([(b"host", value.encode())], frozenset()):
        assert re.fullmatch(ours, value)


@given(st.ip_addresses(), st.sampled_from(["", ":", ":80", ":65535"]))
def test_addresses_name_this_machine_where_they_are_its_own(address, port):
    host = f"[{address}]" if address.version == 6 else str(address)
    headers = [(b"host", f"{host}{port}".encode())]
    assert is_named(headers, frozenset()) == address.is_loopback
    assert is_named(headers, frozenset([str(address)]))


def test_all_paths_are_asked_by_name(service):
    for path in (
        "/",
        "/page/page.js",
        "/annotate",
        "/labels",
        "/healthz",
        "/readyz",
        "/metrics",
        "/openapi.json",
        "/no",
    ):
        misdirected(ask_as(service, "evil.example", path=path))
    until(lambda: any(line.get("code") == "host" and line["status"] == 421 for line in service.requests()))


@pytest.mark.parametrize(
    "hosts", [(), ("localhost", "evil.example"), ("evil.example", "localhost"), 2 * ("localhost",)]
)
def test_a_request_has_one_host(service, hosts):
    error = misdirected(ask_as(service, *hosts), 400, "http")
    assert error["field"] == "Host" and error["message"] == f"send one Host header, not {len(hosts)}"
    assert ask_as(service, *hosts, version="1.0")[0] == (400 if hosts else 421)  # HTTP/1.0 needs none


@pytest.mark.parametrize(
    "token, server, strangers",
    [
        (TOKEN, {}, True),
        (None, {"open": True}, True),
        (None, {"host": "0.0.0.0", "open": True}, True),
        (TOKEN, {"hosts": ["Annotate.Example"]}, False),
        (None, {"hosts": ["annotate.example", "2001:DB8::1"]}, False),
        (None, {"open": True, "hosts": ["annotate.example"]}, False),
    ],
)
def test_who_may_call_the_service_by_which_name(token, server, strangers):
    names = load_names(load_settings(None, {"server": server}), token)

    def named(*hosts):
        return names is None or is_named([(b"host", host.encode()) for host in hosts], names)

    assert named("localhost:8000") and named("annotate.example.:80") and named("ANNOTATE.example")
    assert named("evil.example") == named("www.annotate.example") == named() == strangers
    assert named("[2001:db8:0::1]:80") == (strangers or "2001:DB8::1" in server["hosts"])


def test_names_are_asked_before_the_token(bands):
    with serving(lambda tell: LocalPool(bands), token=TOKEN, server={"hosts": ["annotate.example"]}) as running:
        misdirected(ask_as(running, "evil.example"))
        assert ask_as(running, "annotate.example")[0] == 401
        assert ask_as(running, "annotate.example", path="/healthz")[0] == 200
    with serving(lambda tell: LocalPool(bands), token=TOKEN) as running:
        assert ask_as(running, "evil.example", path="/healthz")[0] == 200
        assert ask_as(running, path="/healthz", version="1.0")[0] == 200


# batches


def ask_at_once(running, bodies, **kwargs):
    with ThreadPoolExecutor(len(bodies)) as threads:
        return list(threads.map(lambda body: running.annotate(body, **kwargs), bodies))


def test_requests_share_batches_and_get_their_own_answers(bands):
    texts = [f"{r.text} Tin Cats played song {i}." for i, r in enumerate(4 * band_releases())]
    alone = [next(annotate(bands, [Release(str(i), t)])).to_dict() for i, t in enumerate(texts)]
    with serving(lambda tell: LocalPool(bands)) as running:
        running.pool.gate.clear()
        with ThreadPoolExecutor(len(texts)) as threads:
            asked = [threads.submit(running.annotate, {"id": str(i), "text": t}) for i, t in enumerate(texts)]
            until(lambda: running.service.batcher.queued == len(texts) - 1)  # the first found an idle process
            running.pool.gate.set()
            answers = [future.result().json()["releases"] for future in asked]
        assert answers == [[release] for release in alone]
        assert [len(batch) for batch in running.pool.batches] == [1, len(texts) - 1]
        assert running.metric("communique_batch_releases_count") == 2
        assert running.metric("communique_batch_releases_sum") == len(texts)
        assert running.metric('communique_batch_releases_bucket{le="8.0"}') == 1
        assert running.metric("communique_queue_releases") == 0


def test_batches_are_bounded_and_requests_take_turns(bands):
    batch = {"words": 10, "releases": 4, "window_ms": 1}
    with serving(lambda tell: LocalPool(bands), batch=batch) as running:
        running.pool.gate.clear()
        long = {"releases": [{"id": f"a{i}", "text": "Red Owls"} for i in range(9)]}
        wordy = {"releases": [{"id": f"b{i}", "text": "Red Owls played " * 2} for i in range(3)]}
        huge = {"id": "c", "text": "Red Owls played " * 5}
        with ThreadPoolExecutor(3) as threads:
            asked = [threads.submit(running.annotate, long)]
            until(lambda: running.service.batcher.queued == 5)  # four are being read
            asked += [threads.submit(running.annotate, wordy)]
            until(lambda: running.service.batcher.queued == 8)
            asked += [threads.submit(running.annotate, huge)]
            until(lambda: running.service.batcher.queued == 9)
            running.pool.gate.set()
            assert [f.result().status_code for f in asked] == [200] * 3
        first, *rest = running.pool.batches
        assert first == ["a0", "a1", "a2", "a3"]
        assert rest == [["a4", "b0"], ["c"], ["a5", "b1", "a6"], ["b2", "a7", "a8"]]
        assert [r["id"] for r in asked[0].result().json()["releases"]] == [f"a{i}" for i in range(9)]


def test_an_idle_service_does_not_wait_for_more(bands):
    with serving(lambda tell: LocalPool(bands, 2), batch={"window_ms": 60_000}) as running:
        begin = time.monotonic()
        assert running.annotate({"text": TEXT}).status_code == 200
        assert time.monotonic() - begin < 20
        running.pool.gate.clear()  # while one is busy, the other waits for a batch to be filled
        with ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(running.annotate, {"text": TEXT, "id": str(i)}) for i in range(3)]
            until(lambda: running.service.batcher.queued == 2)
            assert len(running.pool.batches) == 2
            more = {"releases": [{"text": TEXT, "id": f"m{i}"} for i in range(31)]}
            asked.append(threads.submit(running.annotate, more))
            until(lambda: len(running.pool.batches) == 3)  # full
            running.pool.gate.set()
            assert [f.result().status_code for f in asked] == [200] * 4
        assert len(running.pool.batches[2]) == 32


def test_the_window_ends(bands):
    with serving(lambda tell: LocalPool(bands, 2), batch={"window_ms": 200}) as running:
        running.pool.gate.clear()
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(running.annotate, {"text": TEXT}) for _ in range(2)]
            until(lambda: len(running.pool.batches) == 2)
            running.pool.gate.set()
            assert [f.result().status_code for f in asked] == [200] * 2


# clients that go, wait, dawdle


def test_a_client_that_hangs_up_is_not_worked_for(bands):
    with serving(lambda tell: LocalPool(bands)) as running:
        running.pool.gate.clear()
        body = json.dumps({"releases": [{"text": TEXT, "id": f"gone{i}"} for i in range(40)]}).encode()
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(running.annotate, {"text": TEXT, "id": "first"})
            until(lambda: running.pool.batches)
            with running.connect() as connection:
                connection.sendall(head(len(body)) + body)
                until(lambda: running.service.batcher.queued == 40)
                other = threads.submit(running.annotate, {"text": TEXT, "id": "other"})
                until(lambda: running.service.batcher.queued == 41)
            until(lambda: running.service.batcher.queued == 1)
            running.pool.gate.set()
            assert [f.result().json()["releases"][0]["id"] for f in (first, other)] == ["first", "other"]
        assert running.pool.batches == [["first"], ["other"]]
        until(lambda: any(line["status"] == 499 for line in running.requests()))


def test_a_client_that_hangs_up_in_a_batch_costs_no_other(bands):
    with serving(lambda tell: LocalPool(bands)) as running:
        running.pool.gate.clear()
        body = json.dumps({"text": TEXT, "id": "gone"}).encode()
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(running.annotate, {"text": TEXT, "id": "first"})
            until(lambda: running.pool.batches)
            connection = running.connect()
            connection.sendall(head(len(body)) + body)
            other = threads.submit(running.annotate, {"text": TEXT, "id": "other"})
            until(lambda: running.service.batcher.queued == 2)
            running.pool.gate.set()
            running.pool.gate.clear()
            until(lambda: len(running.pool.batches) == 2)
            connection.close()
            until(lambda: any(line["status"] == 499 for line in running.requests()))
            running.pool.gate.set()
            assert [f.result().json()["releases"][0]["id"] for f in (first, other)] == ["first", "other"]
        assert sorted(running.pool.batches[1]) == ["gone", "other"]
        assert running.service.batcher.idle


def test_a_full_queue(bands):
    limits = {"queue": 4, "releases": 4, "retry_seconds": 7}
    with serving(lambda tell: LocalPool(bands), limits=limits) as running:
        running.pool.gate.clear()
        with ThreadPoolExecutor(5) as threads:
            asked = [threads.submit(running.annotate, {"text": TEXT}) for _ in range(4)]
            until(lambda: running.service.batcher.queued == 3)
            response = running.annotate({"releases": [{"text": TEXT}, {"text": TEXT}]})
            error_of(response, 503, "busy")
            assert response.headers["retry-after"] == "7"
            asked.append(threads.submit(running.annotate, {"text": TEXT}))
            until(lambda: running.service.batcher.queued == 4)
            running.pool.gate.set()
            assert [f.result().status_code for f in asked] == [200] * 5


def test_a_request_over_its_time(bands):
    limits = {"request_seconds": 0.5, "release_seconds": 0.5}
    with serving(lambda tell: LocalPool(bands), limits=limits) as running:
        running.pool.gate.clear()
        first, second = ask_at_once(running, [{"text": TEXT}, {"text": TEXT}])
        error_of(first, 504, "timeout")
        error_of(second, 504, "timeout")
        running.pool.gate.set()
        until(lambda: running.annotate({"text": TEXT}).status_code == 200)
        assert running.service.batcher.idle


SLOW = {"header_seconds": 1.0, "body_seconds": 1.5, "write_seconds": 1.0, "header_bytes": 4000, "connections": 8}


@pytest.fixture(scope="module")
def strict(bands):
    with serving(lambda tell: LocalPool(bands), limits=SLOW) as running:
        yield running


def test_a_blank_line_does_not_keep_an_idle_connection(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"\r\n")
        connection.settimeout(10)
        while connection.recv(65536):  # an answer that says why, or none; then the end
            pass


def test_headers_are_counted_when_they_come_in_one_piece(strict):
    with strict.connect() as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"x" * 5000 + b"\r\n\r\n")
        assert raw_error(connection) == (431, "header-length")


def test_a_body_is_not_counted_with_the_headers_behind_it(strict):
    with strict.connect() as connection:
        ended = head(20_000).replace(b"/annotate", b"/nothing") + b"x" * 20_000
        connection.sendall(ended + b"GET /healthz HTTP/1.1\r\nHost: loc")
        assert b" 404 " in connection.recv(1000)
        connection.sendall(b"alhost\r\nConnection: close\r\n\r\n")
        found = b"".join(iter(lambda: connection.recv(65536), b""))
        assert b"HTTP/1.1 200" in found and b" 431 " not in found


def test_settings_are_finite(tmp_path):
    from communique.serve.settings import load_settings

    (tmp_path / "serve.cfg").write_text("[server]\ngrace_seconds = 1e400\n")
    with pytest.raises(ConfigError, match="grace_seconds"):
        load_settings(tmp_path / "serve.cfg", {})


def trickle(connection, data, seconds=0.1):
    """Send byte by byte, until the other side has had enough."""
    try:
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(seconds)
    except OSError:
        pass


def test_slow_bodies_are_cut_and_hold_nobody_up(strict):
    slow = [strict.connect() for _ in range(4)]
    begin = time.monotonic()
    senders = []
    for connection in slow:
        connection.sendall(head(1000))
        senders.append(threading.Thread(target=trickle, args=(connection, b"x" * 50)))
        senders[-1].start()
    for _ in range(3):
        asked = time.monotonic()
        assert strict.annotate({"text": TEXT}).status_code == 200
        assert time.monotonic() - asked < 1.0
    for connection in slow:
        assert raw_error(connection) == (408, "slow")
        assert 1.3 < time.monotonic() - begin < 5
        connection.close()
    for sender in senders:
        sender.join()


def test_slow_headers_are_cut(strict):
    with strict.connect() as connection:
        sender = threading.Thread(target=trickle, args=(connection, head(10)))
        sender.start()
        assert raw_error(connection) == (408, "slow")
        sender.join()
    with strict.connect() as connection:  # one that says nothing is told nothing
        assert connection.recv(100) == b""
    with strict.connect() as connection:  # the second request of a connection
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b" 200 " in connection.recv(1000)
        connection.sendall(b"GET /hea")
        assert raw_error(connection) == (408, "slow")


def test_a_slow_body_that_nobody_reads_is_cut_too(strict):
    with strict.connect() as connection:
        connection.sendall(head(1000).replace(b"/annotate", b"/nothing"))
        assert b" 404 " in connection.recv(1000)
        begin = time.monotonic()
        trickle(connection, b"x" * 40)
        assert time.monotonic() - begin < 3.5


@pytest.mark.parametrize("extra", [["X: " + "x" * 5000], [f"X-{i}: {'x' * 100}" for i in range(80)]])
def test_headers_too_long(strict, extra):
    with strict.connect() as connection:
        for byte in head(10, *extra)[:-4]:
            if _answered(connection):
                break
            connection.sendall(bytes([byte]))
        assert raw_error(connection) == (431, "header-length")


def _answered(connection):
    connection.setblocking(False)
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    finally:
        connection.settimeout(20)


def test_too_many_connections(strict):
    strict.client.close()
    strict.client = httpx.Client(base_url=strict.url, timeout=60)
    until(lambda: not strict.server.server_state.connections)
    held = [strict.connect() for _ in range(8)]
    until(lambda: len(strict.server.server_state.connections) == 8)
    response = strict.client.get("/healthz")
    error_of(response, 503, "connections")
    assert response.headers["retry-after"]
    for connection in held:
        connection.close()
    until(lambda: strict.client.get("/healthz").status_code == 200)


def test_a_client_that_does_not_take_its_answer(bands):
    limits = {**SLOW, "header_bytes": 32768, "body_seconds": 60.0, "request_seconds": 60.0, "body_bytes": 10_000_000}
    with serving(lambda tell: LocalPool(bands), limits=limits) as running:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(running.address)
            body = json.dumps({"text": TEXT, "k": "x" * 8_000_000}).encode()
            connection.sendall(head(len(body)) + body)
            until(lambda: running.requests())
            assert running.requests()[0]["status"] == 200
            until(lambda: not running.server.server_state.connections, 10)
        assert running.annotate({"text": TEXT}).status_code == 200


# the log


def test_the_log_has_a_line_a_request_and_no_words(service):
    secret = "Zanzibar-Quokka"
    service.annotate({"id": secret, "title": secret, "text": f"{secret} {TEXT}"}, headers={"X-Request-ID": "logged"})
    service.annotate({"text": f"<p>{secret}</p>"})
    service.post(f'{{"text": "{secret}"')
    service.client.get(
        f"/{secret}?q={secret}", headers={"Authorization": f"Bearer {secret}", "X-Request-ID": f"{secret} x"}
    )
    service.client.request(secret.upper().replace("-", ""), "/healthz")
    until(lambda: any(line["id"] == "logged" for line in service.requests()))
    line = next(line for line in service.requests() if line["id"] == "logged")
    assert set(line) == {"time", "level", "event", "id", "method", "path", "status", "ms", "releases", "words"}
    assert (line["method"], line["path"], line["status"]) == ("POST", "/annotate", 200)
    assert (line["releases"], line["words"]) == (1, len(TEXT.split()) + 1)
    assert line["time"].endswith("+00:00") and line["ms"] > 0
    assert secret.lower() not in "".join(service.lines).lower().replace('"', "")
    assert any(line.get("code") == "html" for line in service.requests())
    assert secret.lower() not in service.service.metrics.text().decode().lower()


def test_errors_of_our_own_are_answered_and_logged_without_words(bands, monkeypatch):
    with serving(lambda tell: LocalPool(bands)) as running:
        monkeypatch.setattr(running.service, "take", lambda releases, minimum: 1 / 0 or releases)
        error_of(running.annotate({"text": TEXT}), 500, "internal")
        until(lambda: running.requests())
        line = next(json.loads(line) for line in running.lines if '"error"' in line)
        assert line["error"] == "ZeroDivisionError" and line["frames"] and "division" not in str(line)
        assert running.requests()[-1]["status"] == 500


# settings


def test_the_defaults_say_what_they_are():
    text = DEFAULTS.read_text("utf8")
    lines = text.splitlines()
    assert all(
        above.startswith("#") or "=" in above for above, line in zip(lines, lines[1:]) if "=" in line and line[0] != "#"
    )
    assert load_settings().limits.releases == 100


BAD_CONFIGS = [
    ("[limits]\nrelease = 3\n", r"\[limits\] release: no such key; there are: body_bytes"),
    ("[limit]\nreleases = 3\n", r"\[limit\]: no such section; there are: batch, limits"),
    ("[limits]\nreleases = 0\n", r"\[limits\] releases: must be greater than or equal to 1, not 0"),
    ("[limits]\nreleases = many\n", r"\[limits\] releases: must be a valid integer, not 'many'"),
    ("[limits]\nreleases = 2000\n", r"\[limits\] queue: it must hold a whole request, 2000 releases"),
    ("[limits]\nrelease_seconds = 90\n", r"\[limits\] request_seconds: a request needs the time of one release, 90"),
    ("[server]\nport = 99999\n", r"\[server\] port: must be less than or equal to 65535"),
    ("[server]\nopen = yes please\n", r"\[server\] open: must be a valid boolean"),
    ("[server]\nhosts = annotate.example\n", r"\[server\] hosts: must be a valid list"),
    ('[server]\nhosts = ["a", "http://b"]\n', r"\[server\] hosts: write names without scheme, .*, not 'http://b'"),
    ('[server]\nhosts = ["b:80"]\n', r"\[server\] hosts: .* not 'b:80'"),
    ('[server]\nhosts = [""]\n', r"\[server\] hosts: .* not ''"),
    ('[server]\nhosts = ["*"]\n', r"\[server\] hosts: .* not '\*'"),
    ("[workers]\ncount = 0\n", r"\[workers\] count"),
    ("releases = 3\n", "no config file"),
    ("[limits\n", "no config file"),
]


@pytest.mark.parametrize("text, message", BAD_CONFIGS)
def test_config_errors_name_file_section_and_key(tmp_path, text, message):
    path = tmp_path / "mine.cfg"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as error:
        load_settings(path)
    assert str(error.value).startswith(str(path))


def test_options_go_before_the_config(tmp_path):
    path = tmp_path / "mine.cfg"
    path.write_text('[model]\nname = "small"\n[server]\nport = 1\nhost = "::1"\n')
    settings = load_settings(path, {"server": {"port": 2, "host": None}, "workers": {"count": 3}})
    assert (settings.model.name, settings.server.port, settings.server.host) == ("small", 2, "::1")
    assert settings.workers.count == 3 and settings.limits == load_settings().limits
    with pytest.raises(ConfigError, match="No such file"):
        load_settings(tmp_path / "none.cfg")


def test_what_can_not_be_started_says_why(tmp_path):
    run = CliRunner().invoke
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(cli, ["serve", "--port", port])
        assert (
            result.exit_code == 2 and f"can't listen at 127.0.0.1, port {port}: Address already in use" in result.output
        )
    result = run(cli, ["serve", "--host", "0.0.0.0"], env={"COMMUNIQUE_TOKEN": None})
    assert result.exit_code == 2 and "COMMUNIQUE_TOKEN" in result.output
    result = run(cli, ["serve", "--workers", "0"])
    assert result.exit_code == 2 and "[workers] count" in result.output
    result = run(cli, ["serve", "--config", str(tmp_path / "none.cfg")])
    assert result.exit_code == 2 and "none.cfg" in result.output


# with real processes


def test_a_killed_process_costs_no_answer(folder):
    def new_pool(tell):
        return WorkerPool(Poisoned(str(folder)), 2, release_seconds=20.0, start_seconds=120.0, on_event=tell)

    with serving(new_pool) as running, ThreadPoolExecutor(8) as threads:
        killed = running.pool.pids[0]
        asked = [threads.submit(running.annotate, {"text": f"{TEXT} PAUSE", "id": str(i)}) for i in range(4)]
        time.sleep(0.4)
        os.kill(killed, signal.SIGKILL)
        asked += [threads.submit(running.annotate, {"text": TEXT, "id": str(i)}) for i in range(4, 8)]
        answers = [future.result().json()["releases"][0] for future in asked]
        assert [release["id"] for release in answers] == [str(i) for i in range(8)]
        assert all("error" not in release for release in answers)
        assert running.metric("communique_worker_restarts_total") == 1
        until(lambda: running.pool.alive == 2)
        poisoned = running.annotate({"releases": [{"text": TEXT}, {"text": "Red Owls CRASH"}]}).json()["releases"]
        assert poisoned[1]["error"]["code"] == "crashed" and poisoned[0]["entities"]
        assert running.client.get("/readyz").status_code == 200


def test_the_command_ends_well_under_load(folder, tmp_path):
    config = tmp_path / "serve.cfg"
    config.write_text(f'[model]\nname = "{folder}"\n[workers]\ncount = 2\n[server]\ndrain_seconds = 5.0\n')
    with command("--config", config) as (process, url, lines):
        ready(url)
        pids = [json.loads(line)["pid"] for line in lines if '"worker ready"' in line]
        assert len(pids) == 2
        statuses, ended = [], threading.Event()

        def ask(number):
            with httpx.Client(base_url=url, timeout=60) as client:
                body = {"releases": [{"text": TEXT, "id": str(i)} for i in range(50)]}
                while not ended.is_set():
                    try:
                        statuses.append(client.post("/annotate", json=body).status_code)
                    except httpx.ConnectError:
                        return
                    except httpx.TransportError as error:  # an idle connection may be closed under it
                        statuses.append(type(error).__name__)

        clients = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
        for client in clients:
            client.start()
        until(lambda: statuses.count(200) > 6)
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        assert httpx.get(f"{url}/healthz").status_code == 200
        assert process.wait(60) == 0
        ended.set()
        for client in clients:
            client.join()
    assert set(statuses) <= {200, 503, "RemoteProtocolError", "ReadError"}
    requests = [json.loads(line) for line in lines if '"request"' in line]
    taken = [line for line in requests if line["path"] == "/annotate" and line["releases"]]
    assert taken and all(line["status"] == 200 for line in taken)
    assert statuses.count(200) == len(taken)
    assert json.loads(lines[-1])["event"] == "stopped" and json.loads(lines[-1])["unfinished"] == 0
    assert all(gone(pid) for pid in pids)


STOPPED_AT_ONCE = """
import os, signal, sys
from communique.serve import server
from communique.serve.settings import load_settings

def log(event, **fields):
    if event == "listening":
        os.kill(os.getpid(), signal.SIGTERM)

server.log = log
sys.exit(server.run(load_settings(None, {"server": {"port": 0}, "model": {"name": sys.argv[1]}})))
"""


def test_a_signal_counts_as_soon_as_the_service_says_that_it_listens(folder):
    result = subprocess.run([sys.executable, "-c", STOPPED_AT_ONCE, str(folder)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_service_without_processes_ends(bands):
    told = []
    with serving(lambda tell: told.append(tell) or LocalPool(bands)) as running:
        told[0](Event("broken", None, "the model is gone"))
        until(lambda: running.server.should_exit)
        assert running.service.failure == "the model is gone"
        with pytest.raises(ApiError, match="the service has failed"):
            running.service.pipeline()


def test_what_is_not_finished_in_the_grace_is_answered(bands):
    with serving(lambda tell: LocalPool(bands), server={"grace_seconds": 0.5}) as running:
        running.pool.gate.clear()
        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(running.annotate, {"text": TEXT})
            until(lambda: running.pool.batches)
            running.server.handle_exit(signal.SIGTERM, None)
            error_of(asked.result(), 503, "stopping")
        assert running.service.unfinished == 1


def test_the_command_says_why_a_model_can_not_be_loaded(tmp_path):
    result = CliRunner().invoke(cli, ["serve", "--port", "0", "--model", str(tmp_path / "none")])
    assert result.exit_code == 2 and "no model to load" in result.output
