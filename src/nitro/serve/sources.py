"""Where the hub's configuration comes from: a TOML file, and environment variables, which win over it.

What is wrong is told with its place: file and line, or the variable.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from nitro.errors import ConfigurationError
from nitro.serve.configuration import Configuration, Inspector, Jwt, Publish, PublishKey, Stream, Ticket
from nitro.settings import service_links

__all__ = ["PREFIX", "line_of", "read_configuration"]

PREFIX: Final = "NITRO_SERVE_"
_CONFIG: Final = f"{PREFIX}CONFIG"
"""The variable with the file's path."""
_SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "stream": Stream,
    "ticket": Ticket,
    "jwt": Jwt,
    "inspector": Inspector,
}
_LISTS: Final = {("stream", "origins"), ("stream", "public"), ("jwt", "algorithms")}
"""What is several words in a variable, separated by commas or spaces."""
_MISSING: Final = {
    "secret": 'write secret = "…", made with secrets.token_urlsafe(32)',
    "password": 'write password = "…", made with secrets.token_urlsafe(16)',
    "algorithms": 'write whose signatures count, as in algorithms = ["RS256"]',
    "topics": 'write what it may publish, as in topics = ["order.*"]',
}

_Path = tuple[str, ...]


def read_configuration(path: str | None, environment: Mapping[str, str]) -> Configuration:
    """The configuration in that file and those variables.

    Raises:
        ConfigurationError: it is wrong; each fault in the text has its place and its remedy.
    """
    text = _text_of(path) if path else ""
    try:
        values: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        said = str(error).partition(" (at ")[0]
        raise ConfigurationError(f'{path}, line {line}: {said}; this is no TOML, as in key = "text"') from None
    if path:
        _from_directory(values, Path(path).absolute().parent)
    variables = _add_environment(values, environment)
    try:
        return Configuration.model_validate(values)
    except ValidationError as error:
        faults = [_told(each, path, text, variables) for each in error.errors(include_input=False, include_url=False)]
        raise ConfigurationError("; ".join(dict.fromkeys(faults))) from None


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{path} can't be read: {error.strerror}; --config takes the path of a TOML file"
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no text in UTF-8, from byte {error.start} on") from None


def _from_directory(values: dict[str, Any], directory: Path) -> None:
    """Paths of files in the file are relative to it."""
    jwt = values.get("jwt")
    for name in ("public_key_file", "jwks_file"):
        if isinstance(jwt, dict) and isinstance(jwt.get(name), str):
            jwt[name] = str(directory / jwt[name])


def _add_environment(values: dict[str, Any], environment: Mapping[str, str]) -> dict[_Path, str]:
    """Put the variables into `values`; returns the name of each by its key.

    Raises:
        ConfigurationError: a variable is none of the hub's.
    """
    places = _places(values)
    found: dict[_Path, str] = {}
    own = {name for name in environment if name.startswith(PREFIX)}
    for name in sorted(own - service_links(own)):
        if name == _CONFIG:
            continue
        if name not in places:
            known = [each.removeprefix(PREFIX) for each in (*places, _CONFIG)]
            near = get_close_matches(name.removeprefix(PREFIX), known, 1)
            meant = f"is {PREFIX}{near[0]} meant?" if near else f"there are {', '.join(places)}"
            raise ConfigurationError(f"{name} is no setting of the hub's; {meant}")
        place, table = places[name], values
        for step in place[:-1]:
            table = table.setdefault(step, {})
            if not isinstance(table, dict):
                break  # the file has something else there, and is told so
        else:
            value = environment[name]
            table[place[-1]] = [each for each in re.split(r"[,\s]+", value) if each] if place in _LISTS else value
            found[place] = name
    return found


def _places(values: dict[str, Any]) -> dict[str, _Path]:
    """The variables that there are, with the key that each is."""
    keys: list[_Path] = [("metrics",)]
    keys += [(section, field) for section, model in _SECTIONS.items() for field in model.model_fields]
    publish = values.get("publish")
    named = publish.get("keys") if isinstance(publish, dict) else None
    keys += [("publish", "keys", name, "secret") for name in (named if isinstance(named, dict) else ())]
    return {PREFIX + re.sub(r"\W", "_", "_".join(key), flags=re.ASCII).upper(): key for key in keys}


def _told(error: Any, path: str | None, text: str, variables: dict[_Path, str]) -> str:
    """One fault, with its place."""
    place: _Path = tuple(step for step in error["loc"] if isinstance(step, str))
    key = ".".join(place)
    if place in variables:
        key = where = variables[place]
    elif path and (line := line_of(text, place)):
        where = f"{path}, line {line}"
    else:
        where = path or ""
    said = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        known = _known(place[:-1])
        near = get_close_matches(place[-1], known, 1)
        meant = f"is {near[0]} meant?" if near else f"known are {', '.join(known)}"
        said = f"there is no such key; {meant}"
    elif error["type"] == "missing":
        said = f"it is missing; {_MISSING.get(place[-1], 'write it')}"
        if not path:
            where = PREFIX + key.replace(".", "_").upper()
            key = where
    return ": ".join(dict.fromkeys(part for part in (where, key, said) if part))


def _known(place: _Path) -> list[str]:
    """The keys of a table."""
    if not place:
        return list(Configuration.model_fields)
    if place[0] == "publish":
        return list((PublishKey if len(place) > 2 else Publish).model_fields)
    return list(_SECTIONS[place[0]].model_fields)


def line_of(text: str, place: _Path) -> int | None:
    """The line of a key in a TOML text, or of the innermost table around it; None if there is neither.

    The beginnings of the text that are TOML end between its statements, and the first that has the key ends with it.
    """
    lines = [f"{line}\n" for line in text.split("\n")]  # TOML has no other ends of lines
    found: int | None = None
    begin, depth = 1, 0
    for number in range(1, len(lines) + 1):
        try:
            values: Any = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue
        reached = 0
        for step in place:
            if not isinstance(values, dict) or step not in values:
                break
            values = values[step]
            reached += 1
        if reached > depth:
            found, depth = begin, reached
        begin = number + 1
    return found
