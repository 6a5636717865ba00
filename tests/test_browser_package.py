"""The browser client as a package: what npm would publish, checked, type-checked, and built by others' bundlers."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext

from nitro.events.declarations import declarations_of
from nitro.events.event import Namespace
from nitro.messages.topics import matches
from nitro.testing.conformance import eventually
from tests.commands import Command
from tests.commands import run as nitro
from tests.documents import ROOT, Document
from tests.servers import Server

RUNS_BLOCKS = {"docs/how-to/typed-events.md": ["ts"]}
JS = ROOT / "js"
NPM = ROOT / "tests/npm"
TOOLS = NPM / "node_modules/.bin"
WORKER = 'worker: new URL("nitro-realtime/worker", import.meta.url)'
QUICK = {"NITRO_RETRY_MILLISECONDS": "200", "NITRO_HEARTBEAT_SECONDS": "0.5"}

CONSUMER = """
import { connect, type Failure, type Gap, type Handler, type Live, type Message, type Options } from "FROM";
import type { RoomMember, State } from "FROM";
// @ts-expect-error: the script exports no such value
import { Live as Value } from "FROM";

interface Todo { id: number; title: string }

const seen: [State, string | undefined][] = [];
const options: Options = { topics: ["todo.*"], credentials: "include", share: "user-7", headers: () => ({ a: "b" }) };
const live: Live = connect("/events", options);
const show: Handler = (data: Todo, { topic, id }: Message) => console.log(data.title, topic.length, id.length);
const say = ({ reason, resumed_at }: Gap): void => console.log(reason, resumed_at);
const offs: (() => void)[] = [live.on("todo.*", show), live.on("gap", say)];
live.on("*", (data, message) => console.log(data, message.topic));
live.onstate = (state, error: Failure | null) => seen.push([state, error?.message]);
live.subscribe("user.*", "team.*");
live.unsubscribe("user.*");
const names = ([first]: RoomMember<{ name: string }>[], count: number) => console.log(first?.state.name, count);
const lookAway: () => void = live.presence("room.42", names);
lookAway();
const listen = <P extends string, T>(pattern: P, handler: Handler<T>) => offs.push(live.on(pattern, handler));
listen("todo.*", show);
live.on<string>("todo.*", (text) => console.log(text.length));
live.on(`user.${options.since}.*`, (data) => console.log(data.anything));
const state: "connecting" | "open" | "waiting" | "closed" = live.state;
for (const off of offs) off();
live.close();

// @ts-expect-error: a topic is a string
connect("/events", { topics: [7] });
// @ts-expect-error: what is left out is not undefined
connect("/events", { since: undefined });
// @ts-expect-error: there is no such option
connect("/events", { topic: ["a"] });
// @ts-expect-error: a gap has no such reason
live.on("gap", (gap: Gap) => gap.reason === "boredom");
// @ts-expect-error: a room is a string
live.presence(42, names);
export { state, type Value };
"""
FOLLOWING = """
import { follow, type End, type Failure, type FollowOptions, type Run, type State } from "FROM/followEND";

interface Todo { id: number; title: string }

const seen: State[] = [];
const following: FollowOptions<Todo> = { headers: () => ({ a: "b" }), onstate: (state) => seen.push(state) };
const append = ({ title }: Todo, id: string): void => console.log(title, id.length);
const run: Run = follow<Todo>("/runs/7", { ...following, lastEventId: "7", onitem: append });
const finish = ({ state, reason }: End): void => console.log(state === "lost", reason?.length);
const warn = ({ status, message }: Failure): void => console.log(status, message);
follow(new URL("/runs/7", "https://x"), { onend: finish, onerror: warn });
run.close();
const last: string = run.lastEventId;

// @ts-expect-error: a run has no topics
follow("/runs/7", { topics: ["todo.*"] });
// @ts-expect-error: a run has no such end
follow("/runs/7", { onend: ({ state }) => state === "bored" });
export { last };
"""
COLLECTING = """
import { collection, type Change, type Collection } from "FROM/collectionEND";

interface Todo { id: number; title: string }

const todos: Collection<Todo> = collection<Todo>("/todos/live", { key: "id", sort: ["-title", "id"], share: false });
const show = (rows: readonly Todo[], changes: Change<Todo>[]) => console.log(rows.length, changes[0]?.previous);
todos.onchange = show;
const { subscribe, reached, close } = todos;
const end: () => void = subscribe((rows) => console.log(rows[0]?.title));
const state: "loading" | "live" | "waiting" | "closed" = todos.state;
const all: Promise<void>[] = [todos.ready, reached(null), reached(todos.position)];
const title: string | undefined = todos.get(7)?.title;
end();
close();
collection("/todos/live", { key: "id", sort: "title" }).onchange = (rows) => rows.map(({ rank }) => rank);
collection("/todos/live", { sort: (a, b) => a.rank - b.rank }).onchange = ([first]) => first.title;

// @ts-expect-error: rows are not changed here
todos.rows.push({ id: 1, title: "" });
// @ts-expect-error: there is no such attribute
collection<Todo>("/todos/live", { sort: "-tilte" });
// @ts-expect-error: the server decides what it gets
collection<Todo>("/todos/live", { topics: ["todo.*"] });
export { state, all, title };
"""
AROUND_COLLECTIONS = """
declare module "react";
declare const render: (rows: readonly any[]) => void;
declare const response: Response;
"""
STRICT = {
    "target": "es2022",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
    "noEmit": True,
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "verbatimModuleSyntax": True,
    "skipLibCheck": False,
}

FILES = ("packed", "served", "packed-rows", "served-rows", "packed-run", "served-run")

MAIN = f"""
import {{ connect }} from "nitro-realtime";
window.heard = [];
window.live = connect("/events", {{ topics: ["n.*"], {WORKER} }});
live.on("n.*", (data) => heard.push(data));
window.start = () => new SharedWorker(new URL("./own.worker.js", import.meta.url), {{ type: "module" }});
"""


@dataclass(frozen=True, slots=True)
class Packed:
    """What `npm pack` made of the sources, and what the same build gives the wheel."""

    file: Path
    static: Path

    def install(self, project: Path) -> None:
        """As `npm install` would, without a registry."""
        with tarfile.open(self.file) as archive:
            archive.extractall(project, filter="data")
        (project / "node_modules").mkdir()
        (project / "package").rename(project / "node_modules/nitro-realtime")


def run(*command: str | Path, cwd: Path) -> str:
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Packed:
    """Of a copy, so that nothing is written into the sources."""
    if shutil.which("npm") is None or not (JS / "node_modules").is_dir() or not TOOLS.is_dir():
        pytest.skip("NO NODE: npm, or node_modules in js/ or tests/npm/, is missing; `make test` installs them")
    top = tmp_path_factory.mktemp("package")
    static = top / "src/nitro/static"
    static.mkdir(parents=True)
    shutil.copytree(JS, top / "js", ignore=shutil.ignore_patterns("node_modules", "dist", "types", "LICENSE"))
    shutil.copy(ROOT / "LICENSE", top)
    (top / "js/node_modules").symlink_to(JS / "node_modules")
    run("npm", "pack", cwd=top / "js")
    [file] = (top / "js").glob("*.tgz")
    return Packed(file, static)


def test_what_is_published_is_found_by_all_who_import_it(packed: Packed, tmp_path: Path) -> None:
    """By all who import ES modules: there is no other build, since browsers and bundlers need none."""
    run(TOOLS / "publint", "run", "--strict", packed.file, cwd=tmp_path)
    run(TOOLS / "attw", "--profile", "esm-only", packed.file, cwd=tmp_path)


def test_what_is_published_holds_no_more_than_it_names(packed: Packed) -> None:
    with tarfile.open(packed.file) as archive:
        names = [name.removeprefix("package/") for name in archive.getnames()]
    built = {name for name in names if not name.startswith("src/")}
    files = {
        f"dist/{name}.{end}" for name in ("index", "collection", "follow", "worker") for end in ("js", "js.map", "d.ts")
    }
    assert built == {*files, "package.json", "README.md", "LICENSE"}


def test_the_declarations_are_whole_and_name_no_place(packed: Packed, tmp_path: Path) -> None:
    packed.install(tmp_path)
    dist = tmp_path / "node_modules/nitro-realtime/dist"
    names = {
        "connect": (dist / "index.d.ts", packed.static / "client.d.ts"),
        "collection": (dist / "collection.d.ts", packed.static / "collection.d.ts"),
        "follow": (dist / "follow.d.ts", packed.static / "follow.d.ts"),
    }
    for name, file in [(name, file) for name, files in names.items() for file in files]:
        text = file.read_text()
        assert re.findall(r"^import .*|^export .* from .*|import\(.*|^///.*", text, re.MULTILINE) == []
        assert str(packed.static.parents[2]) not in text
        assert re.search(rf"^export \{{.*\b{name}\b", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("compiler", "module", "resolution"),
    [("tsc", "node16", "node16"), ("tsc", "esnext", "bundler"), ("tsc6", "esnext", "bundler")],
)
def test_a_strict_project_compiles_with_the_package_and_with_what_the_wheel_serves(
    packed: Packed, tmp_path: Path, compiler: str, module: str, resolution: str
) -> None:
    """With TypeScript 7, which builds the client, and 6, which others still have."""
    packed.install(tmp_path)
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    (tmp_path / "packed.ts").write_text(CONSUMER.replace("FROM", "nitro-realtime"))
    (tmp_path / "served.ts").write_text(CONSUMER.replace("FROM", "/nitro/client.js"))
    for name, place, end in (("packed", "nitro-realtime", ""), ("served", "/nitro", ".js")):
        for kind, text in (("rows", COLLECTING), ("run", FOLLOWING)):
            (tmp_path / f"{name}-{kind}.ts").write_text(text.replace("FROM", place).replace("END", end))
    paths = {f"/nitro/{name}.js": [str(packed.static / f"{name}.d.ts")] for name in ("client", "collection", "follow")}
    options = {**STRICT, "module": module, "moduleResolution": resolution, "paths": paths}
    (tmp_path / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": [f"{name}.ts" for name in FILES]})
    )
    run(JS / "node_modules/.bin" / compiler, "-p", tmp_path, cwd=tmp_path)


def write_typed_page(packed: Packed, project: Path, page: str, module: str = "nitro-realtime") -> None:
    """A strict project with a page and, beside it, the file that `nitro types` writes."""
    packed.install(project)
    (project / "package.json").write_text('{ "type": "module" }')
    (project / "page.ts").write_text(page.replace("nitro-realtime", module))
    paths = {"/nitro/client.js": [str(packed.static / "client.d.ts")]}
    options = {**STRICT, "module": "node16", "moduleResolution": "node16", "paths": paths}
    (project / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": options, "files": ["page.ts", "events.d.ts"]})
    )


@pytest.mark.parametrize("module", ["nitro-realtime", "/nitro/client.js"])
@pytest.mark.parametrize("compiler", ["tsc", "tsc6"])
def test_a_strict_project_knows_what_is_sent_with_each_event_by_the_file_that_nitro_types_writes(
    packed: Packed, tmp_path: Path, compiler: str, module: str
) -> None:
    write_typed_page(packed, tmp_path, (NPM / "typed.ts").read_text(), module)
    written = nitro("types", "tests.apps.typed:app", "-o", str(tmp_path / "events.d.ts"), "--module", module)
    assert written.returncode == 0, written.stderr
    run(JS / "node_modules/.bin" / compiler, "-p", tmp_path, cwd=tmp_path)


SENT = "import json; from tests.apps.typed import sent; print(json.dumps(sent()))"


def test_what_is_sent_has_the_type_that_is_written(packed: Packed, tmp_path: Path) -> None:
    """Neither a field less nor one more: TypeScript refuses what an object in braces has besides its type."""
    printed = run(sys.executable, "-c", SENT, cwd=ROOT).removeprefix("imported\n")
    lines = [
        f"export const x{n}: TypedEvents[{json.dumps(topic)}] = {text};"
        for n, (topic, text) in enumerate(json.loads(printed))
    ]
    assert len(lines) > 20
    write_typed_page(packed, tmp_path, "\n".join(['import type { TypedEvents } from "./events.js";', *lines]))
    assert nitro("types", "tests.apps.typed:app", "-o", str(tmp_path / "events.d.ts")).returncode == 0
    run(JS / "node_modules/.bin/tsc", "-p", tmp_path, cwd=tmp_path)


def test_a_pattern_has_the_topics_that_it_matches_on_the_server(packed: Packed, tmp_path: Path) -> None:
    dice = random.Random(7)
    topics = {".".join("".join(dice.choices("ab", k=dice.randint(1, 4))) for _ in range(2)) for _ in range(30)}
    patterns = {re.sub(r"\*+", "*", "".join(dice.choices("aab.*", k=dice.randint(1, 8)))) for _ in range(400)}
    lines = ['import type { Heard } from "nitro-realtime";', "const same = <A, B>(is: Same<A, B>): void => void is;"]
    lines += ["type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;"]
    for pattern in sorted(patterns - {"*"}):
        expected = " | ".join(f'"{topic}"' for topic in sorted(topics) if matches(pattern, topic))
        lines.append(f'same<Heard<"{pattern}">["topic"], {expected or "never"}>(true);')
    assert sum(" | " in line for line in lines) > 30
    write_typed_page(packed, tmp_path, "\n".join(lines))
    events = Namespace()
    for topic in topics:
        events.event(topic, schema=int)
    (tmp_path / "events.d.ts").write_text(declarations_of(events, "this test"))
    run(JS / "node_modules/.bin/tsc", "-p", tmp_path, cwd=tmp_path)


def test_what_the_page_about_typed_events_shows_is_written_and_compiles(packed: Packed, tmp_path: Path) -> None:
    documented = Document("docs/how-to/typed-events.md")
    made, page = (block.source for block in documented.all("ts"))
    source = "".join(block.source for block in documented.all("python") if block.heading != "What is refused")
    (tmp_path / "main.py").write_text(source + "app = None\n")
    write_typed_page(packed, tmp_path, f"declare const show: (text: string) => void;\n{page}")
    with Command("types", "main:app", "-o", "events.d.ts", directory=tmp_path) as writing:
        assert writing.wait() == 0, writing.errors
    assert (tmp_path / "events.d.ts").read_text() == made
    run(JS / "node_modules/.bin/tsc", "-p", tmp_path, cwd=tmp_path)


def test_what_the_pages_about_collections_show_compiles_also_where_rows_have_no_type(
    packed: Packed, tmp_path: Path
) -> None:
    """Copied into TypeScript, but for what isn't about rows: elements that may be missing, arguments without types."""
    pages = [Document("docs/how-to/live.md"), Document("js/README.md")]
    blocks = [each.source for page in pages for language in ("js", "jsx") for each in page.all(language)]
    sources = [source for source in blocks if "collection(" in source]
    assert len(sources) > 4
    packed.install(tmp_path)
    (tmp_path / "package.json").write_text('{ "type": "module" }')
    (tmp_path / "around.d.ts").write_text(AROUND_COLLECTIONS)
    named = 'import { collection } from "nitro-realtime/collection";\n'
    for place, source in enumerate(sources):
        (tmp_path / f"block{place}.tsx").write_text(source if "import { collection }" in source else named + source)
    paths = {"/nitro/collection.js": [str(packed.static / "collection.d.ts")]}
    options = {**STRICT, "strict": False, "exactOptionalPropertyTypes": False, "jsx": "preserve", "paths": paths}
    options |= {"module": "esnext", "moduleResolution": "bundler"}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["*.ts", "*.tsx"]}))
    run(JS / "node_modules/.bin/tsc", "-p", tmp_path, cwd=tmp_path)


@pytest.fixture(scope="module", params=["vite", "webpack"])
def bundle(request: pytest.FixtureRequest, packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page, built for production."""
    project = tmp_path_factory.mktemp(request.param)
    packed.install(project)
    (project / "main.js").write_text(MAIN)
    (project / "own.worker.js").write_text('import "nitro-realtime/worker";')
    (project / "index.html").write_text('<!doctype html><script type="module" src="./main.js"></script>')
    out = project / "out"
    run("node", NPM / "bundle.js", request.param, project, out, cwd=project)
    if request.param == "webpack":
        shutil.copy(project / "index.html", out)
    return out


def test_a_worker_that_only_imports_ours_is_not_emptied(bundle: Path) -> None:
    workers = [file for file in bundle.rglob("*.js") if "onconnect" in file.read_text()]
    assert len(workers) == 2, "the package's, which the page names, and its own"


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context()
    yield opened
    opened.close()


def shared_workers(browser: Browser, origin: str) -> list[str]:
    """The URLs of the scripts of that origin whose shared workers run."""
    targets = browser.new_browser_cdp_session().send("Target.getTargets")["targetInfos"]
    return [it["url"] for it in targets if it["type"] == "shared_worker" and it["url"].startswith(origin)]


@pytest.mark.browser
def test_a_bundled_page_shares_its_stream_by_a_worker_of_its_own_file(
    bundle: Path, browser: Browser, context: BrowserContext
) -> None:
    with Server("tests.apps.bundles:app", environment={**QUICK, "BUNDLE": str(bundle)}) as server:
        tabs = [context.new_page() for _ in range(2)]
        for tab in tabs:
            tab.goto(server.url)
            tab.wait_for_function("window.live?.state === 'open'")
        server.post("/emit", json=[("n.x", 7)])
        for tab in tabs:
            tab.wait_for_function("heard.length === 1")
            assert tab.evaluate("heard") == [7]
        eventually(lambda: server.get("/state").json()["clients"] == 1, "one connection for both")
        [script] = shared_workers(browser, server.url)
        scripts = [tab.evaluate("document.scripts[0].src") for tab in tabs]
        assert script not in scripts
        assert (bundle / script.removeprefix(server.url + "/")).is_file()
