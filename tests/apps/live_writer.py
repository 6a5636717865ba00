"""Writes rows of a live class in transactions, and kills itself: `live_writer URL`, then a line with a number for each.

For each line it forks a process, in which the statement of that number is the last; it answers when that is dead. So
nothing has to be imported again.
"""

from __future__ import annotations

import os
import random
import signal
import sys

from sqlalchemy import Engine, create_engine, delete, event, insert, select, update
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import nitro

__all__ = ["Base", "Item", "engine_of"]


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "live_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


nitro.live_model(Item, "item")


def engine_of(url: str) -> Engine:
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def write(url: str, last: int) -> None:
    """Transactions without an end, until statement number `last` was executed, or a commit that counts as one."""
    engine = engine_of(url)
    chance = random.Random(last)
    done = 0

    def count(*_: object) -> None:
        nonlocal done
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit"):
        event.listen(engine, name, count)
    event.listen(Session, "after_commit", count)
    while True:
        with Session(engine) as session:
            for _ in range(chance.randint(1, 4)):
                change(session, chance)
            session.commit()


def change(session: Session, chance: random.Random) -> None:
    value = chance.randrange(100)
    items = session.scalars(select(Item).limit(5)).all()
    match chance.randrange(6):
        case 0 | 1:
            session.add(Item(value=value))
        case 2 if items:
            session.delete(chance.choice(items))
        case 3:
            session.execute(update(Item).where(Item.value > value).values(value=value))
        case 4:
            session.execute(delete(Item).where(Item.value < value // 4))
        case 5:
            session.execute(insert(Item).values(value=value))
        case _ if items:
            chance.choice(items).value = value
    session.flush()


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            write(sys.argv[1], int(line))
        _, status = os.waitpid(child, 0)
        print(os.WTERMSIG(status), flush=True)


if __name__ == "__main__":
    main()
