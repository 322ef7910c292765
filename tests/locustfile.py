"""Clients of the service for tests/load.py: each sends one release after the other."""

import itertools
import json
import os
import random
from pathlib import Path

from locust import FastHttpUser, constant, task

RELEASES = [json.loads(line) for line in Path(os.environ["RELEASES"]).read_text("utf8").splitlines() if line.strip()]


class Client(FastHttpUser):
    wait_time = constant(0)

    def on_start(self):
        self.turn = itertools.cycle(random.sample(RELEASES, len(RELEASES)))

    @task
    def annotate(self):
        release = next(self.turn)
        with self.client.post("/annotate", json=release, catch_response=True) as response:
            found = response.json()["releases"][0] if response.status_code == 200 else {}
            if found.get("id") != str(release["id"]) or "error" in found:
                response.failure(f"status {response.status_code}: {response.text[:200]}")
