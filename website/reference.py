"""What a docstring says, as Markdown: a line `::: nitro.Client` becomes its signature and what each part means.

The lines are mkdocstrings' own, which would make HTML of them; Markdown is read by GitHub, by programs and by the site
alike. griffe reads code and docstrings; nothing is imported.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import griffe

__all__ = ["MissingName", "Reference"]

_LINE: Final = re.compile(r"^::: (nitro[\w.]*)((?: -\w+)*)$", re.MULTILINE)
_LONGEST: Final = 88
_TITLES: Final = {"parameters": "Parameters", "attributes": "Attributes", "raises": "Raises", "warns": "Warns"}


class MissingName(LookupError):
    """A page names what isn't there, or says nothing."""


class Reference:
    """The documented names of a package.

    Args:
        source: the folder that contains `nitro`.
    """

    def __init__(self, source: Path) -> None:
        logging.getLogger("griffe").setLevel(logging.ERROR)  # it warns of parameters that share a line
        loader = griffe.GriffeLoader(
            search_paths=[source], docstring_parser=griffe.Parser.google, allow_inspection=False
        )
        self._package = loader.load("nitro")
        loader.resolve_aliases()

    def expanded(self, page: str) -> str:
        """`page` with every `::: name` replaced. Members that are nobody's business are left out by `::: name -member`,
        and how it is made by `-__init__`.

        Raises:
            MissingName: there is no such name, or it has no docstring.
        """

        def described(line: re.Match[str]) -> str:
            return "\n".join(self._described(line[1], set(line[2].replace(" -", " ").split())))

        return _LINE.sub(described, page)

    def _described(self, path: str, without: set[str]) -> Iterator[str]:
        found = self._find(path)
        yield from _entry(path, found, level=2, is_called="__init__" not in without)
        if not isinstance(found, griffe.Class):
            return
        unknown = without - found.members.keys()
        if unknown:
            raise MissingName(f"{path} has no {', '.join(sorted(unknown))}; take it out of the page")
        for name, member in found.members.items():
            is_shown = not name.startswith("_") and name not in without and not member.is_alias
            if is_shown and member.docstring and isinstance(member, griffe.Function | griffe.Attribute):
                if "instance-attribute" in member.labels and not member.is_function:
                    continue  # said under Attributes
                yield ""
                yield from _entry(f"{found.name}.{name}", member, level=3)

    def _find(self, path: str) -> griffe.Object:
        try:
            found = self._package[path.removeprefix("nitro.")]
        except KeyError as error:
            raise MissingName(f"there is no {path}; take it out of the page, or mend its name") from error
        final = found.final_target if isinstance(found, griffe.Alias) else found
        if final.docstring is None:
            raise MissingName(f"{path} has no docstring, so the reference has nothing to say of it")
        return final


def _entry(title: str, found: griffe.Object, level: int, *, is_called: bool = True) -> Iterator[str]:
    yield f"{'#' * level} `{title}`"
    yield ""
    for signature in _signatures(title, found) if is_called else ():
        yield f"```python\n{signature}\n```"
        yield ""
    assert found.docstring is not None
    for section in found.docstring.parse("google"):
        if section.kind is griffe.DocstringSectionKind.text:
            yield section.value.strip()
        elif section.kind is griffe.DocstringSectionKind.returns or section.kind is griffe.DocstringSectionKind.yields:
            yield "**Returns:** " + " ".join(" ".join(each.description.split()) for each in section.value)
        elif section.kind.value in _TITLES:
            yield f"**{_TITLES[section.kind.value]}**"
            yield ""
            yield from _listed(section.value)
        else:
            raise MissingName(f"{found.path}: no page can show its section {section.kind.value!r} yet")
        yield ""


def _listed(parts: Iterable[griffe.DocstringElement]) -> Iterator[str]:
    for part in parts:
        names = getattr(part, "name", None) or str(part.annotation).strip("()")
        if names.endswith(","):  # of several that share a line, griffe takes the rest for a type
            names = f"{names} {part.annotation}"
        named = ", ".join(f"`{name}`" for name in names.split(", "))
        yield f"* {named}: {' '.join(part.description.split())}"


def _signatures(title: str, found: griffe.Object) -> Iterator[str]:
    if isinstance(found, griffe.Class):
        initial = found.all_members.get("__init__")
        if isinstance(initial, griffe.Function):
            yield _call(title, initial, is_method=True)
    elif isinstance(found, griffe.Function):
        is_method = found.parent is not None and found.parent.is_class
        if "property" in found.labels:
            yield f"{title}: {found.annotation}"
            return
        yield _call(title, found, is_method=is_method)
    elif isinstance(found, griffe.Attribute):
        if str(found.annotation) == "TypeAlias":
            yield f"{title} = {found.value}"
        else:
            yield f"{title}: {found.annotation}" if found.annotation is not None else title


def _call(title: str, function: griffe.Function, *, is_method: bool) -> str:
    """How it is called; one line for each parameter where that is longer than a line."""
    parts: list[str] = []
    kinds = griffe.ParameterKind
    last = None
    for parameter in list(function.parameters)[1 if is_method else 0 :]:
        kind = parameter.kind
        if last is kinds.positional_only and kind is not last:
            parts.append("/")
        if kind is kinds.keyword_only and last not in {kinds.keyword_only, kinds.var_positional}:
            parts.append("*")
        stars = {kinds.var_positional: "*", kinds.var_keyword: "**"}.get(kind, "")
        text = f"{stars}{parameter.name}"
        if parameter.annotation is not None:
            text += f": {parameter.annotation}"
        if parameter.default is not None and not stars:
            default = "..." if str(parameter.default).startswith("_") else parameter.default  # a sentinel of ours
            text += f" = {default}" if parameter.annotation is not None else f"={default}"
        parts.append(text)
        last = kind
    begin = _begin(function)
    result = f" -> {function.returns}" if function.returns is not None and function.name != "__init__" else ""
    line = f"{begin}{title}({', '.join(parts)}){result}"
    if len(line) <= _LONGEST:
        return line
    return "\n".join([f"{begin}{title}(", *(f"    {part}," for part in parts), f"){result}"])


def _begin(function: griffe.Function) -> str:
    """The words before a call."""
    decorators = {str(each.value).rpartition(".")[2] for each in function.decorators}
    if "asynccontextmanager" in decorators:
        return "async with "
    if "contextmanager" in decorators:
        return "with "
    is_iterated = str(function.returns).startswith(("AsyncGenerator", "AsyncIterator"))
    return "async for … in " if is_iterated else "await " if "async" in function.labels else ""
