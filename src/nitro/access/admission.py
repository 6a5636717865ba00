"""Admission: how many clients a process takes, in all, of one user and from one address, and how fast.

Asked by each client that connects; no message passes here. It also knows whose clients were ended a moment ago, so that
one which was on its way meanwhile, with rights from before, doesn't slip in.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from nitro.access.connect_rates import ConnectRates
from nitro.access.topic_budget import TopicBudget, count
from nitro.errors import TooManyClients
from nitro.settings import Settings

__all__ = ["REMEMBERED_SECONDS", "Admission", "Refusal", "Slot"]

Refusal: TypeAlias = Literal["clients", "user", "address", "topics", "rate"]
"""The limit that a client was over which was not let in."""

log: Final = logging.getLogger("nitro.access")

_WITH_PORT: Final = re.compile(r"\[(.*)\](?::\d*)?|([\d.]+):\d*", re.ASCII)
"""`[2001:db8::1]:443` and `192.0.2.1:443`, as some proxies write an address."""
_AFTERMATH_SECONDS: Final = 1.0
"""How old the rights of a client are at most when it is made: they were read before, and perhaps withdrawn since."""
REMEMBERED_SECONDS: Final = 3600
"""For how long such an order is remembered: rights of a user that were read longer ago than this open no stream."""
_LONGEST_REQUEST_SECONDS: Final = 5.0
"""Rights that are older were not read for the request that shows them: they stood in a ticket, or were kept."""
_STARTED: Final = time.monotonic() - 1.0  # tickets of earlier versions know whole seconds


class Slot(NamedTuple):
    """The place of one client, and what its request asked to hear."""

    user_id: str | None
    address: str | None
    asked: Sequence[str] = ()


class Admission:
    """One in a process. Thread-safe.

    Attributes:
        refused: how many were refused, by the limit: `"clients"`, `"user"`, `"address"`, `"topics"` or `"rate"`.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused: Counter[Refusal] = Counter()
        self._lock = threading.RLock()  # re-entrant: a garbage collection inside of it may end a client
        self._max_clients = settings.max_clients
        self._max_of_user = settings.max_clients_per_user
        self._max_of_address = settings.max_clients_per_address
        self._clients = 0
        self._of_user: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._topics = TopicBudget(settings)
        self._rates = ConnectRates(settings)
        self._disconnected: dict[str, float] = {}  # the oldest first
        self._made_at = time.monotonic()
        self._floor = max(_STARTED, self._made_at - _LONGEST_REQUEST_SECONDS)
        self._has_warned = self._has_warned_of_age = False

    def admit(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> Slot:
        """A slot for one more, to be given back by `leave`. An `address` that is no IP address is limited by none.

        Args:
            asked: the patterns that its request asked for itself.

        Raises:
            TooManyClients: some limit is reached.
        """
        slot = Slot(user_id, _network(address), asked)
        if slot.address is None and address is not None and self._max_of_address is not None:
            self._warn_once(address)
        with self._lock:
            if self._max_clients is not None and self._clients >= self._max_clients:
                self._refuse("clients", f"this process has {self._clients} clients", "NITRO_MAX_CLIENTS", 5, 20)
            if _is_full(self._of_address, slot.address, self._max_of_address):
                self._refuse("address", "too many clients from one address", "NITRO_MAX_CLIENTS_PER_ADDRESS", 5, 20)
            if _is_full(self._of_user, slot.user_id, self._max_of_user):
                self._refuse("user", "too many clients of one user", "NITRO_MAX_CLIENTS_PER_USER", 5, 20)
            setting = self._topics.limit_reached(*slot)
            if setting is not None:
                self._refuse("topics", "too many topics are asked for", f"NITRO_{setting.upper()}", 5, 20)
            self._check_rate(*slot)
            self._rates.take(*slot)
            self._clients += 1
            self._topics.take(*slot)
            count(self._of_user, slot.user_id, 1)
            count(self._of_address, slot.address, 1)
        return slot

    def leave(self, slot: Slot) -> None:
        """Give a slot back."""
        with self._lock:
            self._clients -= 1
            self._topics.give_back(*slot)
            count(self._of_user, slot.user_id, -1)
            count(self._of_address, slot.address, -1)

    def disconnect_user(self, user_id: str) -> None:
        """Remember that this user's clients are ended now."""
        now = time.monotonic()
        with self._lock:
            self._disconnected.pop(user_id, None)
            self._disconnected[user_id] = now
            while now - self._disconnected[oldest := next(iter(self._disconnected))] > REMEMBERED_SECONDS:
                del self._disconnected[oldest]

    def reach_log(self, seconds: float) -> None:
        """The log was reached, which has what was said in so many seconds: whom it dismissed before, nobody knows."""
        now = time.monotonic()
        self._floor = now - max(seconds, min(now - _STARTED, _LONGEST_REQUEST_SECONDS))

    def may_have_missed(self, seconds: float) -> bool:
        """Whether clients may be here from before what a log has that is reached now, with what was said in so many."""
        return time.monotonic() - self._made_at > max(seconds, _LONGEST_REQUEST_SECONDS)

    def miss(self) -> None:
        """Some of the log was missed: whom it dismissed there, nobody knows."""
        self._floor = time.monotonic() + _AFTERMATH_SECONDS

    def was_disconnected(self, user_id: str | None, read_at: float) -> bool:
        """Whether this user's clients were ended after these rights were read, at `read_at`, or may have been.

        That they weren't is known for rights that are younger than `REMEMBERED_SECONDS`, than what this process has
        missed of the log, and than what the log still had when the process started.
        """
        if user_id is None:
            return False
        age = time.monotonic() - read_at
        if age > REMEMBERED_SECONDS or read_at < self._floor:
            if age > _LONGEST_REQUEST_SECONDS:
                self._warn_of_age(user_id, age)
            return True
        with self._lock:
            return read_at - _AFTERMATH_SECONDS < self._disconnected.get(user_id, float("-inf"))

    def is_outdated(self, user_id: str | None, read_at: float) -> bool:
        """Whether it was, and whoever asks once more shows the same rights: they were not read for this request."""
        is_kept = time.monotonic() - read_at > _LONGEST_REQUEST_SECONDS
        return is_kept and self.was_disconnected(user_id, read_at)

    def _warn_of_age(self, user_id: str, age: float) -> None:
        if not self._has_warned_of_age:
            self._has_warned_of_age = True
            log.warning(
                "the rights of a client of the user %.60a were read %d s ago, and this process doesn't know all "
                "dismissals since. So they open no stream: make the Grant, or the Client, anew for each request",
                user_id,
                age,
            )

    def _warn_once(self, address: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "NITRO_MAX_CLIENTS_PER_ADDRESS can't limit a client without an IP address (%.60a): let the server read "
                "X-Forwarded-For, as its documentation says, or limit in the proxy",
                address,
            )

    def check_rate(self, user_id: str | None, address: str | None) -> None:
        """Before anything is done for one more, such as to read what it asks for.

        Raises:
            TooManyClients: such clients connect too fast.
        """
        with self._lock:
            self._check_rate(user_id, _network(address))

    def count_answer(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Count a request whose answer is no stream, so that the next one may be too soon.

        Raises:
            TooManyClients: this one is.
        """
        with self._lock:
            self._check_rate(user_id, _network(address))
            self.probe(user_id, address, asked)

    def probe(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Count it, if it was asked before whether it comes too soon."""
        with self._lock:
            self._rates.probe(user_id, _network(address), asked)

    def _check_rate(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> None:
        reached = self._rates.limit_reached(user_id, address, asked)
        if reached is not None:
            setting, seconds = reached
            soonest = math.ceil(seconds)
            self._refuse("rate", "clients connect too fast", f"NITRO_{setting.upper()}", soonest, soonest + 4)

    def _refuse(self, limit: Refusal, what: str, setting: str, soonest: int, latest: int) -> None:
        self.refused[limit] += 1
        seconds = random.randint(soonest, latest)  # noqa: S311 - no secret: not all shall come back at once
        raise TooManyClients(f"{what} ({setting}); come back in {seconds} s", seconds)

    def __repr__(self) -> str:
        return f"<Admission: {self._clients} clients of {len(self._of_user)} users, {self.refused.total()} refused>"


def _is_full(counts: Counter[str], key: str | None, limit: int | None) -> bool:
    return limit is not None and key is not None and counts[key] >= limit


def _network(address: str | None) -> str | None:
    """What counts as one address: of IPv6 the first 64 bits, since whoever has one of those has all of them.

    None if it is no IP address: a socket's path, an empty one, a proxy's `unknown`. Those would make all strangers one.
    """
    if address is None:
        return None
    found = _WITH_PORT.fullmatch(text := address.strip(' "'))
    try:
        ip = ipaddress.ip_address((found[1] or found[2]) if found else text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip), 64), strict=False).network_address)
