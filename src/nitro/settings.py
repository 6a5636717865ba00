"""Settings: the `NITRO_*` environment variables and their defaults, read once, at first use."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import lru_cache
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias, get_args

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from nitro.errors import ConfigurationError
from nitro.redaction import SecretUrl, without_secrets

__all__ = ["Overflow", "Settings", "get_settings", "misspelt", "service_links"]

Overflow: TypeAlias = Literal["disconnect", "drop_oldest", "latest"]
"""The policy for a client whose queue exceeds a limit."""

log: Final = logging.getLogger("nitro.settings")

_Number: TypeAlias = Annotated[float, Field(le=10**9)]
"""Finite, as timers and the brokers' servers need it; so many seconds are 31 years."""
_PREFIX: Final = "NITRO_"
_FORMER: Final = {"MAX_PUBLISH_QUEUE_BYTES": "MAX_OUTGOING_BYTES"}
"""Old names of variables, which still work, by the new ones."""
_OR_NONE: Final = ". For no limit write none"
_OF_THE_HUB: Final = "SERVE_"
"""The beginning of the names that `nitro serve` reads, and checks itself."""
_OF_BROKERS: Final = ("NATS_URL", "POSTGRES_URL", "REDIS_URL", "VALKEY_URL")
"""Names that other programs have for the address of such a server."""
_LIKENESS: Final = 0.66
"""Similarity from which a name counts as misspelt; `NITRO_*` variables of other programs are less similar."""
_SERVICE: Final = "SERVICE_HOST"
"""The end of the one variable that each Service of Kubernetes has."""
_LINK: Final = re.compile(r"SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?")


class Settings(BaseSettings):
    """Nitro's settings. Each field `x` is read from the environment variable `NITRO_X`.

    The text of a URL omits user, password and options; `broker_url.get_secret_value()` is the complete URL.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=_PREFIX, frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    db_url: SecretUrl = Field(
        SecretUrl("sqlite:///nitro.db"), description="SQLAlchemy URL of the database in which Entity is stored"
    )
    broker_url: SecretUrl = Field(
        SecretUrl("memory://"), description="the log that events are published to and read from"
    )
    namespace: str = Field("nitro", description="separates applications that share a broker")
    max_publish_queue_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1,
        validation_alias=AliasChoices("NITRO_MAX_PUBLISH_QUEUE_BYTES", "NITRO_MAX_OUTGOING_BYTES"),
        description="bytes of published messages that may wait for the broker",
    )
    publish_timeout_seconds: _Number = Field(
        10.0, gt=0, description="how long emit_async waits for the broker's acknowledgement"
    )

    history_messages: int = Field(10_000, ge=1, description="messages that the log retains")
    history_bytes: int = Field(64 * 1024 * 1024, ge=1, description="payload bytes that the log retains")
    history_seconds: _Number = Field(300.0, gt=0, description="age at which the log deletes a message")

    run_keep_seconds: _Number = Field(3600.0, gt=0, description="how long a run can be read after its end")
    run_lease_seconds: _Number = Field(
        10.0, ge=1, description="how long the producer of a run may be silent before it counts as dead"
    )
    run_max_items: int = Field(100_000, ge=1, description="items of one run")
    run_max_bytes: int = Field(64 * 1024 * 1024, ge=1, description="bytes of one run's items")

    presence_leave_seconds: _Number = Field(
        5.0, ge=0, description="how long a user stays in a room after the last connection, so that a reload is silent"
    )
    presence_lease_seconds: _Number = Field(
        10.0, ge=1, description="how long a process may be silent before its users count as gone"
    )
    presence_max_members: int = Field(
        100, ge=0, description="of a room with more members, clients get only how many they are"
    )

    max_payload_bytes: int = Field(1024 * 1024, ge=1, description="longest JSON of one event")
    max_topics_per_client: int = Field(1_000, ge=1, description="subscriptions and mutes of one client")
    max_wildcards_per_client: int = Field(
        50, ge=0, description="patterns with two or more stars that one request may ask for"
    )
    max_topics_per_user: int | None = Field(
        10_000,
        ge=1,
        description="topics that the streams of one user ask for; a pattern with two or more stars counts as 50",
    )
    max_topics_per_address: int | None = Field(
        None, ge=1, description="topics that the streams of one address ask for, counted likewise"
    )
    max_topics: int | None = Field(1_000_000, ge=1, description="topics that all streams of the process ask for")
    max_wildcards: int | None = Field(
        2_000, ge=0, description="different patterns with two or more stars that all streams of the process ask for"
    )
    max_clients: int | None = Field(100_000, ge=1, description="connected clients of the process")
    max_clients_per_user: int | None = Field(100, ge=1, description="connected clients with the same user_id")
    max_clients_per_address: int | None = Field(
        None,
        ge=1,
        description="connected clients of one IPv4 address or one IPv6 /64; behind a proxy all have the proxy's",
    )
    max_stream_seconds: _Number | None = Field(
        None,
        gt=0,
        description="age at which a response's stream ends; its browser reconnects, and its rights are checked again",
    )
    max_connects_per_second: _Number | None = Field(None, gt=0, description="new streams of the process")
    max_connects_per_second_per_user: _Number | None = Field(
        10.0, gt=0, description="new streams with the same user_id, on average; a burst may have 30 times as many"
    )
    max_connects_per_second_per_address: _Number | None = Field(
        None, gt=0, description="new streams from one address, on average; a burst may have 30 times as many"
    )
    max_replay_bytes: int = Field(
        16 * 1024 * 1024, ge=1, description="payload bytes replayed to one client that resumes"
    )
    max_replay_messages: int = Field(
        100_000, ge=1, description="messages of the log that are checked for one client that resumes"
    )
    max_replay_messages_per_second: int = Field(
        5_000,
        ge=1,
        description="messages checked for one user's replays, on average; a burst may have ten times as many",
    )
    max_pending_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1,
        description="payload bytes, for each event loop, that are published and not yet handed to its clients",
    )
    client_max_bytes: int = Field(1024 * 1024, ge=1, description="payload bytes queued for one client")
    client_max_messages: int = Field(10_000, ge=1, description="messages queued for one client")

    client_overflow: Overflow = Field("disconnect", description="what happens to a client whose queue is over a limit")
    send_timeout_seconds: _Number = Field(30.0, gt=0, description="how long one write to a client may block")

    max_unconfirmed_bytes: int = Field(
        16 * 1024 * 1024, ge=1, description="bytes written over HTTP/2 or HTTP/3 to a server whose send never waits"
    )

    heartbeat_seconds: _Number = Field(15.0, gt=0, description="longest silence on a server-sent event stream")
    retry_milliseconds: int = Field(
        2_000, ge=0, le=2**31 - 1, description="how long a browser waits before it reconnects"
    )
    inline_send: bool = Field(
        True,
        description="write to the socket when an event is delivered; False wakes the connection's task for each write",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _none(cls, value: Any, info: ValidationInfo) -> Any:
        """`none` is no limit, where there may be none. A variable without a value is so only by default."""
        if not isinstance(value, str) or not _may_be_none(info.field_name):
            return value
        text = value.strip().lower()
        is_none = text == "none" or (not text and cls.model_fields[str(info.field_name)].default is None)
        return None if is_none else value


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read from the environment at the first call. Misspelt variables are logged."""
    for name, meant in misspelt(os.environ):
        log.warning("%.80a is no setting of Nitro's and changes nothing; is %s meant?", name, meant)
    try:
        return Settings()
    except ValidationError as error:
        wrong = [(e["loc"][0], e["input"], e["msg"]) for e in error.errors()]
        told = (
            f"{_variable(field)} is {_shown(value)}: {why}{_OR_NONE if _may_be_none(field) else ''}"
            for field, value, why in wrong
        )
        raise ConfigurationError("; ".join(told)) from None


def _may_be_none(field: object) -> bool:
    found = Settings.model_fields.get(str(field))  # an error of one that has a former name has the variable's
    return found is not None and type(None) in get_args(found.annotation)


def _variable(field: object) -> str:
    """The environment variable from which a field was read: by its old name, if only that is set."""
    name = str(field).upper().removeprefix(_PREFIX)
    present = {variable.upper() for variable in os.environ}
    former = _FORMER.get(name, name)
    return _PREFIX + (former if _PREFIX + name not in present and _PREFIX + former in present else name)


def _shown(value: object) -> str:
    return repr(without_secrets(value) if isinstance(value, str) and re.search("://|@", value) else value)


def misspelt(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Those names of variables that look like a setting's, and the setting that each is like."""
    known = [*(name.upper() for name in Settings.model_fields), *_FORMER.values()]
    own = [name for name in names if name.upper().startswith(_PREFIX)]
    links = service_links(own)
    for name in own:
        rest = name.upper().removeprefix(_PREFIX)
        if rest in known or rest.startswith(_OF_THE_HUB) or name in links:
            continue
        for nearest in ["BROKER_URL"] if rest in _OF_BROKERS else get_close_matches(rest, known, 1, _LIKENESS):
            yield name, _PREFIX + nearest


def service_links(names: Iterable[str]) -> set[str]:
    """Those names of variables that Kubernetes sets in a pod for a Service, as `NITRO_DB_PORT` for `nitro-db`.

    Of a Service there is always the host; so `NITRO_DB_PORT` without `NITRO_DB_SERVICE_HOST` is somebody's own.
    """
    found = set(names)
    services = [name.removesuffix(_SERVICE) for name in found if name.endswith(f"_{_SERVICE}")]
    return {
        name
        for name in found
        for service in services
        if name.startswith(service) and _LINK.fullmatch(name, len(service))
    }
