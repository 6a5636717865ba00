"""Access: what a client may hear, live and replayed, from the moment it was allowed to the moment it is not."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nitro
from nitro import (
    ANY,
    Client,
    EventSourceResponse,
    Gap,
    Grant,
    active_clients,
    disconnect_user,
    emit,
    event_stream,
    requested_topics,
)
from nitro.access.admission import Admission
from nitro.delivery.hub import Hub
from nitro.delivery.process import get_hub
from nitro.errors import (
    AccessDenied,
    ArgumentTypeError,
    ConfigurationError,
    InvalidTopic,
    NotAuthenticated,
    TooManyClients,
    TooManyTopics,
    TopicTypeError,
)
from nitro.settings import get_settings
from nitro.testing.conformance import eventually
from nitro.tickets import Tickets
from tests.brokers import BROKERS
from tests.clients import wait_until_rights_count
from tests.specification.hearing import heard_by, run, topics_heard_by, until

pytestmark = pytest.mark.usefixtures("hub")

SECRET = "secret.plan"


def hearing(client: Client, *emits: str | tuple[str, Any]) -> list[Any]:
    heard: list[Any] = []

    async def scenario() -> None:
        heard.extend(await topics_heard_by(client, *emits))

    run(scenario)
    return heard


# --- what may be asked for


@pytest.mark.parametrize("topics", [["todo.*"], ["todo.created", "todo.*.x"], "todo.a", {"todo.*": ["7"]}, []])
def test_what_is_granted_can_be_asked_for(topics: Any) -> None:
    Client(topics=topics, allowed=["todo.*", "user.7.*"])


@pytest.mark.parametrize("topics", ["*", ["*"], ["todo.*", "other.x"], ["*.created"], ["tod*"], {"other.*": ["7"]}])
def test_what_is_not_granted_is_refused(topics: Any) -> None:
    with pytest.raises(AccessDenied, match="is not allowed for this client"):
        Client(topics=topics, allowed=["todo.*", "user.7.*"])


def test_a_refusal_is_the_same_whether_the_topic_is_there_or_not() -> None:
    emit(SECRET, result=1)
    with Client(topics=["secret.*"]):
        texts = set()
        for topic in (SECRET, "secret.blah"):
            with pytest.raises(AccessDenied) as refusal:
                Client(topics=[topic], allowed=["todo.*"])
            texts.add(str(refusal.value).replace(topic, ""))
        assert len(texts) == 1
        assert "todo" not in texts.pop(), "nor does it tell what else is granted"


def test_without_a_grant_the_servers_own_topics_are_trusted() -> None:
    assert hearing(Client(topics=["*"]), "a.b", SECRET) == ["a.b", SECRET]


@pytest.mark.parametrize("topics", [ANY, "ANY", ["ANY"], [ANY], ("ANY",)])
def test_any_asks_for_all_that_is_allowed(topics: Any) -> None:
    client = Client(topics=topics, allowed={"todo.*": ANY, "order.*": ["7"]})
    assert client.topics == {"todo.*": ANY, "order.*": ["7"]}
    assert hearing(client, "todo.a", SECRET, ("order.a", "7"), ("order.b", "8")) == ["todo.a", ("order.a", "7")]


def test_a_refused_subscribe_leaves_the_client_as_it_was() -> None:
    client = Client(topics=["todo.*"], allowed=["todo.*"])
    with pytest.raises(AccessDenied):
        client.subscribe("user.*")
    assert client.topics == {"todo.*": ANY}
    assert hearing(client, "todo.a", "user.a") == ["todo.a"]


def test_what_is_wholly_denied_can_not_be_asked_for() -> None:
    with pytest.raises(AccessDenied):
        Client(topics=["todo.secret.a"], allowed=["todo.*"], denied=["todo.secret.*"])


# --- what is delivered


def test_a_denied_topic_is_not_delivered_whatever_is_allowed_and_subscribed() -> None:
    client = Client(topics=["todo.*"], allowed=["*", "todo.secret"], denied=["todo.secret"])
    assert hearing(client, "todo.a", "todo.secret") == ["todo.a"]


def test_a_subscription_without_senders_hears_those_that_are_allowed() -> None:
    client = Client(topics=["order.*"], allowed={"order.*": ["7"]})
    assert hearing(client, ("order.a", "7"), ("order.a", "8"), "order.a") == [("order.a", "7")]


def test_a_denied_sender_is_not_heard() -> None:
    client = Client(topics=["order.*"], denied={"order.*": ["8"]})
    assert hearing(client, ("order.a", "7"), ("order.a", "8"), "order.b") == [("order.a", "7"), "order.b"]


def test_no_client_hears_what_is_nitros_own() -> None:
    async def scenario() -> None:
        with Client(topics=["*"]) as client, Client(topics=["n*"], last_event_id=nitro.position()) as other:
            disconnect_user("nobody")
            assert await heard_by(client) == await heard_by(other) == []

    run(scenario)


def test_clients_with_different_grants_share_nothing() -> None:
    async def scenario() -> None:
        mine = [Client(topics=["a_b", "c"], allowed=["a_b", "c"]), Client(topics=ANY, allowed={"x": ["a_b"]})]
        others = [Client(topics=["a", "b_c"], allowed=["a", "b_c"]), Client(topics=ANY, allowed={"x_a": ["b"]})]
        for client in (*mine, *others):
            client.connect()
        for topic, sender in [("a_b", ANY), ("c", ANY), ("a", ANY), ("b_c", ANY), ("x", "a_b"), ("x_a", "b")]:
            emit(topic, sender, result=topic)
        assert [await heard_by(client) for client in mine] == [["a_b", "c"], ["x"]]
        assert [await heard_by(client) for client in others] == [["a", "b_c"], ["x_a"]]
        for client in (*mine, *others):
            client.disconnect()

    run(scenario)


def test_what_is_replayed_is_checked_like_what_is_live() -> None:
    async def scenario() -> None:
        start = nitro.position()
        for topic, sender in [("order.a", "7"), ("order.b", "8"), ("order.secret", "7"), ("user.a", ANY)]:
            emit(topic, sender, result=topic)
        rights: dict[str, Any] = {"allowed": {"order.*": ["7"]}, "denied": ["order.secret"]}
        for topics in (ANY, ["order.*"]):
            with Client(topics=topics, last_event_id=start, **rights) as client:
                assert await heard_by(client) == ["order.a"]

    run(scenario)


# --- rights that change


def test_a_right_that_is_granted_holds_from_then_on() -> None:
    async def scenario() -> None:
        with Client(topics=ANY, allowed=["todo.*"]) as client:
            emit("user.a", result=1)
            client.grant("user.*")
            emit("user.a", result=2)
            client.grant("order.*", ["7"])
            emit("order.a", "7", result=3)
            emit("order.a", "8", result=4)
            assert await heard_by(client) == [2, 3]

    run(scenario)


def test_a_grant_subscribes_nobody_who_asked_for_something_else() -> None:
    client = Client(topics=["todo.*"], allowed=["todo.*"]).grant("user.*")
    assert hearing(client, "todo.a", "user.a") == ["todo.a"]
    client.subscribe("user.*")
    assert hearing(client, "todo.a", "user.a") == ["todo.a", "user.a"]


@pytest.mark.parametrize("allowed", [None, ["*"], ["todo.*"], ["todo.secret", "todo.*"]])
def test_what_is_revoked_is_not_heard_even_if_it_waits_already(allowed: Any) -> None:
    async def scenario() -> None:
        with Client(topics=["todo.*"], allowed=allowed) as client:
            emit("todo.secret", result="waits")
            emit("todo.a", result="stays")
            client.send("for it alone")
            client.revoke("todo.secret")
            emit("todo.secret", result="after")
            emit("todo.b", result="goes on")
            assert await heard_by(client) == ["stays", "for it alone", "goes on"]
            client.grant("todo.secret")
            emit("todo.secret", result="again")
            assert await heard_by(client) == ["again"]

    run(scenario)


def test_what_is_revoked_in_the_middle_of_a_batch_or_a_replay_is_left_out() -> None:
    async def scenario() -> None:
        start = nitro.position()
        for n in range(600):  # more than two pages of a replay
            emit("todo.secret" if n % 2 else "todo.a", result=n)
        with Client(topics=["todo.*"], last_event_id=start) as client:
            messages = client.messages()
            first = [await anext(messages) for _ in range(3)]
            client.revoke("todo.secret")
            emit("todo.a", result=600)
            rest = [await anext(messages) for _ in range(600 // 2 + 1 - 2)]
            assert [message.data for message in first if not isinstance(message, Gap)] == [0, 1, 2]
            assert [message.data for message in rest if not isinstance(message, Gap)] == [*range(4, 600, 2), 600]
            await messages.aclose()

    run(scenario)


def test_rights_withdrawn_while_away_hold_at_the_replay() -> None:
    async def scenario() -> None:
        with Client(topics=ANY, allowed=["todo.*", "team.*"]) as client:
            emit("team.a", result=1)
            assert await heard_by(client) == [1]
            last = nitro.position()
        emit("team.a", result=2)
        emit("todo.a", result=3)
        with Client(topics=ANY, allowed=["todo.*"], last_event_id=last) as client:
            emit("team.a", result=4)
            assert await heard_by(client) == [3]

    run(scenario)


# --- users, and the end of their rights


def test_disconnect_user_ends_that_users_clients_and_nobody_elses() -> None:
    async def scenario() -> None:
        class User:
            id = 7

        mine = [Client(topics=["t"], user_id=user_id).connect() for user_id in ("7", 7, User())]
        with Client(topics=["t"], user_id="8") as other, Client(topics=["t"]) as nobodys:
            streams = [asyncio.create_task(heard_until_the_end(client)) for client in mine]
            await asyncio.sleep(0)
            emit("t", result="before")
            disconnect_user(User())
            emit("t", result="after")
            assert await asyncio.gather(*streams) == [[]] * 3, "what waits is left to the next stream, and its rights"
            assert await heard_by(other) == await heard_by(nobodys) == ["before", "after"]
            await until(lambda: set(active_clients.values()) == {other, nobodys})
            assert nitro.statistics().ended["dismissed"] == 3

    run(scenario)


async def heard_until_the_end(client: Client) -> list[Any]:
    return [data async for data in client.stream()]


def test_a_client_that_was_on_its_way_when_its_user_was_disconnected_does_not_slip_in() -> None:
    async def scenario() -> None:
        client = Client(topics=["t"], user_id="7")
        disconnect_user("7")
        client.connect()
        assert not client.is_connected
        with Client(topics=["t"], user_id="8") as other:
            assert other.is_connected

    run(scenario)


def test_disconnect_user_wants_to_know_whom() -> None:
    class Unsaved:
        id = None

    nobody: Any
    for nobody in (None, ANY, "", Unsaved(), "\ud800"):
        with pytest.raises(ConfigurationError, match="user_id"):
            disconnect_user(nobody)
    for nobody in (ANY, "", Unsaved(), "\ud800"):
        for make in (lambda nobody=nobody: Client(user_id=nobody), lambda nobody=nobody: Grant(["t"], user_id=nobody)):
            with pytest.raises(ConfigurationError, match="user_id"):
                make()


@pytest.mark.alone
def test_a_stream_ends_when_its_rights_do() -> None:
    async def scenario() -> None:
        client = Client(topics=["t"], expires_at=datetime.now(UTC) + timedelta(seconds=0.3)).connect()
        began = time.monotonic()
        emit("t", result=1)
        assert await heard_until_the_end(client) == [1]
        assert 0.25 < time.monotonic() - began < 2
        assert nitro.statistics().ended["expired"] == 1
        with pytest.raises(NotAuthenticated, match="expired"):
            client.connect()

    run(scenario)


def test_the_timer_of_one_that_left_before_its_rights_ended_goes_with_it() -> None:
    async def scenario() -> None:
        expires_at = time.time() + 0.1
        with Client(topics=["t"], expires_at=expires_at + 0.05) as another:
            with Client(topics=["t"], expires_at=expires_at):
                pass
            assert await heard_until_the_end(another) == []
        assert nitro.statistics().ended["expired"] == 1, "the other one alone"

    run(scenario)


def test_rights_that_are_over_already_are_refused() -> None:
    with pytest.raises(NotAuthenticated):
        Client(topics=["t"], expires_at=time.time() - 1)


@pytest.mark.parametrize("moment", [datetime.now(), "tomorrow", float("nan"), True])  # noqa: DTZ005
def test_what_is_no_moment_is_refused(moment: Any) -> None:
    for make in (lambda: Client(topics=["t"], expires_at=moment), lambda: Grant(["t"], expires_at=moment)):
        with pytest.raises(ConfigurationError, match="expires_at"):
            make()


# --- what a grant and a request say


def test_a_grant_says_what_is_allowed() -> None:
    with pytest.raises(TopicTypeError, match="ANY for everything"):
        Grant(None)  # type: ignore[arg-type]
    with pytest.raises(InvalidTopic):
        Grant(["a..b"])
    grant = Grant({"order.*": [7]}, denied="order.secret", user_id=7, expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    assert grant.allowed == {"order.*": ["7"]}
    assert grant.denied == {"order.secret": ANY}
    assert (grant.user_id, grant.expires_at) == ("7", datetime(2030, 1, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize("said", [{"allowed": ["t"]}, {"denied": ["secret"]}, {"user_id": 7}, {"expires_at": 2e9}])
def test_a_client_is_made_with_a_grant_or_with_what_one_says_and_not_with_both(said: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"grant=Grant\("):
        Client(topics=["t"], grant=Grant(["t"]), **said)
    assert Client(topics=["t"], **said).topics == {"t": ANY}
    assert Client(topics=["t"], grant=Grant(**{"allowed": ANY, **said})).topics == {"t": ANY}


@pytest.mark.parametrize("grant", [["t"], "t", Grant, {"allowed": "t"}, 0, False])
def test_what_is_no_grant_is_refused_by_a_client(grant: Any) -> None:
    with pytest.raises(ArgumentTypeError, match="the grant of a Client is no Grant"):
        Client(topics=["t"], grant=grant)


def test_a_client_hears_what_its_grant_allows_and_only_that() -> None:
    grant = Grant({"order.*": [7], "news": ANY}, denied="order.secret", user_id=7)
    client = Client(grant=grant)
    assert client.topics == {"order.*": ["7"], "news": ANY}
    assert client.user_id == "7"
    sent: list[str | tuple[str, Any]] = [("order.paid", 7), ("order.paid", 8), ("order.secret", 7), "news", "other"]
    assert hearing(client, *sent) == [("order.paid", 7), "news"]
    assert hearing(Client(topics=requested_topics(Request(b"topic=news")), grant=grant), *sent) == ["news"]
    with pytest.raises(AccessDenied):
        Client(topics=["order.*", "other"], grant=grant)


def test_what_a_client_is_granted_and_revoked_changes_nothing_of_the_grant_that_it_was_made_with() -> None:
    grant = Grant(["a", "b"], denied=["c"])
    client = Client(topics=ANY, grant=grant).grant("d").revoke("b")
    assert hearing(client, *"abcd") == ["a", "d"]
    assert grant == Grant(["a", "b"], denied=["c"])
    assert hearing(Client(grant=grant), *"abcd") == ["a", "b"]


def test_a_client_ends_when_its_grant_does_and_one_that_is_over_makes_none() -> None:
    async def scenario() -> None:
        with Client(topics=["t"], grant=Grant(["t"], expires_at=time.time() + 0.3)) as client:
            assert client.is_connected
            await until(lambda: not client.is_connected)
        assert nitro.statistics().ended["expired"] == 1

    run(scenario)
    with pytest.raises(NotAuthenticated):
        Client(topics=["t"], grant=Grant(["t"], expires_at=time.time() - 1))


def test_a_grant_is_read_when_it_is_made_or_when_whoever_restores_it_says() -> None:
    before = time.monotonic()
    grant = Grant(["t"], user_id=7)
    assert before <= grant.read_at <= time.monotonic()
    old = Grant(["t"], user_id=7, read_at=before - 100)
    assert old.read_at == before - 100
    assert replace(old, user_id="8").read_at == before - 100
    assert old == grant, "the same rights, read at another time"


@pytest.mark.parametrize("moment", [1e12, float("nan"), float("-inf"), True, "1", datetime.now(UTC)])
def test_a_grant_is_never_from_the_future(moment: Any) -> None:
    with pytest.raises(ConfigurationError, match="read_at"):
        Grant(["t"], user_id=7, read_at=moment)


def test_a_client_is_as_old_as_its_grant() -> None:
    kept = Grant(["t"], user_id="7")
    disconnect_user("7")
    wait_until_rights_count("7")

    async def scenario() -> None:
        with Client(topics=["t"], grant=kept) as late, Client(topics=["t"], user_id="7") as new:
            assert not late.is_connected
            assert new.is_connected

    run(scenario)


class Request:
    def __init__(self, query: bytes) -> None:
        self.scope = {"query_string": query}


@pytest.mark.parametrize(
    ("query", "topics"),
    [
        (b"", ["ANY"]),  # all that it may hear
        (b"other=1", ["ANY"]),
        (b"topic=a.b", ["a.b"]),
        (b"topic=a&topic=b.*&topic=a", ["a", "b.*"]),
        (b"topic=todo.%2A", ["todo.*"]),
        (b"topics=a", ["ANY"]),  # another name, which is the application's
        (b"topic=*", ["*"]),
    ],
)
def test_what_a_request_asks_for(query: bytes, topics: Any) -> None:
    assert requested_topics(Request(query)) == topics


# --- how many come in


def connected(count: int, **options: Any) -> list[Client]:
    return [Client(topics=["t"], **options).connect() for _ in range(count)]


@pytest.mark.parametrize(
    ("limit", "name", "mine", "other"),
    [
        ("max_clients", "clients", {}, None),
        ("max_clients_per_user", "user", {"user_id": "7"}, {"user_id": "8"}),
        ("max_clients_per_address", "address", {"address": "192.0.2.1"}, {"address": "192.0.2.2"}),
        ("max_clients_per_address", "address", {"address": "2001:db8::1"}, {"address": "2001:db8:0:1::1"}),
    ],
)
def test_a_client_over_a_limit_is_refused_and_counted(
    hub_with: Callable[..., Hub], limit: str, name: str, mine: dict[str, Any], other: dict[str, Any] | None
) -> None:
    hub_with(**{limit: 3})

    async def scenario() -> None:
        clients = connected(3, **mine)
        with pytest.raises(TooManyClients, match=f"NITRO_{limit.upper()}") as refusal:
            connected(1, **mine)
        assert 1 <= refusal.value.retry_after_seconds <= 60
        assert nitro.statistics().refused == {name: 1}
        if other is not None:
            clients += connected(1, **other)
        clients.pop(0).disconnect()
        clients += connected(1, **mine)
        for client in clients:
            client.disconnect()
        assert connected(1, **mine)[0].disconnect() is not None

    run(scenario)


def test_addresses_of_one_network_count_as_one(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_clients_per_address=2)
    clients = connected(1, address="2001:db8::1") + connected(1, address="2001:db8::ffff:1")
    with pytest.raises(TooManyClients):
        connected(1, address="2001:db8::2")
    clients += connected(2, address="unix")
    clients += connected(1, address="192.0.2.1") + connected(1, address="::ffff:192.0.2.1")
    with pytest.raises(TooManyClients):
        connected(1, address="192.0.2.1")
    for client in clients:
        client.disconnect()


@pytest.mark.timed
def test_connects_are_limited_by_the_second(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_connects_per_second=5)
    clients = connected(5)
    with pytest.raises(TooManyClients, match="NITRO_MAX_CONNECTS_PER_SECOND"):
        connected(1)
    assert nitro.statistics().refused == {"rate": 1}

    def is_let_in() -> bool:
        with contextlib.suppress(TooManyClients):
            clients.extend(connected(1))
        return len(clients) == 6

    eventually(is_let_in, "a fifth of a second later there is room for one more", 2)
    for client in clients:
        client.disconnect()


def test_a_slot_is_given_back_however_a_client_ends(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_clients=1, client_max_messages=1)

    async def scenario() -> None:
        for _ in range(2):
            slow = connected(1)[0]
            messages = slow.messages()
            reading = asyncio.create_task(anext(messages))
            await asyncio.sleep(0)
            emit("t", result=0)
            await reading
            for n in range(4):
                emit("t", result=n)
                await asyncio.sleep(0.01)
            await until(lambda slow=slow: not slow.is_connected)  # type: ignore[misc]  # of a lambda with a default
            await messages.aclose()
            await until(lambda: not active_clients)
            connected(1)[0].disconnect()
            expired = Client(topics=["t"], expires_at=time.time() + 0.05).connect()
            await until(lambda expired=expired: not expired.is_connected)  # type: ignore[misc]  # of a lambda with a default
            await until(lambda: not active_clients)
            user = Client(topics=["t"], user_id="7").connect()
            disconnect_user("7")
            await until(lambda user=user: not user.is_connected)  # type: ignore[misc]  # of a lambda with a default
            await until(lambda: not active_clients)

    run(scenario)


def test_a_client_may_be_replayed_so_much_and_is_told_of_the_rest(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_replay_bytes=1000)

    async def scenario() -> None:
        start = nitro.position()
        for n in range(30):
            emit("t", result=f"{n:098}")
        with Client(topics=["t"], last_event_id=start) as client:
            emit("t", result="live")
            messages = client.messages()
            got = [await anext(messages) for _ in range(12)]
            await messages.aclose()
        assert [message.data for message in got[:10] if not isinstance(message, Gap)] == [f"{n:098}" for n in range(10)]
        gap = got[10]
        assert isinstance(gap, Gap)
        assert gap.reason == "overflow"
        assert not isinstance(got[11], Gap)
        assert got[11].data == "live"

    run(scenario)


def test_more_topics_in_a_request_than_the_limit_are_refused(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_topics_per_client=3)
    with pytest.raises(TooManyTopics):
        requested_topics(Request(b"&".join(b"topic=t%d" % n for n in range(4))))


# --- what was found by attack


def test_a_grant_is_as_old_as_its_rights_however_late_its_client_is_made() -> None:
    grant = Grant(["t"], user_id="7")
    disconnect_user("7")
    wait_until_rights_count("7")

    async def scenario() -> None:
        for made in (grant, Grant(["t"], user_id="7")):
            response = event_stream(Request(b""), made)
            assert isinstance(response, EventSourceResponse)
            client = response.client
            assert isinstance(client, Client)
            assert client.connect().is_connected is (made is not grant)
            client.disconnect()

    run(scenario)


def test_a_ticket_from_before_a_dismissal_opens_nothing() -> None:
    tickets = Tickets("a secret of the tests, long enough")
    ticket = tickets.issue(Grant(["t"], user_id="7"))
    disconnect_user("7")
    wait_until_rights_count("7")
    for shown, opens in ((ticket, False), (tickets.issue(Grant(["t"], user_id="7")), True)):
        response = event_stream(Request(b""), tickets.read(shown))
        assert isinstance(response, EventSourceResponse)
        client = response.client
        assert isinstance(client, Client)
        assert client.connect().is_connected is opens
        client.disconnect()


def test_what_the_constructor_denies_stays_denied_whatever_is_granted() -> None:
    client = Client(topics=["todo.*"], allowed=["todo.*"], denied={"todo.secret": ANY, "todo.*": ["mallory"]})
    client.grant("todo.secret").grant("todo.*", ["bob"])
    assert hearing(client, "todo.a", "todo.secret", ("todo.a", "mallory")) == ["todo.a"]


def test_a_grant_without_room_changes_nothing_and_revoke_needs_none(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_topics_per_client=2)

    async def scenario() -> None:
        with Client(topics=ANY, allowed=["a.*", "b.*"]) as client:
            with pytest.raises(TooManyTopics):
                client.grant("c.*")
            client.revoke("a.*")
            for topic in ("a.x", "b.x", "c.x"):
                emit(topic, result=topic)
            assert await heard_by(client) == ["b.x"]

    run(scenario)


def test_clients_whose_loop_was_closed_hold_no_slot(hub_with: Callable[..., Hub]) -> None:
    hub_with(max_clients=3)

    async def leave_them() -> None:
        connected(3)

    asyncio.run(leave_them())
    for client in connected(3):
        client.disconnect()


def test_a_client_without_a_loop_is_ended_when_it_is_read_too_late() -> None:
    expires_at = time.time() + 0.2
    client = Client(topics=["t"], expires_at=expires_at).connect()
    emit("t", result=1)
    eventually(lambda: time.time() > expires_at, "its rights have ended")
    run(lambda: expect(heard_until_the_end(client), []))


async def expect(coroutine: Coroutine[Any, Any, Any], wanted: Any) -> None:
    assert await coroutine == wanted


def test_a_user_without_a_name_is_dismissed_like_any_other_and_forgotten_in_time() -> None:
    admission = Admission(get_settings())
    for n in range(1000):
        admission.disconnect_user(str(n))
    assert admission.was_disconnected("7", time.monotonic())
    assert not admission.was_disconnected("7", time.monotonic() + 2)


@pytest.mark.parametrize("kind", ["sqlite", "redis"])
def test_a_dismissal_that_fell_into_a_gap_ends_all_who_have_a_user(
    kind: str, tmp_path: Path, hub_with: Callable[..., Hub]
) -> None:
    with BROKERS[kind](tmp_path) as broker:
        hub_with(broker_url=broker.url, namespace="gap", retry_milliseconds=100)
        nitro.connect_broker()

        async def scenario() -> None:
            with Client(topics=["t"], user_id="7") as client, Client(topics=["t"]) as nobodys:
                nitro.emit("t", result=1)
                await nitro.emit_async("t", result=2)
                broker.wipe("gap")
                await until(lambda: not client.is_connected, 20)
                assert nobodys.is_connected
                assert nitro.statistics().ended["dismissed"] == 1

        run(scenario)
        get_hub().broker.close(1)


@pytest.mark.timed
def test_who_is_dismissed_while_the_broker_is_away_is_ended_here_at_once(
    tmp_path: Path, hub_with: Callable[..., Hub]
) -> None:
    with BROKERS["redis"](tmp_path) as broker:
        hub_with(broker_url=broker.url, namespace="away")
        nitro.connect_broker()

        async def scenario() -> None:
            with Client(topics=["t"], user_id="7") as client:
                broker.kill()
                disconnect_user("7")
                await until(lambda: not client.is_connected, 1)

        run(scenario)
        get_hub().broker.close(0.1)


def test_a_process_that_reaches_the_log_late_obeys_what_it_retains(
    tmp_path: Path, hub_with: Callable[..., Hub]
) -> None:
    url = f"sqlite:///{tmp_path / 'events.db'}"
    first = hub_with(broker_url=url, namespace="late")
    nitro.connect_broker()
    disconnect_user("7")
    nitro.flush()
    first.broker.close(1)
    late = hub_with(broker_url=url, namespace="late")
    nitro.connect_broker()
    assert late.admission.was_disconnected("7", time.monotonic())
