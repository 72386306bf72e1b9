"""YAML with the line of everything: so that a fault can say where it is.

Plain YAML only: what JSON can say, one document, no anchors, no tags, keys are text. `yes`, `no`
and dates are words.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

FILE_BYTES_MOST = 256 * 1024
DEPTH_MOST = 24

Place = tuple[str | int, ...]
"""Where in a document: keys and indexes from the top."""

_FORMS = ("null", "int", "float")
_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """Knows text, numbers, null, true and false. Words like `yes`, `off` and dates stay text."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag.removeprefix(_TAG) in _FORMS]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(f"{_TAG}bool", re.compile(r"^(?:true|false)$"), list("tf"))


class Fault(Struct, frozen=True, kw_only=True):
    """One thing that is wrong in a file. `place` is where in its document, "" for all of it."""

    file: str
    line: int
    place: str
    message: str
    is_warning: bool = False  # it hinders nobody here

    def __str__(self) -> str:
        what = f"{self.place}: {self.message}" if self.place else self.message
        return f"{self.file}:{self.line}: {'warning: ' if self.is_warning else ''}{what}"


class Faults:
    """The faults of one file, each with its line. True when there are any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: yaml.Node | None = None
        self._found: list[Fault] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def know(self, root: yaml.Node) -> None:
        """The document in which places are looked up."""
        self._root = root

    def line(self, place: Place) -> int:
        """The line of a place in the document."""
        return _line(self._root, place)

    def add(self, place: Place, message: str) -> None:
        """A fault at a place in the document."""
        self._add(self.line(place), written(place), message)

    def add_at(self, line: int, message: str) -> None:
        """A fault at a line, counted from one."""
        self._add(line, "", message)

    def _add(self, line: int, place: str, message: str) -> None:
        self._found.append(Fault(file=str(self.path), line=line, place=place, message=message))

    def found(self) -> list[Fault]:
        """All of them, by line."""
        return sorted(self._found, key=lambda fault: (fault.line, fault.place, fault.message))


def written(place: Place) -> str:
    """A place as people write it: `replies[0].says`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")


def content_of(path: Path) -> bytes | str:
    """What is in the file, up to a little more than it may have; a str says why it is unknown."""
    try:
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MOST + 1)
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def read_yaml(content: bytes | str, faults: Faults) -> Any:
    """What such a file says; its faults are added, and then the answer means nothing."""
    text = _text(content, faults)
    if text is None:
        return None
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
        if root is None:
            return faults.add_at(1, "the file is empty")
        faults.know(root)
        _Nodes(loader, faults).check(root, 0)
        return None if faults else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.add_at(_at(mark) if mark else 1, f"not YAML: {error.problem or error.context}")
    except (yaml.YAMLError, ValueError) as error:
        faults.add_at(1, f"not YAML: {str(error).splitlines()[0]}")
    except RecursionError:
        faults.add_at(1, "nested too deeply")
    return None


def _text(content: bytes | str, faults: Faults) -> str | None:
    if isinstance(content, str):
        faults.add_at(1, content)
        return None
    if len(content) > FILE_BYTES_MOST:
        faults.add_at(1, f"larger than {FILE_BYTES_MOST // 1024} KiB")
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        faults.add_at(content.count(b"\n", 0, error.start) + 1, "not UTF-8")
        return None


class _Nodes:
    """Looks at every node before it is made into a value: some cannot be, or not safely."""

    def __init__(self, loader: _Loader, faults: Faults) -> None:
        self._loader = loader
        self._faults = faults
        self._seen: set[int] = set()

    def check(self, node: yaml.Node, depth: int) -> None:
        """Add the faults of a node and of all below it."""
        if id(node) in self._seen:  # an alias gives a node twice: refused, since they can explode
            return self._fault(node, "anchors and aliases are not allowed")
        if depth > DEPTH_MOST:
            return self._fault(node, "nested too deeply")
        self._seen.add(id(node))
        if node.tag != self._plain_tag(node):
            return self._fault(node, "not YAML without tags: leave out what begins with !")
        if isinstance(node, yaml.ScalarNode):
            return self._check_scalar(node)
        if isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        for below in node.value:
            self.check(below[1] if isinstance(below, tuple) else below, depth + 1)
        return None

    def _plain_tag(self, node: yaml.Node) -> str:
        """What the node is without a tag of its own; quoted text is text."""
        if isinstance(node, yaml.ScalarNode):
            is_plain = node.style is None
            return self._resolve(yaml.ScalarNode, node.value, (is_plain, not is_plain))
        return self._resolve(type(node), None, True)

    def _resolve(self, *what: Any) -> str:
        return str(self._loader.resolve(*what))  # type: ignore[no-untyped-call]

    def _check_scalar(self, node: yaml.ScalarNode) -> None:
        if not node.value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in node.value):
            self._fault(node, "half a sign of Unicode: write it out instead of \\ud...")
        if node.tag == f"{_TAG}int" and len(node.value) > 20:
            self._fault(node, "too large a number")

    def _check_keys(self, node: yaml.MappingNode) -> None:
        keys: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._fault(key, "expected a plain key")
            elif key.value in keys:
                self._fault(key, f"{key.value}: given twice")
            elif key.tag != f"{_TAG}str":
                self._fault(key, f"{key.value}: keys are text: put it in quotes")
            else:
                self._check_scalar(key)
                keys.add(key.value)

    def _fault(self, node: yaml.Node, message: str) -> None:
        self._faults.add_at(_at(node.start_mark), message)


def _line(node: yaml.Node | None, place: Place) -> int:
    """The line of the deepest part of `place` that the document has."""
    line = 1 if node is None else _at(node.start_mark)
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else None
            line = line if node is None else _at(node.start_mark)
        elif isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            key, node = found if found else (None, None)
            line = line if key is None else _at(key.start_mark)
        else:
            break
    return line


def _at(mark: yaml.Mark) -> int:
    """The line as editors count: to YAML 1.1 some other signs end a line, too."""
    return str(mark.buffer).count("\n", 0, mark.index) + 1
