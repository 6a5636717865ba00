"""`docs/how-to/operating.md` as it stands there, and its dashboard and alerts, against what is exposed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.core import Metric

import nitro
from nitro.metrics.families import FAMILIES
from tests.documents import ROOT, Document
from tests.servers import Server, free_port, wait_for

PAGE = Document("docs/how-to/operating.md")
RUNS_BLOCKS = {"docs/how-to/operating.md": ["python", "yaml", "Several workers: sh"]}
TEXT = PAGE.text
FIRST, OWN_REGISTRY = PAGE.all("python")
SCRAPING, PROBES = (block.source for block in PAGE.all("yaml"))
WORKERS = PAGE.the("sh", "Several workers").source
ALERTS = ROOT / "deploy/prometheus/nitro-alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy/grafana/nitro.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel["targets"]]


def scraped() -> Iterator[Metric]:
    registry = CollectorRegistry()
    registry.register(nitro.metrics.NitroCollector())
    return iter(list(registry.collect()))


def names_in(text: str) -> set[str]:
    return set(re.findall(r"\bnitro_[a-z_]+[a-z]\b", text))


def promtool(*arguments: str, directory: Path) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("NO PROMTOOL: rules and dashboard are not checked by Prometheus; Debian's prometheus has it")
    ended = subprocess.run([program, *arguments], cwd=directory, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.usefixtures("hub")
def test_every_metric_is_in_the_table_with_its_label_and_type() -> None:
    rows = re.findall(r"^\| `(nitro_\w+)(?:\{(\w+)\})?` \| (\w+) \|", TEXT, re.MULTILINE)
    suffix = {"counter": "_total"}
    assert rows == [(family.name + suffix.get(family.kind, ""), family.label, family.kind) for family in FAMILIES]
    meanings = dict(re.findall(r"^\| `(nitro_\w+)\{\w+\}` \|(.*)$", TEXT, re.MULTILINE))
    for family in FAMILIES:
        for label in family.labels:
            assert f"`{label}`" in meanings[f"{family.name}_total"], (family.name, label)


@pytest.mark.usefixtures("hub")
def test_every_metric_that_the_alerts_and_the_dashboard_use_is_exposed() -> None:
    samples = [sample for metric in scraped() for sample in metric.samples]
    exposed = {sample.name for sample in samples}
    used = names_in(" ".join(EXPRESSIONS)) | names_in(re.sub(r"Nitro\w+", "", ALERTS.read_text()))
    assert used - exposed == set()
    labels = {(sample.name, *pair) for sample in samples for pair in sample.labels.items()}
    for name, label, values in re.findall(r"(nitro_\w+)\{(\w+)=~?\"([^\"$]+)\"", ALERTS.read_text()):
        for value in values.split("|"):
            assert (name, label, value) in labels
    for name, label, value in re.findall(r"(nitro_\w+)\{(\w+)!=\"([^\"$]+)\"", ALERTS.read_text()):
        assert (name, label, value) in labels


def test_the_dashboard_shows_every_metric_and_no_panel_covers_another() -> None:
    families = {family.name for family in FAMILIES}
    assert {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in names_in(" ".join(EXPRESSIONS))} == families
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for one, other in combinations([panel["gridPos"] for panel in DASHBOARD["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
    sources = {str(target["datasource"]["uid"]) for panel in PANELS for target in panel["targets"]}
    assert sources == {"${datasource}"}


def test_every_alert_is_explained_and_tested() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS.read_text())
    assert re.findall(r"^\| `(Nitro\w+)` \|", TEXT, re.MULTILINE) == alerts
    tests = ALERTS.with_name("nitro-alerts.test.yml").read_text()
    assert set(re.findall(r"alertname: (\w+)\n +exp_alerts:", tests)) == set(alerts)


def test_prometheus_takes_the_rules_and_they_fire_when_they_should(tmp_path: Path) -> None:
    assert "SUCCESS" in promtool("check", "rules", ALERTS.name, directory=ALERTS.parent)
    assert "SUCCESS" in promtool("test", "rules", "nitro-alerts.test.yml", directory=ALERTS.parent)


def test_prometheus_takes_the_configuration(tmp_path: Path) -> None:
    shutil.copy(ALERTS, tmp_path)
    (tmp_path / "prometheus.yml").write_text(SCRAPING)
    assert "SUCCESS" in promtool("check", "config", "prometheus.yml", directory=tmp_path)


def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expression.replace("$__rate_interval", "5m")}
        for n, expression in enumerate(EXPRESSIONS)
    ]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(EXPRESSIONS)} rules found" in promtool("check", "rules", "rules.yml", directory=tmp_path)


def test_the_application_is_scraped_and_probed_at_the_paths_that_are_shown(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FIRST.source)
    with Server("app:app", directory=tmp_path) as server:
        (scraping,) = re.findall(r"metrics_path: (\S+)", SCRAPING)
        assert "nitro_clients 0.0" in server.get(scraping).text
        probes = dict(re.findall(r"^(\w+):\n  httpGet: \{path: (\S+), port: 8000\}$", PROBES, re.MULTILINE))
        assert probes == {"readinessProbe": "/health/ready", "livenessProbe": "/health/live"}
        assert [server.get(path).status_code for path in probes.values()] == [200, 200]


@pytest.mark.usefixtures("hub")
def test_the_own_registry_has_nitros_metrics_beside_others() -> None:
    before = set(REGISTRY._collector_to_names)
    PAGE.run(OWN_REGISTRY, {"nitro": nitro})
    try:
        assert REGISTRY.get_sample_value("nitro_broker_up") == 1
        assert {"python_info", "nitro_clients"} <= {metric.name for metric in REGISTRY.collect()}
    finally:
        for collector in set(REGISTRY._collector_to_names) - before:
            REGISTRY.unregister(collector)


def test_several_workers_are_started_as_shown(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(FIRST.source)
    port = free_port()
    command = WORKERS.replace("\nuvicorn ", f"\nexec {sys.executable} -m uvicorn ")
    assert command != WORKERS
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": str(tmp_path), "UVICORN_PORT": str(port)}
    with (tmp_path / "output").open("w") as output:
        server = subprocess.Popen(
            ["bash", "-c", command], cwd=tmp_path, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            wait_for(lambda: _says(port, "nitro_broker_up 1.0"), seconds=30)
            assert list(tmp_path.glob("tmp.*/gauge_livesum_*.db"))
        finally:
            server.terminate()
            server.wait(20)
    assert "Traceback" not in (tmp_path / "output").read_text()


def _says(port: int, what: str) -> bool:
    try:
        return what in httpx.get(f"http://127.0.0.1:{port}/metrics/", trust_env=False, verify=False).text
    except httpx.TransportError:
        return False
