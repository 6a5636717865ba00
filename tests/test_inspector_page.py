"""The files of the inspector's page: they keep its policy, load nothing from elsewhere, show foreign text as text."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.servers import ROOT

PAGE = ROOT / "src/nitro/inspection/page"
INDEX = (PAGE / "index.html").read_text(encoding="utf-8")
MODULES = sorted(PAGE.glob("*.js"))
EACH_MODULE = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, which nothing is loaded from
MAX_BYTES = 45_000
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML"
)
CODE = re.compile(r"\beval\(|new Function\(|setTimeout\(\s*[\"'`]|setInterval\(\s*[\"'`]|javascript:")


class Elements(HTMLParser):
    """The start tags of a document, and what is written inside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inline = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.found and self.cdata_elem in ("script", "style"):  # for Python 3.15, title is such an element, too
            self.inline += data


PARSED = Elements(INDEX)


def test_the_page_has_no_script_style_or_handler_of_its_own_which_its_policy_would_refuse() -> None:
    assert not PARSED.inline.strip()
    for tag, attributes in PARSED.found:
        assert tag != "style"
        assert tag != "script" or attributes.get("src")
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)


def test_everything_that_the_page_loads_is_beside_it() -> None:
    loaded = [attributes.get("src") or attributes.get("href") for _, attributes in PARSED.found]
    files = [name for name in loaded if name and not name.startswith(("data:image/", "#"))]
    assert {"inspector.css", "page.js"} <= set(files)
    for name in files:
        assert (PAGE / name).is_file(), name


@pytest.mark.parametrize("file", sorted(PAGE.iterdir()), ids=lambda file: file.name)
def test_no_file_names_another_host(file: Path) -> None:
    text = file.read_text(encoding="utf-8").replace(NAMESPACE, "")
    assert not re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]+", text)
    assert "@import" not in text
    assert "url(" not in text


@EACH_MODULE
def test_no_module_writes_markup_or_code(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert not MARKUP.findall(text)
    assert not CODE.findall(text)
    assert 'setAttribute("style"' not in text


@EACH_MODULE
def test_each_module_imports_only_what_is_beside_it(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    for name in re.findall(r"(?:from|import\()\s*\"([^\"]+)\"", text):
        assert name.startswith("./")
        assert (PAGE / name).is_file(), name


def test_each_id_that_is_referred_to_is_there_once() -> None:
    ids = [str(attributes["id"]) for _, attributes in PARSED.found if "id" in attributes]
    assert len(ids) == len(set(ids))
    referring = ("aria-controls", "aria-labelledby", "aria-describedby")
    assert {attributes[name] for _, attributes in PARSED.found for name in referring if name in attributes} <= set(ids)
    sought = {
        name for module in MODULES for name in re.findall(r"\$\(\"#([a-z-]+)", module.read_text(encoding="utf-8"))
    }
    assert sought
    assert sought <= set(ids)


def test_the_page_is_small() -> None:
    assert sum(len(gzip.compress(file.read_bytes())) for file in PAGE.iterdir()) < MAX_BYTES
