"""Every code block of the documentation is run by the tests, or marked as a fragment, with a reason.

A block counts as run in one of three ways. A test file says that it runs it, by a constant `RUNS_BLOCKS`; it is Python,
which `test_documents.py` runs if nobody else does; or it is shell, and the parsers of its programs take its commands.
The constant stands in the file of the test, so that both are written, moved and deleted together. What runs is not
recorded while tests run: such a record is whole only when all of them have run, in one process, and none was skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain

import pytest
from markdown_it import MarkdownIt

from nitro.serve.sources import _places
from nitro.settings import Settings
from tests.command_lines import NITRO, UVICORN, UnknownCommand, check, commands
from tests.documents import PAGES, ROOT, Document, claims, is_selected
from tests.specification.blocks import Block, blocks_in

DOCUMENTS = [Document(name) for name in PAGES]
EACH_PAGE = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
BEFORE = "docs/migrating/from-nitro-boost.md"
"""About another package, whose command was `nitro`, too."""
WHAT_TO_DO = (
    "run it in a test, whose file says so: RUNS_BLOCKS = {{{page!r}: [{selector!r}]}}; "
    "or write above it why it can't be run: <!-- fragment: the reason -->"
)


def problem_of(block: Block, document: Document) -> str | None:
    """Why the block doesn't count as run, if it doesn't."""
    claimed = claims().get(document.name, {}).items()
    files = [file for file, selectors in claimed if any(is_selected(block, each) for each in selectors)]
    if block.fragment:
        return None if len(block.fragment.split()) >= 3 else "its mark as a fragment gives no reason"
    if len(files) > 1:
        return f"{' and '.join(files)} say that they run it; one is enough"
    if files or block.language == "python":
        return None
    what_to_do = WHAT_TO_DO.format(page=document.name, selector=f"{block.heading}: {block.language}")
    if block.language != "sh":
        return f"nothing runs it: {what_to_do}"
    try:
        for words in commands(block.source):
            check(words)
    except UnknownCommand as error:
        return f"{error}; mend it, or {what_to_do}"
    return None


@EACH_PAGE
def test_each_block_is_run_or_says_why_not(document: Document) -> None:
    problems = [
        f"{document.name}:{block.line}: {block.language or 'a block without a language'}: {problem}"
        for block in document.blocks
        if (problem := problem_of(block, document))
    ]
    assert problems == []


@EACH_PAGE
def test_there_is_no_code_beside_fenced_blocks(document: Document) -> None:
    """Which would be counted by nobody: a fence of tildes, one in a list, or lines that are indented."""
    kinds = [token.type for token in MarkdownIt().parse(document.text)]
    assert (kinds.count("fence"), kinds.count("code_block")) == (len(document.blocks), 0)


def test_each_claim_is_of_a_block_that_there_is_and_of_a_page_that_its_file_reads() -> None:
    for page, files in claims().items():
        assert page in PAGES, f"{', '.join(files)}: there is no page {page}"
        for file, selectors in files.items():
            blocks = [block for block in Document(page).blocks if not block.fragment]
            for selector in selectors:
                assert any(is_selected(block, selector) for block in blocks), f"{file}: {page} has no {selector!r}"
            named = rf"\b{page.rpartition('/')[2].removesuffix('.md')}\b|RUNS_BLOCKS"
            assert any(re.search(named, text) for text in read_by(file)), f"{file} never reads {page}"


def read_by(file: str) -> Iterator[str]:
    """The text of a test file without its claims, and of the modules of the tests that it names."""
    text = (ROOT / file).read_text(encoding="utf-8")
    yield re.sub(r"^RUNS_BLOCKS = \{.*?\}\n", "", text, count=1, flags=re.MULTILINE | re.DOTALL)
    for module in set(re.findall(r"\btests((?:\.\w+)+)", text)):
        path = ROOT / f"tests{module.replace('.', '/')}.py"
        if path.is_file():
            yield path.read_text(encoding="utf-8")


def prose() -> Iterator[tuple[str, str]]:
    """Each page with what stands in its lines in backticks."""
    for document in DOCUMENTS:
        for block in MarkdownIt().enable("table").parse(document.text):
            for token in block.children or ():
                if token.type == "code_inline":
                    yield document.name, token.content


def test_each_extra_that_is_named_exists() -> None:
    for document in DOCUMENTS:
        for extras in re.findall(r"nitro-realtime\[([^]]+)\]", document.text):
            check(["pip", "install", f"nitro-realtime[{extras}]"])


def variables_of_commands() -> Iterator[str]:
    for command in NITRO.commands.values():
        for parameter in command.params:
            names = parameter.envvar or ()
            yield from [names] if isinstance(names, str) else names


def test_each_variable_that_is_named_is_read() -> None:
    aliases = [field.validation_alias for field in Settings.model_fields.values()]
    known = {f"NITRO_{name.upper()}" for name in Settings.model_fields}
    known |= {str(choice) for alias in aliases for choice in getattr(alias, "choices", ())}
    known |= {*_places({"publish": {"keys": {"NAME": {}}}}), *variables_of_commands()}
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    known |= set(re.findall(r"NITRO_TEST_\w+", tests))
    named = {(document.name, name) for document in DOCUMENTS for name in re.findall(r"\bNITRO_\w+", document.text)}
    beginnings = tuple(name for _, name in named if name.endswith("_"))  # of several, as NITRO_HISTORY_…
    assert {name for name in beginnings if not any(each.startswith(name) for each in known)} == set()
    assert {(page, name) for page, name in named if name not in (*known, *beginnings)} == set()


def commands_of_nitro(block: Block) -> Iterator[list[str]]:
    """Those that are typed in it, if it is a block of shell or of a terminal."""
    if block.language in ("sh", "console"):
        prompt = r"\$ " if block.language == "console" else ""
        for line in re.findall(rf"^{prompt}(.*\bnitro .*)$", block.source.replace("\\\n", ""), re.MULTILINE):
            yield from (words for words in commands(line) if words[0] == "nitro")


def test_each_command_of_nitro_that_is_named_exists_with_its_options() -> None:
    """In prose a command is mostly named without its arguments; in blocks all of it is given, and has to be right."""
    every = [(page, shown) for page, shown in prose() if re.match(r"(python -m )?nitro [a-z-]", shown)]
    every = [(page, shown) for page, shown in every if page != BEFORE]
    assert len(every) > 20
    for page, shown in every:
        name, *words = shown.partition("nitro ")[2].split()
        command = NITRO.commands.get(name)
        assert command is not None, (page, shown)
        options = {option for parameter in command.params for option in parameter.opts}
        if command.context_settings.get("ignore_unknown_options"):  # which are uvicorn's
            options |= {option for parameter in UVICORN.params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options, (page, shown)
    for document in DOCUMENTS:
        for words in chain.from_iterable(map(commands_of_nitro, document.blocks)):
            check(words)


def test_a_block_that_nothing_runs_is_told_with_its_place_and_what_to_do() -> None:
    text = "# Page\n\n```yaml\na: 1\n```\n\n<!-- fragment: no reason -->\n```yaml\n```\n\n```sh\nmake nothing\n```\n"
    document = Document("SECURITY.md")
    nothing, mark, target = (problem_of(block, document) for block in blocks_in(text))
    assert nothing == f"nothing runs it: {WHAT_TO_DO.format(page='SECURITY.md', selector='Page: yaml')}"
    assert mark == "its mark as a fragment gives no reason"
    assert target is not None
    assert target.startswith("the Makefile has no 'nothing'; mend it, or run it in a test")
