"""The renderer: makes a row of a live query HTML, by a function or a template, and checks that pages can find it."""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from nitro.errors import ConfigurationError, InvalidQuery
from nitro.live.model import LiveTable

__all__ = ["Html", "Rendered", "Renderer", "Template", "tag_of"]

_FIRST_TAG: Final = re.compile(r"""<([a-zA-Z][^\s/>]*)((?:[^>"']|"[^"]*"|'[^']*')*)>""")
_ATTRIBUTE: Final = re.compile(r"""([^\s"'>/=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+)))?""")


@runtime_checkable
class Html(Protocol):
    """Safe HTML of a template library, such as markupsafe's `Markup`."""

    def __html__(self) -> str: ...


@runtime_checkable
class Template(Protocol):
    """A template, such as `jinja2.Template`."""

    def render(self, **context: Any) -> str | Html:
        """Its text, with the row as `row` and under the topic of its class, and with the row's `key`."""


Rendered: TypeAlias = Callable[[Any], str | Html] | Template | str | os.PathLike[str]
"""A function of a row, a template, or the path of one of Jinja's."""


class Renderer:
    """Makes rows of a class HTML. Two of them are equal if they do so by the same function or template.

    Args:
        model: the class.
        rendered: a function of a row, a template, or the path of one of Jinja's.

    Attributes:
        identity: the function, the template or its path.
        fingerprint: what names it in every process.

    Raises:
        ConfigurationError: it is none of these, or there is no such template, or no Jinja to read it.
    """

    def __init__(self, model: LiveTable, rendered: Rendered) -> None:
        self._model = model
        self.fingerprint: str
        self.identity: Hashable = rendered if isinstance(rendered, Hashable) else id(rendered)
        if isinstance(rendered, str | os.PathLike):
            path = os.path.abspath(os.fspath(rendered))
            self.identity, self.fingerprint = path, os.fspath(rendered)
            self._render = self._by_template(_jinja(path))
        elif isinstance(rendered, Template) and not isinstance(rendered, type):
            self.fingerprint = f"{_name_of(type(rendered))} {getattr(rendered, 'name', None)}"
            self._render = self._by_template(rendered)
        elif callable(rendered):
            self.fingerprint = _name_of(rendered)
            self._render = lambda _, row: rendered(row)
        else:
            raise ConfigurationError(f"rendered is a function of a row or a template, not {rendered!r:.80}")

    def id_of(self, key: str) -> str:
        """The id of the element that shows the row with that key."""
        return f"{self._model.topic}-{key}"

    def html_of(self, key: str, values: Mapping[str, Any]) -> str:
        """The element of a row.

        Raises:
            InvalidQuery: it has not the id by which it is found in pages, or it is no HTML.
        """
        found = self._render(key, self._model.record_of(values))
        if not isinstance(found, str) and not isinstance(found, Html):
            raise InvalidQuery(f"{self.fingerprint} has to return HTML as text, and has returned {found!r:.80}")
        text = (found.__html__() if isinstance(found, Html) else found).strip()
        first = _FIRST_TAG.match(text)
        if first is None or _id_in(first[2]) != self.id_of(key):
            wanted = html.escape(self.id_of(key))
            raise InvalidQuery(
                f'{self.fingerprint} has to make a row one element with id="{wanted}", by which pages find it, and has '
                f"made it {text!r:.120}"
            )
        return text

    def _by_template(self, template: Template) -> Callable[[str, Any], str | Html]:
        topic = self._model.topic
        return lambda key, row: template.render(**{"row": row, "key": key, topic: row})

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Renderer)
            and self._model is other._model
            and type(self.identity) is type(other.identity)
            and self.identity == other.identity
        )

    def __hash__(self) -> int:
        return hash(self.identity)


def tag_of(element: str) -> str:
    """The name of an element's tag."""
    first = _FIRST_TAG.match(element)
    assert first is not None  # the renderer has looked
    return first[1].lower()


def _id_in(attributes: str) -> str | None:
    for each in _ATTRIBUTE.finditer(attributes):
        if each[1].lower() == "id":
            return html.unescape(each[2] or each[3] or each[4] or "")
    return None


def _name_of(function: Any) -> str:
    """The same for a function in every process; those of one name are told apart by their line."""
    code = getattr(function, "__code__", None)
    line = "" if code is None else f":{code.co_firstlineno}"
    kind = function if hasattr(function, "__qualname__") else type(function)
    return f"{kind.__module__}.{kind.__qualname__}{line}"


@cache
def _jinja(path: str) -> Template:
    try:
        from jinja2 import Environment, FileSystemLoader, TemplateNotFound
    except ImportError as error:
        raise ConfigurationError(f"{path} is a template of Jinja: pip install jinja2, or give a function") from error
    file = Path(path)
    # Not read again when it changes: a file must not be asked for in an event loop each time that a row is shown
    environment = Environment(loader=FileSystemLoader(file.parent), autoescape=True, auto_reload=False)
    try:
        template: Template = environment.get_template(file.name)
    except TemplateNotFound as error:
        raise ConfigurationError(f"rendered is a function of a row or the path of a template: no {path}") from error
    return template
