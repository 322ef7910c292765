"""The load test itself, on few clients and for seconds: it finds no errors, and its figures hang together."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

MISSING = [name for name in ("locust", "fastapi", "uvicorn", "httpx") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"{', '.join(MISSING)}: install the extra [dev]")
HERE = Path(__file__).parent


def test_ten_clients_for_ten_seconds(tmp_path):
    text = "Korea and Chile sign pact {}\nTrade Minister Baek Seo-yun met with Minister Ana Rojas in Santiago today."
    releases = [{"id": str(i), "text": text.format(i)} for i in range(20)]
    file = tmp_path / "releases.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in releases), "utf8")
    args = [str(file), "--model", "small", "--users", "10", "--seconds", "10", "--json"]
    result = subprocess.run(
        [sys.executable, str(HERE / "load.py"), *args], capture_output=True, text=True, env=dict(os.environ)
    )
    assert result.returncode == 0, result.stdout + result.stderr
    figures = json.loads(result.stdout)
    assert figures["errors"] == 0 and figures["requests"] > 20 and figures["users"] == 10
    assert 0 < figures["p50_ms"] <= figures["p95_ms"] <= figures["p99_ms"]
    assert figures["words_a_second"] > 0 and all(n > 0 for n in figures["offline_words_a_second"])
    assert figures["ratio"] > 0 and figures["releases_a_batch"] >= 1
