"""What a scrape says, parsed by Prometheus' own parser."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from tests.servers import Server


class Scrape:
    """The samples of one scrape of a server's `/metrics`."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, *sample.labels.values()): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def __call__(self, name: str, *labels: str) -> float:
        """The value of one sample; the prefix `nitro_` is left out."""
        return self._values[(f"nitro_{name}", *labels)]


def scrape(server: Server) -> Scrape:
    answer = server.get("/metrics/")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return Scrape(answer.text)
