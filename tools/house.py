"""Measure how easy the code is to read: names, seams and size.

    python tools/house.py              # the numbers of this checkout
    python tools/house.py --names      # also which names to change
    python tools/house.py --loaded     # also how many lines three commands load when they run, by `sys.modules`

`tests/test_house.py` holds the numbers, sizes apart, and fails where one rises.
"""

from __future__ import annotations

import argparse
import ast
import collections
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PRIVATE_WORDS = frozenset({
    "told", "because", "silent", "telling", "had", "said", "stated", "asked", "given", "found", "made", "drawn",
    "kept", "held", "shown", "taken", "looked", "seen", "known", "there", "elsewhere", "beside", "own", "one",
    "ones", "whole", "apart", "ahead", "afresh", "anew", "gone", "lost", "left", "beyond", "under", "put", "worth",
    "stray", "quiet", "judged", "led", "leads",
})  # fmt: skip
"""Words that name nothing by themselves. Other Python libraries bind none of them."""
IRREGULAR = frozenset({
    "told", "made", "drawn", "kept", "held", "shown", "taken", "seen", "known", "found", "given", "lost", "left",
    "said", "led", "begun", "written", "sought", "dealt",
})  # fmt: skip
"""Past participles that do not end in -ed."""
DOORS = ("assay.plugin", "assay.stats")
"""Public modules besides `assay` and `assay.testing`; the stub of each lists its names."""
FEATURES = frozenset({"look", "study", "audit", "compare", "validate", "cli"})
SHARED = frozenset(
    {"core", "spec", "data", "maps", "stats", "shifts", "models", "training", "probes", "store", "execution", "report"}
)
STARTS: Mapping[str, tuple[str, ...]] = {
    "look": ("assay.look.run",),
    "compare": ("assay.compare.run",),
    "page": ("assay.report.page",),
}
"""Label -> the module whose import is measured: the first that exists."""
SMALL_ROOM = 60
"""Rooms of fewer lines are not counted."""


def code_lines(text: str, tree: ast.Module) -> int:
    """Return the lines of a module that are neither blank, comment nor docstring."""
    strings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            strings.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for at, line in lines if line.strip() and not line.strip().startswith("#") and at not in strings)


@dataclass(frozen=True)
class Module:
    """A module: its syntax tree and its lines of code."""

    tree: ast.Module
    lines: int

    @classmethod
    def read(cls, path: Path) -> Module:
        """Parse a file."""
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        return cls(tree, code_lines(text, tree))


def stub_names(place: Path) -> frozenset[str]:
    """Return the names that the stub of a module or package lists."""
    stub = place / "__init__.pyi" if place.is_dir() else place.with_suffix(".pyi")
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body
    return frozenset(alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names)


def room_of(module: str) -> str:
    """Return the folder of a module: `core` of `assay.core.errors`."""
    return [*module.split("."), "__init__"][1]


@dataclass(frozen=True)
class House:
    """All modules of the package and of the tests.

    Attributes:
        modules: Dotted name -> module of the package.
        tests: Modules of the tests.
        public: Door -> its names.
    """

    modules: Mapping[str, Module]
    tests: Sequence[Module]
    public: Mapping[str, frozenset[str]]

    @classmethod
    def read(cls, root: Path = ROOT) -> House:
        """Read the package and the tests of a checkout."""
        source = root / "src" / "assay"
        modules: dict[str, Module] = {}
        for path in sorted(source.rglob("*.py")):
            parts = ("assay", *path.relative_to(source).with_suffix("").parts)
            modules[".".join(parts).removesuffix(".__init__")] = Module.read(path)
        tests = [Module.read(path) for path in sorted((root / "tests").rglob("*.py"))]
        return cls(modules, tests, {door: stub_names(root / "src" / Path(*door.split("."))) for door in DOORS})

    def imports(self, name: str, *, at_import: bool) -> set[str]:
        """Return the modules of the package that a module imports.

        Args:
            name: The importing module.
            at_import: Only those that its own import loads: none inside functions or under TYPE_CHECKING.
        """
        tree = self.modules[name].tree
        found: set[str] = set()
        for node in tree.body if at_import else ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
                found.update(name if name in self.modules else node.module for name in names)
            elif isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
        return found & self.modules.keys()

    @cached_property
    def graph(self) -> Mapping[str, set[str]]:
        """Module -> the modules that its import loads."""
        return {name: self.imports(name, at_import=True) for name in self.modules}

    def loaded_by(self, start: str) -> int:
        """Return the lines of all modules that the import of one loads."""
        reached, todo = set[str](), [start]
        while todo:
            module = todo.pop()
            if module not in reached:
                reached.add(module)
                todo += self.graph[module]
        return sum(self.modules[module].lines for module in reached)

    @property
    def lines(self) -> int:
        """Lines of code of the package."""
        return sum(module.lines for module in self.modules.values())

    @property
    def functions(self) -> list[str]:
        """Names of all functions and methods."""
        nodes = (node for module in self.modules.values() for node in ast.walk(module.tree))
        return [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]

    @cached_property
    def bound(self) -> collections.Counter[str]:
        """Names of variables and parameters, without underscores at their ends, and how often each is bound."""
        nodes = (node for module in self.modules.values() for node in ast.walk(module.tree))
        return collections.Counter(name.strip("_").lower() for name in map(bound_name, nodes) if name is not None)

    def repeated(self, kind: type[ast.ClassDef] | type[ast.FunctionDef]) -> dict[str, set[str]]:
        """Return names of classes, or of functions of modules, that several modules define, with these modules."""
        places: dict[str, set[str]] = collections.defaultdict(set)
        for name, module in self.modules.items():
            for node in module.tree.body:
                if isinstance(node, kind) and not node.name.startswith("__"):
                    places[node.name].add(name)
        return {name: modules for name, modules in places.items() if len(modules) > 1}

    @property
    def internal_names(self) -> set[tuple[str, str]]:
        """Names that tests import from elsewhere than the public modules."""
        nodes = (node for module in self.tests for node in ast.walk(module.tree))
        return {
            (node.module, alias.name)
            for node in nodes
            if isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("assay.")
            and not f"{node.module}.".startswith("assay.testing.")
            for alias in node.names
            if alias.name not in self.public.get(node.module, ())
        }

    @property
    def upward(self) -> list[tuple[str, str]]:
        """Imports of features by shared rooms, wherever in a module."""
        return [
            (name, other)
            for name in self.modules
            if room_of(name) in SHARED
            for other in sorted(self.imports(name, at_import=False))
            if room_of(other) in FEATURES
        ]

    @property
    def rooms(self) -> collections.Counter[str]:
        """Lines of code of each folder."""
        total: collections.Counter[str] = collections.Counter()
        for name, module in self.modules.items():
            total[room_of(name)] += module.lines
        return total


def bound_name(node: ast.AST) -> str | None:
    """Return the name of the variable or parameter that a node binds; None where it binds none."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        return node.id
    return node.arg if isinstance(node, ast.arg) else None


def is_participle(name: str) -> bool:
    """Return whether a function is named by a past participle alone."""
    word = name.strip("_")
    return not name.startswith("__") and "_" not in word and (word.endswith("ed") or word in IRREGULAR)


def circles(graph: Mapping[str, Iterable[str]]) -> int:
    """Return how many groups of modules import each other in a circle (strongly connected components; Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> Iterator[str]:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in graph[module]:
            if other not in index:
                yield from visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            part = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(part) > 1:
                yield module

    sys.setrecursionlimit(10_000)
    return sum(1 for module in graph if module not in index for _ in visit(module))


def measures(house: House) -> dict[str, float]:
    """Return the numbers that must not rise, by name."""
    functions = house.functions
    private = sum(house.bound[word] for word in PRIVATE_WORDS)
    reach: dict[str, float] = {}
    for label, starts in STARTS.items():
        start = next(name for name in starts if name in house.modules)
        reach[f"lines that an import of {label} loads"] = house.loaded_by(start)
    return {
        "circles of imports": circles(house.graph),
        "private words per 1000 bound names": round(1000 * private / house.bound.total(), 1),
        "functions named by a participle (%)": round(100 * sum(map(is_participle, functions)) / len(functions), 1),
        "functions per 1000 lines": round(1000 * len(functions) / house.lines, 1),
        "class names in several modules": len(house.repeated(ast.ClassDef)),
        "function names in several modules": len(house.repeated(ast.FunctionDef)),
        "imports of features by shared rooms": len(house.upward),
        "internal names that tests import": len(house.internal_names),
        **reach,
    }


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "look": ("look", "images", "--target", "mass", "--out", "runs/look"),
    "compare": ("compare", "scores.csv", "--by", "loss", "--out", "runs/compare"),
    "report": ("report", "runs/study"),
}
"""Commands whose loaded modules are counted."""
STUDY = """\
name: study
data: {phantom: nodule, size: 32, train: 64, validation: 32, test: 64, core: margin}
environments: {train: {}, same: {like: train}}
recipe: {epochs: 1, batch_size: 16}
seeds: 1
"""
_MODULES = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=open('modules.txt', 'w'))); "
_RUN = "from assay.cli import main; main(sys.argv[1:])"


def loaded_lines(house: House) -> dict[str, int]:
    """Return the lines of the package that commands have loaded when they end, wherever the imports are."""
    with tempfile.TemporaryDirectory(prefix="assay-house-") as name:
        place, found = Path(name), dict[str, int]()
        _run(place, ("example", "images", "--audit"))
        (place / "study.yaml").write_text(STUDY, encoding="utf-8")
        _run(place, ("run", "study.yaml", "--workers", "0"))
        rows = [
            f"{image},{loss},{seed},{image % 2},{(image * 7 + seed) % 11 / 11}"
            for loss in ("a", "b")
            for seed in range(3)
            for image in range(40)
        ]
        text = "\n".join(("image,loss,seed,target,score", *rows))
        (place / "scores.csv").write_text(text, encoding="utf-8")
        for label, command in COMMANDS.items():
            _run(place, command)
            loaded = (place / "modules.txt").read_text(encoding="utf-8").split()
            found[label] = sum(house.modules[module].lines for module in loaded if module in house.modules)
    return found


def _run(place: Path, command: Sequence[str]) -> None:
    words = [sys.executable, "-c", _MODULES + _RUN, *command]
    done = subprocess.run(words, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # 1: the network of one epoch collapsed
        raise SystemExit(f"house: assay {' '.join(command)} failed:\n{done.stderr[-1000:]}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the numbers."""
    parser = argparse.ArgumentParser(description="Measure names, seams and size of the code.")
    parser.add_argument("--names", action="store_true", help="also which names to change")
    parser.add_argument("--loaded", action="store_true", help="also what three commands load when they run (a minute)")
    options = parser.parse_args(arguments)
    house = House.read()
    rooms = house.rooms
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md"]
    print(
        f"src: {house.lines} code lines, {sum(one.lines > 3 for one in house.modules.values())} modules, "
        f"{sum(lines > SMALL_ROOM for lines in rooms.values())} rooms"
    )
    print(f"rooms: {', '.join(f'{room} {lines}' for room, lines in rooms.most_common())}")
    print(
        f"tests: {sum(module.lines for module in house.tests)} code lines; "
        f"docs: {sum(len(page.read_text(encoding='utf-8').split()) for page in pages)} words"
    )
    for name, value in measures(house).items():
        print(f"{name}: {value:g}")
    if options.loaded:
        for label, lines in loaded_lines(house).items():
            print(f"lines that `assay {label}` has loaded when it ends: {lines}")
    if options.names:
        words = ((word, house.bound[word]) for word in PRIVATE_WORDS)
        frequent = sorted(words, key=lambda pair: -pair[1])[:30]
        print(f"most frequent private words: {', '.join(f'{word} {times}' for word, times in frequent)}")
        for name, modules in sorted(house.repeated(ast.ClassDef).items()):
            print(f"class {name}: {', '.join(sorted(modules))}")
        for name, other in house.upward:
            print(f"{name} imports {other}")


if __name__ == "__main__":
    main()
