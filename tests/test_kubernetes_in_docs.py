"""`docs/how-to/deploy-kubernetes.md`: its manifests against schemas and each other, and what its container does."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from nitro.metrics.families import FAMILIES
from nitro.testing.conformance import eventually
from tests.deploying import Host, replaced
from tests.documents import Document
from tests.servers import free_port
from tests.services import RedisServer
from tests.test_deployment_in_docs import APP, client

RUNS_BLOCKS = {"docs/how-to/deploy-kubernetes.md": ["python", "yaml"]}
PAGE = Document("docs/how-to/deploy-kubernetes.md")
OLDEST = "1.30"


@pytest.fixture(scope="module")
def manifests() -> dict[str, Any]:
    """By their kinds."""
    yaml = pytest.importorskip("yaml", reason="NO YAML: the manifests are not read")
    found = [yaml.safe_load(block.source) for block in PAGE.all("yaml")]
    assert len({each["kind"] for each in found}) == len(found)
    return {each["kind"]: each for each in found}


def test_kubernetes_takes_the_manifests(manifests: dict[str, Any]) -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="NO SCHEMAS OF KUBERNETES: pip install --group lint")
    foreign = {"HTTPRoute"}  # it is of an extension; it was compared with the one of Gateway API by hand
    for kind in manifests.keys() - foreign:
        for version in (OLDEST, kubernetes.latest_version()):
            kubernetes.validate(manifests[kind], version, strict=True)
    misspelt = {**manifests["Service"], "speck": {}}
    with pytest.raises(kubernetes.ValidationError, match="speck"):
        kubernetes.validate(misspelt, OLDEST, strict=True)


def test_the_manifests_fit_together(manifests: dict[str, Any]) -> None:
    deployment, service = manifests["Deployment"]["spec"], manifests["Service"]["spec"]
    pod = deployment["template"]
    (container,) = pod["spec"]["containers"]
    labels = pod["metadata"]["labels"]
    selectors = [deployment["selector"], manifests["PodDisruptionBudget"]["spec"]["selector"]]
    assert [each["matchLabels"] for each in selectors] == [service["selector"]] * 2 == [labels] * 2
    assert {each["metadata"]["name"] for each in manifests.values()} == {"app"}
    (port,), (inside,) = service["ports"], container["ports"]
    assert port["targetPort"] == inside["name"]
    ports = [container[probe]["httpGet"]["port"] for probe in ("readinessProbe", "livenessProbe")]
    assert [str(each) for each in (*ports, inside["containerPort"])] == [option(container["command"], "--port")] * 3

    rules = manifests["HTTPRoute"]["spec"]["rules"]
    (ingress,) = manifests["Ingress"]["spec"]["rules"]
    paths = [each["path"]["value"] for rule in rules for each in rule["matches"]]
    assert paths == [each["path"] for each in ingress["http"]["paths"]]
    assert {each["backend"]["service"]["port"]["name"] for each in ingress["http"]["paths"]} == {port["name"]}
    assert {(each["name"], each["port"]) for rule in rules for each in rule["backendRefs"]} == {("app", port["port"])}
    assert [each for each in paths if f'"{each}' not in APP] == []

    autoscaler = manifests["HorizontalPodAutoscaler"]["spec"]
    assert autoscaler["scaleTargetRef"]["name"] == manifests["Deployment"]["metadata"]["name"]
    assert "replicas" not in deployment, "each kubectl apply would undo what the autoscaler did"
    by_connections, _ = autoscaler["metrics"]
    assert by_connections["pods"]["metric"]["name"] in {family.name for family in FAMILIES}
    slept = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert (
        slept + int(option(container["command"], "--timeout-graceful-shutdown"))
        < pod["spec"]["terminationGracePeriodSeconds"]
    )
    assert int(option(container["command"], "--timeout-keep-alive")) > 3600, "Envoy keeps idle connections for an hour"


def test_the_probes_are_those_of_the_page_on_health(manifests: dict[str, Any]) -> None:
    yaml = pytest.importorskip("yaml", reason="NO YAML: the manifests are not read")
    (text,) = [block.source for block in Document("docs/how-to/operating.md").all("yaml") if "Probe:" in block.source]
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    for name, probe in yaml.safe_load(text).items():
        assert container[name] == probe
        assert probe["failureThreshold"] > 1 and probe["timeoutSeconds"] > 2, "one busy second takes no pod out"


def test_a_stranger_does_not_say_who_the_client_is(manifests: dict[str, Any]) -> None:
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    clients = []

    async def app(scope: Any, _: Any, __: Any) -> None:
        clients.append(scope["client"][0])

    wrapped: Any = ProxyHeadersMiddleware(app, option(container["command"], "--forwarded-allow-ips"))
    for sent in (b"203.0.113.9", b"198.51.100.1, 203.0.113.9", b"198.51.100.1, 203.0.113.9, 10.244.3.2"):
        headers = [(b"x-forwarded-for", sent)]
        asyncio.run(wrapped({"type": "http", "client": ("10.244.1.7", 4711), "headers": headers}, None, None))
    assert clients == ["203.0.113.9"] * 3


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def test_a_pod_answers_its_probes_and_ends_its_streams_when_it_is_told_to(
    manifests: dict[str, Any], tmp_path: Path
) -> None:
    (container,) = manifests["Deployment"]["spec"]["template"]["spec"]["containers"]
    (tmp_path / "pod").mkdir()
    (tmp_path / "pod/app.py").write_text(APP + PAGE.the("python").source)
    port = str(free_port())
    command = ["127.0.0.1" if each == "0.0.0.0" else each for each in container["command"]]
    with RedisServer(tmp_path / "redis") as redis:
        environment = {each["name"]: each.get("value", redis.url) for each in container["env"]}
        assert "NITRO_BROKER_URL" in environment
        line = replaced(" ".join(command), {"--port 8000": f"--port {port}"})
        with Host(tmp_path / "pod", line, environment) as pod, client(f"http://127.0.0.1:{port}") as http:
            for probe in ("readinessProbe", "livenessProbe"):
                path = container[probe]["httpGet"]["path"]
                eventually(partial(answers, http, path), f"{path} is 200", 20)
            with http.stream("GET", "/events") as stream:
                assert "\nnitro_clients 1.0\n" in http.get("/metrics/").text
                pod.stop()
                told = [line for line in stream.iter_lines() if line.startswith("retry:")]
            assert len(told) == 2, "at its beginning, and at its end: when to come back"


def answers(http: httpx.Client, path: str) -> bool:
    try:
        return http.get(path).status_code == 200
    except httpx.TransportError:
        return False
