"""Admission: limits on how many clients a process accepts, in all, per user and per address, and at what rate.

Checked when a client connects; messages don't pass through here. It also remembers recent `disconnect_user` orders, so
that a client that is still connecting with rights from before the order is rejected.
"""

from __future__ import annotations

import ipaddress
import logging
import math
import re
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from nitro.access.connect_rates import ConnectRates
from nitro.access.topic_budget import TopicBudget, count
from nitro.chance import CHANCE
from nitro.errors import TooManyClients
from nitro.settings import Settings

__all__ = ["REMEMBERED_SECONDS", "Admission", "Refusal", "Slot"]

Refusal: TypeAlias = Literal["clients", "user", "address", "topics", "rate"]
"""The limit that a rejected client exceeded."""

log: Final = logging.getLogger("nitro.access")

_WITH_PORT: Final = re.compile(r"\[(.*)\](?::\d*)?|([\d.]+):\d*", re.ASCII)
"""Addresses with a port, as some proxies write them: `[2001:db8::1]:443` and `192.0.2.1:443`."""
_AFTERMATH_SECONDS: Final = 1.0
"""Longest time from when an application reads a user's rights to when it makes the client with them."""
REMEMBERED_SECONDS: Final = 3600
"""How long an order to disconnect a user is remembered; a user's rights that are older than this are rejected."""
_LONGEST_REQUEST_SECONDS: Final = 5.0
"""Rights older than this were not read for the current request, but come from a ticket or a reused grant."""
_STARTED: Final = time.monotonic() - 1.0  # tickets of earlier versions have a resolution of one second


class Slot(NamedTuple):
    """One admitted client: the user and address that it counts for, and the patterns that its request asked for."""

    user_id: str | None
    address: str | None
    asked: Sequence[str] = ()


class Admission:
    """The admission control of a process. Thread-safe.

    Attributes:
        refused: number of rejected clients by limit: `"clients"`, `"user"`, `"address"`, `"topics"` or `"rate"`.
    """

    def __init__(self, settings: Settings) -> None:
        self.refused: Counter[Refusal] = Counter()
        self._lock = threading.RLock()  # reentrant: a garbage collection while it is held may end a client
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

    @property
    def users(self) -> int:
        """How many different users have clients."""
        return len(self._of_user)

    def admit(self, user_id: str | None, address: str | None, asked: Sequence[str] = ()) -> Slot:
        """Admit a client and return its slot, to be released by `leave`.

        Args:
            address: its IP address. Anything else is exempt from the limits per address.
            asked: the patterns that its request asked for.

        Raises:
            TooManyClients: a limit is reached.
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
        """Release a slot."""
        with self._lock:
            self._clients -= 1
            self._topics.give_back(*slot)
            count(self._of_user, slot.user_id, -1)
            count(self._of_address, slot.address, -1)

    def disconnect_user(self, user_id: str) -> None:
        """Record that this user's clients are disconnected now."""
        now = time.monotonic()
        with self._lock:
            self._disconnected.pop(user_id, None)
            self._disconnected[user_id] = now
            while now - self._disconnected[oldest := next(iter(self._disconnected))] > REMEMBERED_SECONDS:
                del self._disconnected[oldest]

    def reach_log(self, seconds: float) -> None:
        """The log is reachable and retains the last `seconds`: earlier orders to disconnect users are unknown."""
        now = time.monotonic()
        self._floor = now - max(seconds, min(now - _STARTED, _LONGEST_REQUEST_SECONDS))

    def may_have_missed(self, seconds: float) -> bool:
        """Whether clients may be older than the log's retained `seconds`, and so may have missed an order."""
        return time.monotonic() - self._made_at > max(seconds, _LONGEST_REQUEST_SECONDS)

    def miss(self) -> None:
        """Part of the log was missed: orders to disconnect users in it are unknown."""
        self._floor = time.monotonic() + _AFTERMATH_SECONDS

    def was_disconnected(self, user_id: str | None, read_at: float) -> bool:
        """Whether this user's clients were, or may have been, disconnected after the rights were read at `read_at`.

        False needs rights newer than `REMEMBERED_SECONDS`, than the last part of the log that this process missed, and
        than the oldest message that the log retained when the process started.
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
        """Whether `was_disconnected` holds and a retry won't help: the rights were not read for this request."""
        is_kept = time.monotonic() - read_at > _LONGEST_REQUEST_SECONDS
        return is_kept and self.was_disconnected(user_id, read_at)

    def _warn_of_age(self, user_id: str, age: float) -> None:
        if not self._has_warned_of_age:
            self._has_warned_of_age = True
            log.warning(
                "rejected a client of the user %.60a: its rights were read %d s ago, and this process may have missed "
                "a disconnect_user since, as after a restart. Make a new Grant, or a new Client, for each request; a "
                "page with a ticket has to get another one",
                user_id,
                age,
            )

    def _warn_once(self, address: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "NITRO_MAX_CLIENTS_PER_ADDRESS can't limit a client without an IP address (%.60a): configure the "
                "server to read X-Forwarded-For, or set the limit in the proxy",
                address,
            )

    def check_rate(self, user_id: str | None, address: str | None) -> None:
        """Check the connect rates alone, before a request is parsed.

        Raises:
            TooManyClients: a rate is exceeded.
        """
        with self._lock:
            self._check_rate(user_id, _network(address))

    def count_answer(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """Count a request that is answered without a stream in the connect rates.

        Raises:
            TooManyClients: a rate is exceeded; the request is not counted.
        """
        with self._lock:
            self._check_rate(user_id, _network(address))
            self.probe(user_id, address, asked)

    def probe(self, user_id: str | None, address: str | None, asked: Sequence[str]) -> None:
        """The same without the check, for a request whose rate was checked before."""
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
        seconds = CHANCE.randint(soonest, latest)
        raise TooManyClients(f"{what} ({setting}); retry in {seconds} s", seconds)

    def __repr__(self) -> str:
        return f"<Admission: {self._clients} clients of {len(self._of_user)} users, {self.refused.total()} refused>"


def _is_full(counts: Counter[str], key: str | None, limit: int | None) -> bool:
    return limit is not None and key is not None and counts[key] >= limit


def _network(address: str | None) -> str | None:
    """The key under which an address is counted: an IPv4 address, or the /64 network of an IPv6 address.

    None for anything else (a socket's path, an empty string, a proxy's `unknown`), which unrelated clients share.
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
