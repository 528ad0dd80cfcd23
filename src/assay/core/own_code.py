"""Files of code from outside Assay: what importing a module runs, and whether this user has run it here."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dis import get_instructions
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import CodeType, FrameType, ModuleType

from assay.core.files import file_hash, has_mark, is_file, leave_mark, read_user_state, write_user_state

_INSTALLED = tuple(
    {
        f"{os.path.realpath(place)}{os.sep}"
        for place in (
            *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
            *site.getsitepackages(),
            site.getusersitepackages(),
            Path(__file__).parents[1],
        )
    }
)
"""Beginnings of paths in the folders of Python, its libraries and Assay, which no received folder holds."""
_SUFFIXES = (*SOURCE_SUFFIXES, *EXTENSION_SUFFIXES, *BYTECODE_SUFFIXES)
"""Endings of files that Python imports."""
_IMPORTING = ("<frozen importlib", str(importlib.__file__), __file__)
"""Beginnings of the names of files whose code carries out an import."""
_BY_NAME = (importlib.import_module.__code__, importlib.reload.__code__)
"""Functions of Python whose variable `name` is the module that they import."""


class _FromSource(SourceFileLoader):
    """Imports what a file says, and no bytecode that lies beside it, which may be of another text."""

    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the file."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _OwnFinder:
    """Finds modules outside of the installed places for `_FromSource`."""

    @staticmethod
    def find_spec(
        fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module, as the usual finder does."""
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.origin and type(spec.loader) is SourceFileLoader and not _is_installed(Path(spec.origin)):
            spec.loader = _FromSource(fullname, spec.origin)
        return spec


class _InWorkingFolder:
    """Finds, after all other finders, a module in the working folder that the user named, and what that imports there.

    The folder itself is never on `sys.path`: libraries would find what a stranger put beside the data, such as the
    entry points of a `*.dist-info`, or an optional library that is not installed.

    Attributes:
        folder: The folder, as an absolute path.
        named: First parts of the names of modules that the user named.
        found: Modules and packages that were found there; what they import is looked for there, too.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.named: set[str] = set()
        self.found: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module that lies in the folder itself; those in packages are found by their package."""
        if path is not None or not (fullname in self.named or _importing_package(fullname) in self.found):
            return None
        spec = _OwnFinder.find_spec(fullname, [self.folder], target)
        if spec is not None:
            self.found.add(fullname)
        return spec


def _importing_package(name: str) -> str:
    """Return the package or module whose code says that a module be imported.

    Empty where a compiled library imports it, which has no frames of its own, for the code that called the library.
    """
    frame, is_called = inspect.currentframe(), False
    while frame is not None and frame.f_code.co_filename.startswith(_IMPORTING):
        is_called |= frame.f_code in _BY_NAME and _first_part(frame.f_locals["name"]) == name
        frame = frame.f_back
    if frame is None or not (is_called or _says_import(frame, name)):
        return ""
    return _first_part(str(frame.f_globals.get("__name__", "")))


def _says_import(frame: FrameType, name: str) -> bool:
    """Return whether code is in a statement that imports a module, or may call `__import__` for it."""
    code = frame.f_code
    statement = next((each for each in get_instructions(code) if each.offset == frame.f_lasti), None)
    imported = _first_part(str(statement.argval)) if statement and statement.opname == "IMPORT_NAME" else ""
    return imported == name or "__import__" in code.co_names


def _first_part(name: str) -> str:
    return name.partition(".")[0]


def _is_installed(file: Path) -> bool:
    return os.path.realpath(file).startswith(_INSTALLED)


def ignore_bytecode() -> None:
    """Import code from outside Assay from its source alone, from now on in this process."""
    if _OwnFinder not in sys.meta_path:
        usual: list[object] = list(sys.meta_path)
        sys.meta_path.insert(usual.index(PathFinder) if PathFinder in usual else 0, _OwnFinder)


def import_named(name: str) -> ModuleType:
    """Import a module that the user named, also from the working folder."""
    ignore_bytecode()
    here = str(Path.cwd())
    finders = {it.folder: it for it in sys.meta_path if isinstance(it, _InWorkingFolder)}
    if here not in finders:
        finders[here] = _InWorkingFolder(here)
        sys.meta_path.append(finders[here])
    for finder in finders.values():  # not in the folder of an earlier call
        finder.named.discard(_first_part(name))
    finders[here].named.add(_first_part(name))
    return importlib.import_module(name)


def module_files(module: str) -> list[Path]:
    """Return the files that importing a module runs, packages first, without importing it; none where it is not."""
    first, *others = module.split(".")
    specs = (finder.find_spec(first, [*sys.path, str(Path.cwd())]) for finder in sys.meta_path)
    spec = next((spec for spec in specs if spec is not None), None)
    files = list[Path]()
    for name in (*others, None):
        if spec is None:
            return []
        files += [Path(spec.origin).resolve()] if spec.origin and is_file(Path(spec.origin)) else []
        spec = spec if name is None else _spec_inside(spec.submodule_search_locations or (), name)
    return files


def _spec_inside(places: Iterable[str], name: str) -> ModuleSpec | None:
    """Return the spec of a module in a package that need not be imported; folders without `__init__.py` count too."""
    locations: list[str] = []
    for place in places:
        spec = FileFinder(
            place,
            (SourceFileLoader, SOURCE_SUFFIXES),
            (ExtensionFileLoader, EXTENSION_SUFFIXES),
            (SourcelessFileLoader, BYTECODE_SUFFIXES),
        ).find_spec(name)
        if spec is not None and spec.loader is not None:
            return spec
        locations += (spec.submodule_search_locations or ()) if spec else ()
    package = ModuleSpec(name, None, is_package=True)
    package.submodule_search_locations = locations
    return package if locations else None


# Code that this user has run here: the files of an object, and what importing them imported from the same folder.


def remember_code(name: str, files: Sequence[Path]) -> None:
    """Remember that this user has run an object.

    Args:
        name: `package.module:attribute`, which was imported.
        files: Those of its module.
    """
    inside = f"{_folder_of(name, files)}{os.sep}"
    imported = sorted(
        Path(file) for file in _loaded_files() if file.startswith(inside) and not file.startswith(_INSTALLED)
    )
    places = {*files, *imported, *_missing_packages(inside, imported)}
    write_user_state(_text_of_content(name, files), "\n".join(f"{_digest_now(path)} {path}" for path in places))
    leave_mark(_text_of_place(name, files))


def _missing_packages(inside: str, imported: Iterable[Path]) -> Iterator[Path]:
    """Yield files that would make packages, or modules of the same name, of folders that modules were imported through.

    None of them is there: importing a module through a folder would run one that comes later.
    """
    folders = {folder for file in imported for folder in file.parents if str(folder).startswith(inside)}
    for folder in folders:
        packages = [folder / f"__init__{suffix}" for suffix in _SUFFIXES]
        if not any(map(is_file, packages)):
            yield from packages
            yield from (path for suffix in _SUFFIXES if not is_file(path := folder.with_name(folder.name + suffix)))


def _loaded_files() -> set[str]:
    """Return the real paths of the files of all imported modules."""
    files: list[object] = [getattr(module, "__file__", None) for module in [*sys.modules.values()]]
    return {_real_path(file) for file in files if isinstance(file, str)}


@functools.cache
def _real_path(file: str) -> str:
    """Return the real path of a module's file, as it was when first asked: modules are thousands, in few folders."""
    folder, name = os.path.split(file)
    path = f"{_real_folder(folder)}{os.sep}{name}"
    return os.path.realpath(path) if Path(path).is_symlink() else path


_real_folder = functools.cache(os.path.realpath)


def has_run_same(name: str, files: Sequence[Path]) -> bool:
    """Return whether this user has run an object, with the files that it then imported. See `remember_code`."""
    lines = read_user_state(_text_of_content(name, files)).splitlines()
    pairs = [line.partition(" ") for line in lines]
    return bool(pairs) and all(
        digest == _digest_now(Path(path)) and not _is_shadowed(Path(path)) for digest, _, path in pairs
    )


def has_run(name: str, files: Sequence[Path]) -> bool:
    """Return whether this user has run an object from a file at this place, whose content may be anybody's now."""
    return has_mark(_text_of_place(name, files))


def _text_of_content(name: str, files: Sequence[Path]) -> str:
    return " ".join(("imports of", name, *(f"{file} {file_hash(file)}" for file in files)))


def _text_of_place(name: str, files: Sequence[Path]) -> str:
    return " ".join((name, *map(str, files)))


def _folder_of(name: str, files: Sequence[Path]) -> Path:
    """Return the folder in which the first package of an object, or its module, lies."""
    file, depth = files[-1], name.partition(":")[0].count(".") + files[-1].name.startswith("__init__.")
    return file.parents[min(depth, len(file.parents) - 1)]


def _is_shadowed(path: Path) -> bool:
    """Return whether Python would import another file of the same name in place of this one."""
    if path.suffix not in SOURCE_SUFFIXES:
        return False
    stem = path.with_suffix("")
    before = [f"{stem}{suffix}" for suffix in EXTENSION_SUFFIXES] + [f"{stem}/__init__{suffix}" for suffix in _SUFFIXES]
    return any(is_file(Path(file)) for file in before)


def _digest_now(path: Path) -> str:
    """Return the hash of a file; empty where it is gone."""
    try:
        return file_hash(path) if is_file(path) else ""
    except OSError:
        return ""
