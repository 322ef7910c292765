"""The service's description of itself: true, whatever is asked, and good enough to generate clients from."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

for package in ("fastapi", "uvicorn", "httptools", "prometheus_client", "httpx"):
    pytest.importorskip(package, reason=f"{package} comes with the extra [serve]")

from serving import LocalPool, serving

HERE = Path(__file__).parent
TOKEN = "a-token-for-schemathesis"


@pytest.fixture(scope="module", params=[None, TOKEN], ids=["open", "token"])
def service(request, bands):
    with serving(lambda tell: LocalPool(bands), token=request.param, limits={"releases": 20}) as running:
        running.headers = {"Authorization": f"Bearer {request.param}"} if request.param else {}
        yield running


@pytest.fixture(scope="module")
def document(service):
    return service.client.get("/openapi.json", headers=service.headers).json()


def test_schemathesis_finds_nothing(service, tmp_path):
    """All its checks, with data that the description allows and data that it forbids."""
    pytest.importorskip("schemathesis")
    script = Path(sys.executable).with_name("schemathesis")
    options = ["--checks", "all", "--max-examples", "60", "--continue-on-failure", "--seed", "0"]
    for name, value in service.headers.items():
        options += ["--header", f"{name}: {value}"]
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "unique_ids", "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
    args = [str(script), "run", f"{service.url}/openapi.json", *options]
    result = subprocess.run(args, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert "No issues found" in result.stdout
    statuses = {(line["path"], line["status"]) for line in service.requests()}
    assert {("/annotate", 200), ("/annotate", 422), ("/annotate", 405), ("/labels", 200)} <= statuses
    assert (("/annotate", 401) in statuses) == bool(service.headers)


def test_the_limits_of_this_service_are_in_it(document):
    schemas = document["components"]["schemas"]
    assert schemas["ReleasesToAnnotate"]["properties"]["releases"]["maxItems"] == 20
    assert schemas["ReleaseToAnnotate"]["properties"]["text"]["maxLength"] == 100_000


def test_each_operation_has_a_name_examples_and_its_errors(document):
    operations = {path: op for path, item in document["paths"].items() for op in item.values()}
    assert {op["operationId"] for op in operations.values()} == {"annotate", "labels", "health", "readiness", "metrics"}
    for op in operations.values():
        assert op["summary"] and op["tags"]
        assert "421" in op["responses"]
        for status, response in op["responses"].items():
            assert response["description"]
            if int(status) >= 400:
                content = response["content"]["application/json"]
                assert content["schema"] == {"$ref": "#/components/schemas/Error"}
                assert content["example"]["error"]["code"]
    annotate = operations["/annotate"]
    assert set(annotate["responses"]) == {"200", "400", "401", "408", "413", "415", "421", "422", "500", "503", "504"}
    assert set(annotate["requestBody"]["content"]["application/json"]["examples"]) == {"one", "several"}


def test_what_may_be_absent_is_not_null(document, service):
    schemas = document["components"]["schemas"]
    for name, schema in schemas.items():
        if not name.endswith("ToAnnotate"):
            assert '"null"' not in str(schema).replace("'", '"')
    assert schemas["AnnotatedRelease"]["properties"]["title"] == {"type": "string"}
    assert "facts" not in schemas["AnnotatedRelease"]["required"]


def test_what_was_annotated_is_told_from_what_failed(document):
    """By a key that one has and the other can't have: so the types of generated clients can tell them apart."""
    schemas = document["components"]["schemas"]
    assert schemas["AnnotatedRelease"]["properties"]["error"] is False
    assert "error" in schemas["FailedRelease"]["required"]


def test_its_examples_work(document, service):
    body = document["paths"]["/annotate"]["post"]["requestBody"]["content"]["application/json"]
    for example in body["examples"].values():
        response = service.annotate(example["value"], headers=service.headers)
        assert response.status_code == 200 and response.json()["releases"][0]["id"] == "2026-05-13-shipping"
