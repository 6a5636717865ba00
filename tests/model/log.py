"""The specification: a log, two processes that follow it, and one client that comes back wherever it likes.

Read it like one in TLA+: `State` has the variables, each method that yields is an action, and `explore.explore` takes
every action in every state. An event is its number, by which it is told from all others, as an entry is by its stamp. A
list of entries keeps what was trimmed, too, so that what happened can be judged; `forgotten` says how much of it
nobody can read any more. `place`, how far something is, is the length of such a list.

What holds, at the latest when all is quiet, that is when both processes have read and sent all that they can and the
client is connected:

1. **Nothing is lost silently.** An event that was acknowledged, and emitted after the client began, was heard by it; or
   the client was told of a gap after the event was emitted, and the event does not stand behind the place from which
   that gap goes on. (A page that is told of a gap fetches its data anew, and they have what was emitted before.)
2. **Nothing is heard twice** between two gaps. Across a gap an event may be heard again if the log began a new epoch
   while the event's acknowledgement was on its way, so that its process has sent it again, and for no other reason.
   `Scope.is_strict` forbids that, too.
3. **Order.** Between two gaps the events of one process come in the order in which it emitted them.
4. **No gap without a reason.** A gap is told where the log forgot what the client had not heard, or the entry at its
   place; and once for each epoch in whose life something acknowledged was lost or may have been: the log was put back,
   a server took over that may not have all, a server that doesn't sync started anew, or a server that was master once
   acknowledged something still.
5. **One history.** Both processes have the log's entries, each at its place.
6. **One meaning for an id.** What stands before the client's place is what stood there when it got its id.
7. **A beginning.** A client that begins hears nothing that was acknowledged before it came.
8. **An end.** Epochs are not begun for ever: two for each fault, at most, and one for each process beside.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Final, Literal, NamedTuple

__all__ = ["Budget", "Design", "Scope", "Specification"]

Steps = Iterator[tuple[str, "State"]]
Events = tuple[int, ...]


class Design(NamedTuple):
    """The mechanisms. Each can be left out, to see what it is for."""

    compares_at_open: bool = True
    """A link that opens the log again compares the entry at its place with the one that it had there."""
    compares_at_read: bool = True
    """So it does with each page that it reads."""
    compares_when_idle: bool = True
    """And when there is nothing new to read."""
    expects_own: bool = True
    """What this process was told to be in the log has to come by when it reads up to the log's head."""
    epoch_of_run: bool = True
    """A server that may not have all begins an epoch."""
    numbers: bool = True
    """The log leaves out what it has already of a producer."""
    fences: bool = True
    """Reading and appending need the epoch that was opened."""
    tells_trimmed: bool = True
    """Whoever missed what was trimmed is told of a gap."""
    epoch_in_id: bool = True
    stamp_in_id: bool = True
    """An id names the entry at its place, by its stamp, and another entry there is a gap."""
    starts_at_seen: bool = True
    """A process starts, and a gap goes on, behind an entry that the process has read, if not at the log's beginning: so
    it knows what stands at each place that it lets a client come back to."""
    uncompared_is_gap: bool = True
    """A process whose place was trimmed tells a gap, even if it has all that came before, since it can't compare."""
    renews_once: bool = True
    """Whoever sees a loss begins a new epoch only where nobody has since."""
    asks_head: bool = True
    """A client without an id begins at the head that the log has, not where its process has read to."""
    judges: Literal["at once", "if not ahead", "when current"] = "when current"
    """When an id that a process doesn't know is a gap: at once; at once, but for one that is only further than the
    process has read; or when the process has read all that the log has."""
    renews_late: Literal["never", "by clock", "by place"] = "by place"
    """A process that comes to an epoch which began while it still was acknowledged something in the one before begins
    another. It knows by a clock; or (`by place`) since the log remembers how far the epoch before had got where it
    ended, and the process knows more of it than that."""
    never_goes_back: bool = True
    """A process that comes to an epoch older than its own begins another."""
    takes_reading_as_answer: bool = False
    """What a process reads of its own is acknowledged."""
    skips_known: bool = False
    """An entry that a process has delivered in an epoch before is not delivered again."""


class Budget(NamedTuple):
    """How often each of these may happen."""

    emits: int = 0
    lost_answers: int = 0
    crashes: int = 0
    backups: int = 0
    restores: int = 0
    takeovers: int = 0
    power_cuts: int = 0
    moves: int = 0
    """How often the client connects."""


class Scope(NamedTuple):
    """What is looked at.

    Attributes:
        retains: how many entries the log and each process keep.
        restores: how a backup is put back: under the connections, with a restart of the server, or while every process
            is stopped.
        begins: whether the client has no id at first; else it has the one of the empty log.
        is_strict: whether nothing may be heard twice, not even across a gap.
        except_for: invariants that are not looked at, by their first words.
    """

    budget: Budget
    retains: int = 9
    restores: Literal["live", "restart", "stopped"] = "live"
    begins: bool = False
    is_strict: bool = False
    except_for: tuple[str, ...] = ()


class Log(NamedTuple):
    epoch: int = 1
    entries: Events = ()
    forgotten: int = 0
    is_suspect: bool = False
    """It runs on a server that may not have all, and nobody has opened it there."""
    ended: tuple[tuple[int, int], ...] = ()
    """How far earlier epochs had got, as far as anybody knew, when a server took over."""


AWAY: Final = -1
MASTER: Final = 0
OLD_MASTER: Final = 1


class Process(NamedTuple):
    """One process, and its link.

    Attributes:
        server: to which log it is connected.
        is_open: it has reached the log once.
        epoch, past: where it stands, and what stands before; its window is what of that is not `forgotten`.
        known_from: it knows which entry stands at every place behind this one.
        outgoing: what is not acknowledged.
        own: what was acknowledged here and has not come by yet.
        reach: the newest place of its epoch that it was told or has read.
        is_late: it was acknowledged something in an epoch that had ended elsewhere.
        renews: the epoch that it is about to end.
        known: what it has delivered in earlier epochs.
    """

    server: int = AWAY
    is_open: bool = False
    epoch: int = 0
    past: Events = ()
    forgotten: int = 0
    known_from: int = 0
    outgoing: Events = ()
    own: frozenset[int] = frozenset()
    reach: int = 0
    is_late: bool = False
    renews: int = 0
    known: frozenset[int] = frozenset()


UNASKED, OWED, HEARD, EXCUSED, HEARD_BEFORE, SHOWN = range(6)
"""What an event is to the client: emitted before it came; to be heard; heard; to be heard or not, as a gap was told
since it was emitted; heard, and a gap was told since; and not to be heard, as it was acknowledged before the client
came."""


class Client(NamedTuple):
    """One client. Its id is the epoch, the length of `past`, and the last entry of it.

    Attributes:
        at: the process that it is connected to.
        has_stamp: its id names the last entry of `past`; not so where a gap went on behind one that nobody could read.
        ears: what each event is to it.
    """

    at: int = AWAY
    has_begun: bool = False
    epoch: int = 1
    past: Events = ()
    has_stamp: bool = True
    ears: Events = ()


class State(NamedTuple):
    """Everything.

    Attributes:
        logs: the log as whoever opens it finds it; and the one of a master that was replaced, if there is one.
        owners: which process emitted each event.
        appended: which events were ever in a log.
        again: those that were sent to another epoch, after they were in one.
        epochs: how many have begun.
        hit: those in whose life something acknowledged was or may have been lost.
        wrong: the invariant that the last action broke.
    """

    logs: tuple[Log, ...]
    backup: Log | None
    processes: tuple[Process, Process]
    client: Client
    budget: Budget
    owners: Events = ()
    acknowledged: frozenset[int] = frozenset()
    appended: frozenset[int] = frozenset()
    again: frozenset[int] = frozenset()
    epochs: int = 1
    hit: frozenset[int] = frozenset()
    wrong: str | None = None


class Specification:
    """A design, and what happens to it."""

    def __init__(self, scope: Scope, design: Design = Design()) -> None:  # noqa: B008 - it is a tuple
        self.scope = scope
        self.design = design
        of = scope.budget
        self._most_epochs = 3 + 2 * (of.restores + of.takeovers + of.power_cuts)

    def first(self) -> State:
        process = Process(MASTER, is_open=True, epoch=1)
        return State((Log(),), None, (process, process), Client(has_begun=not self.scope.begins), self.scope.budget)

    def key(self, state: State) -> Hashable:
        """The two processes are alike, so a state and its mirror image are one."""
        one, other = state.processes
        if (hash(one), state.client.at == 0) <= (hash(other), state.client.at == 1):
            return state
        at = state.client.at
        return state._replace(
            processes=(other, one),
            owners=tuple(1 - owner for owner in state.owners),
            client=state.client if at == AWAY else state.client._replace(at=1 - at),
        )

    # What can happen ---------------------------------------------------------------------------------------------

    def steps(self, state: State) -> Steps:
        budget = state.budget
        for p, name in enumerate("PQ"):
            yield from self._link(state, p, name)
            if budget.emits:
                yield f"{name} emits event {len(state.owners) + 1}", self._emit(state, p)
            if budget.lost_answers and self._can_append(state, p):
                after = self._append(_spend(state, "lost_answers"), p, is_answered=False)
                yield f"{name} appends event {state.processes[p].outgoing[0]}, and the answer is lost", after
            if budget.crashes:
                yield f"{name} crashes, and starts anew", self._crash(_spend(state, "crashes"), p)
        if budget.backups and state.backup is None:
            yield "a backup is made", _spend(state, "backups")._replace(backup=state.logs[MASTER])
        if budget.restores and state.backup is not None:
            yield from self._restore(_spend(state, "restores"), state.backup)
        if budget.takeovers:
            yield from self._take_over(_spend(state, "takeovers"))
        if budget.power_cuts:
            yield from self._cut_power(_spend(state, "power_cuts"))
        yield from self._client(state)

    def _link(self, state: State, p: int, name: str) -> Steps:
        """What a process does by itself, sooner or later."""
        process = state.processes[p]
        if process.renews:
            yield f"{name} begins a new epoch", self._renew(state, p)
        elif process.server == AWAY:
            yield f"{name} opens the log", self._open(state, p)
        else:
            if (after := self._read(state, p)) is not None:
                yield f"{name} reads", after
            if process.outgoing:
                yield f"{name} appends event {process.outgoing[0]}", self._append(state, p, is_answered=True)
            if process.server == OLD_MASTER:
                yield f"{name} loses the old master", _put(state, p, process._replace(server=AWAY))

    def _emit(self, state: State, p: int) -> State:
        process, client = state.processes[p], state.client
        event = len(state.owners) + 1
        state = _put(_spend(state, "emits"), p, process._replace(outgoing=(*process.outgoing, event)))
        ear = OWED if client.has_begun else UNASKED
        return state._replace(owners=(*state.owners, p), client=client._replace(ears=(*client.ears, ear)))

    def _can_append(self, state: State, p: int) -> bool:
        process = state.processes[p]
        return bool(process.outgoing) and process.server != AWAY and not process.renews

    def _append(self, state: State, p: int, *, is_answered: bool) -> State:
        process = state.processes[p]
        log, event = state.logs[process.server], process.outgoing[0]
        if self.design.fences and log.epoch != process.epoch:
            return _put(state, p, process._replace(server=AWAY))
        if event not in log.entries or not self.design.numbers:
            entries = (*log.entries, event)
            log = log._replace(entries=entries, forgotten=max(log.forgotten, len(entries) - self.scope.retains))
            again = state.again | {event} if event in state.appended else state.again
            state = _put_log(state, process.server, log)._replace(appended=state.appended | {event}, again=again)
        if not is_answered:
            return _put(state, p, process._replace(server=AWAY))
        if process.server == OLD_MASTER:  # it may never reach those who have gone on elsewhere
            process = process._replace(is_late=process.is_late or state.logs[MASTER].epoch != process.epoch)
            state = state._replace(hit=state.hit | {state.logs[MASTER].epoch})
        process = process._replace(
            outgoing=process.outgoing[1:],
            own=process.own | {event} if self.design.expects_own and event not in process.past else process.own,
            reach=max(process.reach, log.entries.index(event) + 1),
        )
        return _put(state, p, process)._replace(acknowledged=state.acknowledged | {event})

    def _read(self, state: State, p: int) -> State | None:
        """Read all that is there; None if that is nothing, and nothing is noticed."""
        process, design = state.processes[p], self.design
        log, place = state.logs[process.server], len(process.past)
        away = process._replace(server=AWAY)
        if design.fences and log.epoch != process.epoch:
            return _put(state, p, away)
        if len(log.entries) < place:
            return _put(state, p, away)
        new = log.entries[place:]
        if design.compares_at_read if new else design.compares_when_idle:
            knows = place > process.known_from and place > log.forgotten
            if knows and log.entries[place - 1] != process.past[-1]:
                return _put(state, p, away._replace(renews=process.epoch))
        if process.own - set(log.entries):
            return _put(state, p, away._replace(renews=process.epoch))
        if process.known_from < place == log.forgotten and new and design.uncompared_is_gap:
            return self._lose(state, p, log, "expired")
        if place < log.forgotten:
            if design.tells_trimmed:
                return self._lose(state, p, log, "expired")
            new = log.entries[log.forgotten :]
            process = process._replace(past=log.entries[: log.forgotten], known_from=log.forgotten)
        elif not new:
            return None
        past = (*process.past, *new)
        process = process._replace(
            past=past,
            forgotten=max(process.forgotten, len(past) - self.scope.retains),
            own=process.own - set(new),
            reach=max(process.reach, len(past)),
        )
        if design.takes_reading_as_answer:
            came = set(new).intersection(process.outgoing)
            process = process._replace(outgoing=tuple(event for event in process.outgoing if event not in came))
            state = state._replace(acknowledged=state.acknowledged | came)
        state = _put(state, p, process)
        return self._hear(state, process, new) if state.client.at == p else state

    def _open(self, state: State, p: int) -> State:
        process, design, log = state.processes[p], self.design, state.logs[MASTER]
        if log.is_suspect:
            if design.epoch_of_run:
                ended = ((log.epoch, len(log.entries)),) if design.renews_late == "by place" else ()
                state = state._replace(epochs=state.epochs + 1)
                log = Log(state.epochs, ended=(*log.ended, *ended))
            state = _put_log(state, MASTER, log._replace(is_suspect=False))
            log = state.logs[MASTER]
        if not process.is_open:
            start, known_from = self._start(log)
            opened = Process(MASTER, True, log.epoch, log.entries, start, known_from, process.outgoing)
            return _put(state, p, opened._replace(reach=len(log.entries)))
        if process.epoch == log.epoch:
            place = len(process.past)
            knows = process.known_from < place and log.forgotten < place <= len(log.entries)
            is_other = knows and log.entries[place - 1] != process.past[-1]
            if design.compares_at_open and (len(log.entries) < place or is_other):
                return _put(state, p, process._replace(renews=log.epoch))
            return _put(state, p, process._replace(server=MASTER))
        end = dict(log.ended).get(process.epoch)
        is_late = process.is_late if design.renews_late == "by clock" else end is not None and process.reach > end
        if is_late and design.renews_late != "never":
            state = state._replace(hit=state.hit | {log.epoch})  # nobody can know better
            return _put(state, p, process._replace(renews=log.epoch, is_late=False))
        if design.never_goes_back and log.epoch < process.epoch:
            return _put(state, p, process._replace(renews=log.epoch))
        return self._lose(state, p, log, "epoch")

    def _renew(self, state: State, p: int) -> State:
        process, log = state.processes[p], state.logs[MASTER]
        ends, process = process.renews, process._replace(renews=0)
        if self.design.renews_once and (log.epoch != ends or log.is_suspect):
            return _put(state, p, process)
        ended = tuple(
            (epoch, max(place, process.reach) if epoch == process.epoch else place) for epoch, place in log.ended
        )
        state = state._replace(epochs=state.epochs + 1)
        return _put(_put_log(state, MASTER, Log(state.epochs, ended=ended)), p, process)

    def _lose(self, state: State, p: int, log: Log, reason: str) -> State:
        """Go on behind all that can't be had, and tell so."""
        start, known_from = self._start(log)
        past = log.entries[:start]
        process = state.processes[p]._replace(
            server=MASTER if reason == "epoch" else max(MASTER, state.processes[p].server),
            epoch=log.epoch,
            past=past,
            forgotten=len(past),
            known_from=known_from,
            own=frozenset() if reason == "epoch" else state.processes[p].own.difference(past),
            reach=len(past) if reason == "epoch" else max(state.processes[p].reach, len(past)),
            is_late=False,
            known=self._known(state.processes[p]) if reason == "epoch" else state.processes[p].known,
        )
        state = _put(state, p, process)
        return self._tell_gap(state, process, log, reason) if state.client.at == p else state

    def _start(self, log: Log) -> tuple[int, int]:
        """Behind which place a process starts in it, and behind which it knows what stands there."""
        if self.design.starts_at_seen and log.forgotten:
            return log.forgotten + 1, log.forgotten
        return log.forgotten, log.forgotten

    def _known(self, process: Process) -> frozenset[int]:
        return process.known.union(process.past) if self.design.skips_known else process.known

    # Faults ------------------------------------------------------------------------------------------------------

    def _crash(self, state: State, p: int) -> State:
        if state.client.at == p:
            state = state._replace(client=state.client._replace(at=AWAY))
        return _put(state, p, Process())

    def _restore(self, state: State, backup: Log) -> Steps:
        state = state._replace(hit=state.hit | {state.logs[MASTER].epoch, backup.epoch})
        how = self.scope.restores
        if how == "live":
            yield "the backup is put back", _put_log(state, MASTER, backup)
        elif how == "restart":
            yield "the server is stopped, and started with the backup", _cut_all(_put_log(state, MASTER, backup))
        elif not any(process.outgoing for process in state.processes):
            stopped = state._replace(processes=(Process(), Process()), client=state.client._replace(at=AWAY))
            yield "all stop, the backup is put back, all start", _put_log(stopped, MASTER, backup)

    def _take_over(self, state: State) -> Steps:
        old = state.logs[MASTER]
        for lag in range(len(old.entries) + 1):
            has = len(old.entries) - lag
            new = old._replace(entries=old.entries[:has], forgotten=min(old.forgotten, has), is_suspect=True)
            processes = tuple(
                process._replace(server=OLD_MASTER if process.server == MASTER else AWAY) for process in state.processes
            )
            after = state._replace(logs=(new, old), processes=processes, hit=state.hit | {old.epoch})  # type: ignore[arg-type] # two of them
            yield f"a replica takes over that has {has} of {len(old.entries)} entries", after

    def _cut_power(self, state: State) -> Steps:
        old = state.logs[MASTER]
        for has in range(len(old.entries), -1, -1):
            new = old._replace(entries=old.entries[:has], forgotten=min(old.forgotten, has), is_suspect=True)
            after = _cut_all(_put_log(state, MASTER, new))._replace(hit=state.hit | {old.epoch})
            yield f"the server loses its power, and has {has} of {len(old.entries)} entries", after

    # The client --------------------------------------------------------------------------------------------------

    def _client(self, state: State) -> Steps:
        client = state.client
        if client.at != AWAY:
            if state.budget.moves:
                yield "the client leaves", state._replace(client=client._replace(at=AWAY))
            return
        if not state.budget.moves:
            return
        for p, (name, process) in enumerate(zip("PQ", state.processes, strict=True)):
            if not process.is_open:
                continue  # it waits for the log
            if not client.has_begun:
                if self._is_current(state, p) or not self.design.asks_head:
                    yield f"the client begins at {name}", self._begin(_spend(state, "moves"), p)
                continue
            reason = self._judge(client, process)
            is_current = self._is_current(state, p)
            is_held = self.design.judges == "when current" or (reason == "invalid" and self.design.judges != "at once")
            if reason is not None and is_held and not is_current:
                continue  # it waits for the process to read on
            came = _spend(state, "moves")
            if reason is None:
                yield f"the client comes back to {name}", self._resume(came, p)
            else:
                log = state.logs[max(process.server, MASTER)]
                came = came._replace(client=client._replace(at=p))
                yield f"the client comes back to {name}: {reason}", self._tell_gap(came, process, log, reason)

    def _is_current(self, state: State, p: int) -> bool:
        process, log = state.processes[p], state.logs[MASTER]
        is_there = process.server == MASTER and not process.renews and process.epoch == log.epoch
        return is_there and len(process.past) == len(log.entries) and self._read(state, p) is None

    def _begin(self, state: State, p: int) -> State:
        process = state.processes[p]
        ears = tuple(SHOWN if event in state.acknowledged else UNASKED for event in range(1, len(state.owners) + 1))
        has_stamp = len(process.past) > process.known_from or not process.past
        begun = Client(p, True, process.epoch, process.past, has_stamp, ears)
        return state._replace(client=begun)

    def _judge(self, client: Client, process: Process) -> str | None:
        """Why the client can't go on behind its id in that process; None if it can."""
        design, place = self.design, len(client.past)
        if design.epoch_in_id and client.epoch != process.epoch:
            return "epoch"
        if place > len(process.past):
            return "invalid"
        if place < process.forgotten and design.tells_trimmed:
            return "expired"
        if place and design.stamp_in_id:
            is_known = place > process.known_from and client.has_stamp
            return "invalid" if is_known and process.past[place - 1] != client.past[-1] else None
        return None

    def _resume(self, state: State, p: int) -> State:
        process, client = state.processes[p], state.client
        missed = process.past[max(len(client.past), process.forgotten) :]
        client = client._replace(at=p, epoch=process.epoch, past=client.past)
        return self._hear(state._replace(client=client), process, missed)

    def _hear(self, state: State, process: Process, events: Events) -> State:
        client = state.client
        ears, wrong = list(client.ears), state.wrong
        for event in events:
            if event in process.known:
                continue
            ear, owner = ears[event - 1], state.owners[event - 1]
            if ear == HEARD:
                wrong = self._first(wrong, f"2: event {event} is heard twice")
            elif ear == HEARD_BEFORE and (self.scope.is_strict or event not in state.again):
                wrong = self._first(wrong, f"2: event {event} is heard again behind a gap")
            elif ear == SHOWN:
                wrong = self._first(wrong, f"7: event {event} was acknowledged before the client began")
            later = range(event + 1, len(state.owners) + 1)
            if any(state.owners[other - 1] == owner and ears[other - 1] == HEARD for other in later):
                wrong = self._first(wrong, f"3: event {event} is heard after a later one of its process")
            ears[event - 1] = HEARD
        has_stamp = client.has_stamp or bool(events)
        client = client._replace(past=(*client.past, *events), has_stamp=has_stamp, ears=tuple(ears))
        return state._replace(client=client, wrong=wrong)

    def _tell_gap(self, state: State, process: Process, log: Log, reason: str) -> State:
        """Tell the client that it goes on where `process` stands."""
        client, wrong = state.client, state.wrong
        forgotten = max(log.forgotten, process.forgotten)
        is_forgotten = reason == "expired" and len(client.past) <= forgotten
        if client.epoch not in state.hit and not is_forgotten:
            wrong = self._first(wrong, f"4: the client is told of a gap ({reason}), and nothing can have been lost")
        behind = log.entries[len(process.past) :] if log.epoch == process.epoch else ()
        ears = list(client.ears)
        for event, ear in enumerate(ears, 1):
            if ear == OWED and event not in behind:
                ears[event - 1] = EXCUSED
            elif ear == HEARD:
                ears[event - 1] = HEARD_BEFORE
        has_stamp = len(process.past) > process.known_from or not process.past
        client = client._replace(epoch=process.epoch, past=process.past, has_stamp=has_stamp, ears=tuple(ears))
        return state._replace(client=client, wrong=wrong)

    # What must not be --------------------------------------------------------------------------------------------

    def broken(self, state: State) -> str | None:
        return next(filter(self._counts, self._wrong(state)), None)

    def _counts(self, wrong: str) -> bool:
        return not wrong.startswith(self.scope.except_for)

    def _first(self, before: str | None, wrong: str) -> str | None:
        return before or (wrong if self._counts(wrong) else None)

    def _wrong(self, state: State) -> Iterator[str]:
        if state.wrong is not None:
            yield state.wrong
        if state.epochs > self._most_epochs:
            yield f"8: {state.epochs} epochs have begun"
        log, client = state.logs[MASTER], state.client
        if client.at == AWAY or any(
            process.outgoing or process.server or process.renews for process in state.processes
        ):
            return
        if any(self._read(state, p) is not None for p in (0, 1)):
            return
        for event, ear in enumerate(client.ears, 1):
            if ear == OWED and event in state.acknowledged:
                yield f"1: event {event} is acknowledged, and neither heard nor announced"
        if any(process.epoch != log.epoch or process.past != log.entries for process in state.processes):
            yield f"5: the log has {log.entries}, P {state.processes[0].past} and Q {state.processes[1].past}"
        if client.past != log.entries:
            yield f"6: the client's id stands for {client.past}, and the log has {log.entries}"


def _put(state: State, p: int, process: Process) -> State:
    one, other = state.processes
    return state._replace(processes=(process, other) if p == 0 else (one, process))


def _put_log(state: State, server: int, log: Log) -> State:
    return state._replace(logs=(*state.logs[:server], log, *state.logs[server + 1 :]))


def _cut_all(state: State) -> State:
    one, other = state.processes
    return state._replace(processes=(one._replace(server=AWAY), other._replace(server=AWAY)))


def _spend(state: State, what: str) -> State:
    left: int = getattr(state.budget, what)
    return state._replace(budget=state.budget._replace(**{what: left - 1}))
