"""What `Entity` promises: validation, values without a session, queries, and errors that say what to do."""

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import new_class
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest
from pydantic import PrivateAttr, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import from_json, to_json
from sqlalchemy import JSON, Column, String, desc, func, null, true, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.orm.exc import DetachedInstanceError
from sqlmodel import Field, Relationship, Session, col

from nitro import errors
from nitro.entities.entity import Entity
from nitro.errors import ConfigurationError, InvalidQuery, NitroError, NotLoaded
from nitro.repository import SQLModelRepository
from nitro.settings import get_settings

UserId = NewType("UserId", str)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class EntityTask(Entity, table=True):
    title: str
    completed: bool = False


class EntityShop(Entity, table=True):
    name: str = Field(unique=True, min_length=2)
    notes: str | None = None
    price: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    tags: list[str] = Field(default_factory=list, sa_column=Column(JSON))
    made: datetime | None = Field(default=None, sa_column_kwargs={"server_default": func.now()})
    owner: str | None = Field(default=None, foreign_key="entitytask.id")


class EntityForm(Entity, table=True):
    answers: dict[str, int] | list[int] | None = Field(default=None, sa_column=Column(JSON))
    indexed: dict[str, int] | None = Field(default=None, sa_column=Column(JSON().with_variant(JSONB(), "postgresql")))
    absent: dict[str, int] | None = Field(default=None, sa_column=Column(JSON(none_as_null=True)))


class EntityTeam(Entity, table=True):
    name: str
    players: list["EntityPlayer"] = Relationship(back_populates="team")


class EntityPlayer(Entity, table=True):
    name: str
    team_id: str | None = Field(default=None, foreign_key="entityteam.id")
    team: EntityTeam | None = Relationship(back_populates="players")


class EntityPage(Entity, table=True):
    title: str
    slug: str = ""
    _reads: int = PrivateAttr(default=0)

    @field_validator("title")
    @classmethod
    def strip(cls, title: str) -> str:
        return title.strip()

    @model_validator(mode="after")
    def derive(self) -> "EntityPage":
        if self.title == "forbidden":
            raise ValueError("no such title")
        self.slug = self.title.lower()
        return self


class EntityDraft(Entity):
    title: str


class EntityElsewhere(Entity, table=True):
    _repository = SQLModelRepository("sqlite://")
    title: str


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "entities.db"
    monkeypatch.setenv("NITRO_DB_URL", f"sqlite:///{path}")
    get_settings.cache_clear()
    EntityTask._repository.init_db()
    yield path
    EntityTask._repository.close()
    get_settings.cache_clear()


def titles(tasks: list[EntityTask]) -> list[str]:
    return [task.title for task in tasks]


# Validation


@pytest.mark.parametrize(
    "fields",
    [{"title": 3j}, {}, {"title": None}, {"title": "a", "completed": "nonsense"}, {"title": "a", "id": 3}],
)
def test_creation_refuses_what_is_no_value_of_the_field(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EntityTask(**fields)


@pytest.mark.parametrize("kind", [EntityTask, EntityDraft])
def test_creation_refuses_unknown_fields(kind: Callable[..., Entity]) -> None:
    with pytest.raises(ValidationError, match="unknown"):
        kind(title="a", unknown=1)


def test_creation_converts_as_pydantic_does() -> None:
    texts: dict[str, Any] = {"name": "ab", "price": "1.5", "colour": "blue", "made": "2026-01-02T03:04:05Z"}
    shop = EntityShop(**texts)
    assert (shop.price, shop.colour, shop.made) == (
        Decimal("1.5"),
        Colour.BLUE,
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    )


def test_a_refused_assignment_leaves_the_old_value_and_what_is_saved() -> None:
    task = EntityTask(title="a").save()
    for name, value in {"completed": "nonsense", "title": 3j, "id": None}.items():
        before = task.model_dump()
        with pytest.raises(ValidationError):
            setattr(task, name, value)
        assert task.model_dump() == before
    assert EntityTask.get(task.save().id) == task


def test_a_refusal_by_a_validator_of_the_whole_leaves_all_values() -> None:
    page = EntityPage(title="A")
    with pytest.raises(ValidationError, match="no such title"):
        page.title = "forbidden"
    assert (page.title, page.slug) == ("A", "a")


def test_validators_of_the_whole_may_write_other_fields_which_are_saved() -> None:
    page = EntityPage(title=" First ").save()
    page.title = " Second "
    page.save()
    assert EntityPage.get(page.id) == page
    assert (page.title, page.slug) == ("Second", "second")


def test_assignment_converts_and_refuses_unknown_attributes() -> None:
    task = EntityTask(title="a")
    given: Any = "yes"
    task.completed = given
    assert task.completed is True
    with pytest.raises(ValueError, match="unknown"):
        task.unknown = 1


def test_a_plain_subclass_is_a_validated_model_that_cannot_be_saved() -> None:
    draft = EntityDraft(title="a")
    with pytest.raises(ValidationError):
        draft.title = 3j  # type: ignore[assignment]  # it is what the test is about
    assert draft.title == "a"
    for ask in (draft.save, draft.delete, EntityDraft.all, lambda: EntityDraft.get("a"), EntityDraft.find_by):
        with pytest.raises(InvalidQuery, match=r"class EntityDraft\(Entity, table=True\)"):
            ask()


def test_pydantic_builds_the_same_entity_in_every_way() -> None:
    task = EntityTask(title="a", id="1").save()
    built = [
        EntityTask.model_validate({"title": "a", "id": "1"}),
        EntityTask.model_validate({"title": "b", "id": "1"}, update={"title": "a"}),
        EntityTask.model_validate(EntityDraft(title="a", id="1")),
        EntityTask.model_validate(EntityDraft(title="b", id="1"), update={"title": "a"}),
        EntityTask.model_validate_json(task.model_dump_json()),
        EntityTask.model_construct(title="a", id="1"),
        TypeAdapter(EntityTask).validate_python({"title": "a", "id": "1"}),
    ]
    for one in built:
        assert one == task
        one.title = "changed"
        assert EntityTask.get(one.save().id) == one
    with pytest.raises(ValidationError):
        EntityTask.model_validate({"title": 3j})
    with pytest.raises(ValidationError):
        EntityTask.model_validate(EntityDraft(title="b"), update={"title": 3j})


# Values


def test_ids_are_distinct_strings() -> None:
    ids = {EntityTask(title="a").id for _ in range(100)}
    assert len(ids) == 100
    assert {type(id) for id in ids} == {str}


def test_dumps_are_the_same_before_and_after_save_and_get() -> None:
    task = EntityTask(title="a")
    before = task.model_dump()
    assert list(before) == ["id", "title", "completed"]
    task.save()
    loaded = EntityTask.get(task.id)
    assert loaded is not None
    for one in (task, loaded):
        assert one.model_dump() == before
        assert list(from_json(one.model_dump_json())) == list(before)
        assert from_json(to_json(one)) == before
    assert loaded.model_dump(exclude_unset=True) == before


def test_the_database_fills_in_its_own_values_at_save() -> None:
    shop = EntityShop(name="ab").save()
    assert isinstance(shop.made, datetime)
    assert EntityShop.get(shop.id) == shop


def test_changes_inside_a_value_are_saved() -> None:
    shop = EntityShop(name="ab", tags=["a"]).save()
    shop.tags.append("b")
    shop.save()
    loaded = EntityShop.get(shop.id)
    assert loaded is not None
    assert loaded.tags == ["a", "b"]


def test_equal_are_the_same_class_and_the_same_values() -> None:
    task = EntityTask(title="a").save()
    loaded = EntityTask.get(task.id)
    assert loaded == task
    assert hash(loaded) == hash(task)
    assert {task, loaded} == {task}
    assert task != EntityTask(title="a")
    assert task != EntityDraft(id=task.id, title="a")
    task.completed = True
    assert loaded != task
    assert hash(loaded) == hash(task)


def test_repr_shows_the_fields_only() -> None:
    assert repr(EntityTask(id="1", title="a").save()) == "EntityTask(id='1', title='a', completed=False)"


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), lambda one: one.model_copy()],
)
def test_copies_are_equal_and_independent(duplicate: Callable[[EntityTask], EntityTask]) -> None:
    task = EntityTask.get(EntityTask(title="a").save().id)
    assert task is not None
    twin = duplicate(task)
    assert twin == task
    twin.title = "b"
    assert (task.title, EntityTask.get(twin.save().id), task == twin) == ("a", twin, False)


def test_a_deep_copy_keeps_what_is_one_object_one() -> None:
    task = EntityTask(title="a")
    first, second = copy.deepcopy([task, task])
    assert first is second
    assert first is not task


def test_private_attributes_survive_and_are_there_on_what_is_loaded() -> None:
    page = EntityPage(title="a").save()
    page._reads = 3
    page.title = "b"
    assert page.save()._reads == 3
    loaded = EntityPage.get(page.id)
    assert loaded is not None
    loaded._reads += 1
    assert loaded._reads == 1


# Rows


def test_a_saved_entity_can_be_changed_and_saved_again_from_another_thread() -> None:
    task = EntityTask(title="a").save()
    task.title = "b"
    with ThreadPoolExecutor(1) as pool:
        pool.submit(task.save).result()
    assert titles(EntityTask.all()) == ["b"]


def test_save_updates_by_id_whoever_loaded_the_entity() -> None:
    task = EntityTask(id="1", title="a").save()
    EntityTask(id="1", title="b").save()
    task.completed = True
    assert task.save() is task
    assert EntityTask.all() == [EntityTask(id="1", title="a", completed=True)]


def test_save_under_a_new_id_adds_a_row() -> None:
    task = EntityTask.get(EntityTask(id="1", title="a").save().id)
    assert task is not None
    task.id = "2"
    task.save()
    assert {one.id for one in EntityTask.all()} == {"1", "2"}


def test_delete_says_whether_there_was_a_row_and_leaves_the_entity_usable() -> None:
    task = EntityTask(title="a")
    assert task.delete() is False
    task.save()
    assert EntityTask.exists(task.id) is True
    assert task.delete() is True
    assert task.delete() is False
    assert EntityTask.exists(task.id) is False
    assert (task.title, EntityTask.get(task.id)) == ("a", None)
    assert EntityTask.get(task.save().id) == task


def test_a_missing_row_is_none() -> None:
    assert EntityTask.get("missing") is None
    assert EntityTask.find("missing") is None
    assert EntityTask.find_by(title="missing") is None
    assert EntityTask.all() == []


def test_what_was_loaded_and_deleted_elsewhere_is_inserted_again() -> None:
    task = EntityTask.get(EntityTask(id="1", title="a").save().id)
    assert task is not None
    EntityTask(id="1", title="other").delete()
    task.save()
    assert EntityTask.all() == [task]


def test_save_keeps_what_is_related_and_nothing_unloaded_is_lost() -> None:
    team = EntityTeam(name="t", players=[EntityPlayer(name="a"), EntityPlayer(name="b")]).save()
    loaded = EntityTeam.get(team.id)
    assert loaded is not None
    with pytest.raises(DetachedInstanceError):
        loaded.players
    loaded.name = "u"
    loaded.save()
    assert {player.name for player in EntityPlayer.filter(team_id=team.id)} == {"a", "b"}
    again = EntityTeam.model_validate({"name": "v", "players": [EntityPlayer(name="c")]}).save()
    assert [player.name for player in EntityPlayer.filter(team_id=again.id)] == ["c"]


def test_a_database_error_is_raised_and_leaves_the_entity_as_it_was() -> None:
    EntityShop(name="same").save()
    other = EntityShop(name="same")
    before = other.model_dump()
    with pytest.raises(IntegrityError):
        other.save()
    assert other.model_dump() == before
    other.name = "other"
    assert EntityShop.get(other.save().id) == other


def test_references_to_missing_rows_are_refused_by_sqlite_too() -> None:
    with pytest.raises(IntegrityError):
        EntityShop(name="ab", owner="missing").save()


def test_a_missing_table_is_a_database_error(monkeypatch: pytest.MonkeyPatch) -> None:
    repository = SQLModelRepository("sqlite://")
    monkeypatch.setattr(EntityTask, "_repository", repository)
    for ask in (EntityTask.all, EntityTask(title="a").save, EntityTask(title="a").delete):
        with pytest.raises(OperationalError, match="no such table"):
            ask()
    repository.close()


def test_the_error_about_a_missing_table_says_how_tables_are_made_and_other_errors_dont(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(IntegrityError) as other:
        EntityShop(name="ab", owner="missing").save()
    assert not hasattr(other.value, "__notes__")
    repository = SQLModelRepository("sqlite://")
    monkeypatch.setattr(EntityTask, "_repository", repository)
    for ask in (
        EntityTask(title="a").save,
        EntityTask(title="a").delete,
        EntityTask.all,
        EntityTask.where,
        EntityTask.count,
        EntityTask.filter,
        EntityTask.search,
        partial(EntityTask.get, "1"),
        partial(EntityTask.exists, "1"),
        partial(EntityTask.find_by, title="a"),
        partial(EntityTask.create_many, [{"title": "a"}]),
        partial(EntityTask.delete_where, true()),
        partial(EntityTask.update_where, true(), title="b"),
    ):
        with pytest.raises(OperationalError) as raised:
            ask()
        (note,) = raised.value.__notes__
        assert "EntityTask._repository.init_db()" in note
    repository.close()


def test_a_class_may_keep_its_entities_in_another_database() -> None:
    EntityElsewhere._repository.init_db()
    one = EntityElsewhere(title="a").save()
    assert EntityElsewhere._repository is one._repository
    assert EntityElsewhere._repository is not EntityTask._repository
    assert EntityElsewhere.all() == [one]
    one.delete()
    one._repository.close()


def test_entities_work_in_a_session_of_ones_own() -> None:
    id = EntityTask(title="a").save().id
    with Session(EntityTask._repository.engine) as session:
        task = session.get(EntityTask, id)
        assert task is not None
        task.title = "b"
        session.add(EntityTask(title="c"))
        session.commit()
    assert sorted(titles(EntityTask.all())) == ["b", "c"]


# Queries


@pytest.fixture
def tasks() -> list[EntityTask]:
    return [EntityTask(title=title, completed=title < "c").save() for title in ("b", "d", "a", "c")]


def test_where_takes_expressions_order_and_limits(tasks: list[EntityTask]) -> None:
    assert titles(EntityTask.where(EntityTask.title > "a", EntityTask.completed == True)) == ["b"]  # noqa: E712
    assert titles(EntityTask.where(order_by=EntityTask.title)) == ["a", "b", "c", "d"]
    assert titles(EntityTask.where(order_by="title", limit=2, offset=1)) == ["b", "c"]
    assert titles(EntityTask.where(order_by=["completed", desc(EntityTask.title)])) == ["d", "c", "b", "a"]
    assert titles(EntityTask.where(order_by="title", offset=3)) == ["d"]
    assert EntityTask.where(limit=0) == []


def test_filter_and_find_by_take_values_of_fields(tasks: list[EntityTask]) -> None:
    assert sorted(titles(EntityTask.filter(completed=True))) == ["a", "b"]
    assert titles(EntityTask.filter(completed=True, title="a")) == ["a"]
    assert EntityTask.find_by(title="d") == tasks[1]
    EntityShop(name="ab").save()
    assert len(EntityShop.filter(notes=None, colour=Colour.RED)) == 1


def test_filter_compares_json() -> None:
    one, other = {"a": 1, "b": 2}, {"a": 1, "b": 3}
    full = EntityForm(answers=one, indexed=one, absent=one).save()
    listed, empty = EntityForm(answers=[1, 2]).save(), EntityForm().save()
    with Session(EntityForm._repository.engine) as session:
        session.execute(update(EntityForm).where(col(EntityForm.id) == listed.id).values(indexed=null()))
        session.commit()
    assert EntityForm.filter(answers=one) == EntityForm.filter(indexed=one, absent=one) == [full]
    assert EntityForm.filter(answers=other) == EntityForm.filter(indexed=other) == EntityForm.filter(absent=other) == []
    assert EntityForm.filter(answers=[1, 2]) == [listed]
    assert EntityForm.filter(answers=None) == [empty]
    for forms in (EntityForm.filter(indexed=None), EntityForm.filter(absent=None)):
        assert {form.id for form in forms} == {listed.id, empty.id}
    assert EntityForm.find_by(answers=None, absent=None) == empty
    assert EntityForm.filter(answers={"b": 2, "a": 1}) == [], "as text, where the order of the keys counts"
    is_jsonb = EntityForm._repository.engine.dialect.name == "postgresql"
    assert EntityForm.filter(indexed={"b": 2, "a": 1}) == [full] * is_jsonb


def test_filter_sorts_and_pages(tasks: list[EntityTask]) -> None:
    assert titles(EntityTask.filter(sorting_field="title")) == ["a", "b", "c", "d"]
    page = EntityTask.filter(sorting_field="title", sort_direction="desc", limit=2, offset=1)
    assert titles(page) == ["c", "b"]


def test_pages_of_equal_values_hold_every_row_once(tasks: list[EntityTask]) -> None:
    pages = [EntityTask.filter(sorting_field="completed", limit=1, offset=offset)[0] for offset in range(4)]
    assert {one.id for one in pages} == {one.id for one in tasks}


def test_search_looks_into_string_columns_but_not_into_keys() -> None:
    owner = EntityTask(id="needle", title="a").save()
    found = EntityShop(id="1", name="A Needle").save()
    noted = EntityShop(id="2", name="Other", notes="NEEDLES").save()
    EntityShop(id="needle", name="none", owner=owner.id).save()
    assert EntityShop.search("needle", sorting_field="name") == [found, noted]
    assert EntityShop.search("needle", fields=["notes"]) == [noted]
    assert [one.id for one in EntityShop.search("needle", fields=["id"])] == ["needle"]
    assert EntityShop.search("e", sorting_field="name", sort_direction="desc", limit=1, offset=1) == [noted]


@pytest.mark.parametrize(
    "ask",
    [
        lambda: EntityTask.filter(nope=1),
        lambda: EntityTask.find_by(nope=1),
        lambda: EntityTask.filter(sorting_field="nope"),
        lambda: EntityTask.search("a", fields=["nope"]),
        lambda: EntityTask.search("a", sorting_field="nope"),
        lambda: EntityTask.where(order_by="nope"),
        lambda: EntityTask.filter(save=1),
    ],
)
def test_an_unknown_field_is_named_with_those_there_are(ask: Callable[[], object]) -> None:
    with pytest.raises(InvalidQuery, match=r"no field '(nope|save)'; its fields are completed, id, title"):
        ask()


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        # What is ignored here a type checker refuses, too.
        (lambda: EntityTask.where(limit=-1), "limit is -1"),
        (lambda: EntityTask.filter(offset=-1), "offset is -1"),
        (lambda: EntityTask.search("a", limit=1.5), "limit is 1.5"),  # type: ignore[call-overload]
        (lambda: EntityTask.filter(sort_direction="up"), "'asc' or 'desc'"),  # type: ignore[call-overload]
        (lambda: EntityTask.search("a", fields=["completed"]), "no string column"),
        (lambda: EntityTask.search("a", fields=[]), "no string column to search"),
        (lambda: EntityTask.search(3), "has to be a string"),  # type: ignore[call-overload]
        (lambda: EntityTask.get(None), "is a string"),  # type: ignore[arg-type]
        (lambda: EntityTask.exists(3), "is a string"),  # type: ignore[arg-type]
    ],
)
def test_a_question_that_cannot_be_asked_says_why(ask: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidQuery, match=text) as caught:
        ask()
    assert isinstance(caught.value, NitroError)
    assert isinstance(caught.value, ValueError)


# Imports


def test_an_entity_is_imported_without_the_delivery_and_opens_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from nitro.entities.entity import Entity\n"
        "class EntityFresh(Entity, table=True): title: str\n"
        "EntityFresh(title='a').model_dump()\n"
        "assert not [name for name in sys.modules if name.startswith(('nitro.delivery', 'nitro.repository'))]\n"
        "EntityFresh._repository\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(errors.__file__).parents[1])}
    environment.pop("NITRO_DB_URL")
    command = [sys.executable, "-W", "error", "-c", script]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, timeout=60)
    assert list(tmp_path.glob("nitro.db*")) == []


@pytest.mark.parametrize(
    "make", ["EntityFresh.model_validate({'title': 'a'})", "EntityFresh.model_construct(title='a')"]
)
def test_the_first_object_of_a_process_may_be_made_without_its_constructor(tmp_path: Path, make: str) -> None:
    script = (
        "from nitro import Entity\n"
        "class EntityFresh(Entity, table=True): title: str\n"
        "EntityFresh._repository.init_db()\n"
        f"made = {make}\n"
        "made.title += 'b'\n"
        "assert made.save().title == 'ab'\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(errors.__file__).parents[1])}
    environment["NITRO_DB_URL"] = f"sqlite:///{tmp_path}/fresh.db"
    subprocess.run([sys.executable, "-W", "error", "-c", script], env=environment, check=True, timeout=60)


# What is related, and ids


def test_a_relationship_that_was_not_loaded_is_an_error_with_the_remedy() -> None:
    team = EntityTeam(name="t").save()
    player = EntityPlayer(name="a", team_id=team.id).save()
    loaded = EntityPlayer.get(player.id)
    assert loaded is not None
    for one in (player, loaded, loaded.save(), *EntityPlayer.all(), EntityPlayer.find_by(name="a")):
        assert one is not None
        with pytest.raises(
            NotLoaded, match=r"EntityPlayer\.team was not loaded.*EntityTeam\.get\(entityplayer\.team_id\)"
        ):
            one.team
    for side in (team, EntityTeam.find(team.id)):
        assert side is not None
        with pytest.raises(NotLoaded, match=r"EntityPlayer\.filter\(team_id=entityteam\.id\)") as caught:
            side.players
        assert isinstance(caught.value, NitroError)
        assert isinstance(caught.value, DetachedInstanceError)
    assert player.team_id is not None
    assert EntityTeam.get(player.team_id) == team
    assert EntityPlayer.filter(team_id=team.id) == [player]


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), lambda one: one.model_copy()],
)
def test_copies_of_what_was_saved_know_no_more_than_it(duplicate: Callable[[EntityPlayer], EntityPlayer]) -> None:
    player = EntityPlayer(name="a", team_id=EntityTeam(name="t").save().id).save()
    twin = duplicate(player)
    with pytest.raises(NotLoaded):
        twin.team
    twin.id = "another"
    assert EntityPlayer.get(twin.save().id) == twin
    assert {one.id for one in EntityPlayer.all()} == {player.id, "another"}
    assert duplicate(EntityPlayer(name="new")).team is None


def test_an_entity_that_failed_to_be_saved_under_another_id_is_the_row_that_it_was() -> None:
    team = EntityTeam(name="t").save()
    saved = EntityPlayer(name="a", team_id=team.id).save()
    loaded = EntityPlayer.get(saved.id)
    with Session(EntityPlayer._repository.engine) as session:
        used = session.get(EntityPlayer, saved.id)
        for one in (saved, loaded, used):
            assert one is not None
            id, one.id, one.team_id = one.id, "another", "missing"
            with pytest.raises(IntegrityError):
                one.save()
            one.id, one.team_id = id, team.id
        for one in (saved, loaded):
            assert one is not None
            with pytest.raises(NotLoaded):
                one.team
        assert used is not None
        assert used.team == team, "its session still loads it"
        used.name = "b"
        session.commit()
    assert [player.name for player in EntityPlayer.all()] == ["b"]
    assert saved.save() == saved
    assert EntityPlayer.all() == [saved]


def test_what_was_given_stays_and_all_that_was_saved_has_its_rows_values() -> None:
    team = EntityTeam(name="t", players=[EntityPlayer(name="a"), EntityPlayer(name="b")]).save()
    assert [(player.name, player.team_id) for player in team.players] == [("a", team.id), ("b", team.id)]
    assert team.players[0].team is team
    player = EntityPlayer(name="c", team=EntityTeam(name="u")).save()
    assert player.team is not None
    assert (player.team.name, player.team_id) == ("u", player.team.id)
    assert EntityTeam.get(player.team.id) == player.team
    assert EntityPlayer.get(player.id) == player


def test_what_is_related_no_more_is_not_kept() -> None:
    old, new = EntityTeam(name="old").save(), EntityTeam(name="new").save()
    player = EntityPlayer(name="a", team=old).save()
    assert player.team is old
    player.team_id = new.id
    player.save()
    with pytest.raises(NotLoaded):
        player.team
    player.team = new
    assert player.save().team is new
    assert EntityPlayer.filter(team_id=new.id) == [player]


def test_what_is_loaded_in_a_session_of_ones_own_stays_loaded() -> None:
    team = EntityTeam(name="t", players=[EntityPlayer(name="a")]).save()
    with Session(EntityTeam._repository.engine, expire_on_commit=False) as session:
        found = session.get(EntityTeam, team.id)
        assert found is not None
        assert [player.name for player in found.players] == ["a"]
    assert [player.name for player in found.players] == ["a"]
    found.name = "u"
    assert [player.name for player in found.save().players] == ["a"]
    built = EntityTeam.model_validate(EntityTeam.get(team.id), update={"name": "v"})
    assert (built.id, built.name) == (team.id, "v")


def test_what_was_saved_can_be_added_to_a_session_of_ones_own() -> None:
    task = EntityTask(title="a").save()
    with Session(EntityTask._repository.engine) as session:
        session.add(task)
        task.title = "b"
        session.commit()
    assert titles(EntityTask.all()) == ["b"]


@pytest.mark.parametrize(
    "annotation", [int, int | None, str | int, UUID, NewType("Number", int), Annotated[int, Field(gt=0)]]
)
@pytest.mark.parametrize("table", [True, False])
def test_an_id_that_is_no_string_is_refused_where_it_is_declared(annotation: object, table: bool) -> None:
    fields = {
        "__annotations__": {"id": annotation},
        "id": Field(default=None, primary_key=True),
        "__module__": __name__,
    }
    with pytest.raises(
        ConfigurationError, match=r"EntityNumbered\.id is declared as .*number: int = Field\(unique=True\)"
    ):
        new_class("EntityNumbered", (Entity,), {"table": True} if table else {}, lambda body: body.update(fields))
    assert "entitynumbered" not in Entity.metadata.tables


@pytest.mark.parametrize(
    "key", [Field(primary_key=True), Field(sa_column=Column(String, primary_key=True))], ids=["field", "column"]
)
def test_a_second_primary_key_is_refused_where_it_is_declared(key: Any) -> None:
    fields = {"__annotations__": {"tenant": str}, "tenant": key, "__module__": __name__}
    with pytest.raises(ConfigurationError, match=r"EntityKeyed\.tenant is .*\(UniqueConstraint\('tenant'\),\)"):
        new_class("EntityKeyed", (Entity,), {"table": True}, lambda body: body.update(fields))
    assert "entitykeyed" not in Entity.metadata.tables


def test_an_id_may_be_any_kind_of_string() -> None:
    class EntityNamed(Entity, table=True):
        id: str = Field(primary_key=True, min_length=2)

    class EntityAliased(Entity):
        id: UserId = UserId("a")

    class EntityChosen(Entity):
        id: Literal["a", "b"] | None = None  # type: ignore[assignment]  # narrower than a string, and None

    assert EntityNamed(id="ab").id == "ab"
    assert EntityAliased().id == "a"
    assert EntityChosen(id="a").id == "a"
    Entity.metadata.remove(Entity.metadata.tables["entitynamed"])
