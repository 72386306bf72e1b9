"""YAML with the line of everything: so that a fault can say where it is.

Plain YAML only: one document, no anchors, no tags that make objects, `yes` and `no` are words.
"""

import re
from pathlib import Path
from typing import Any

import yaml

FILE_BYTES_MOST = 256 * 1024

Place = tuple[str | int, ...]
"""Where in a document: keys and indexes from the top."""


class _Loader(yaml.SafeLoader):
    """`yes`, `no`, `on` and `off` are things that people say, so they stay text."""

    yaml_implicit_resolvers = {
        first: [(tag, form) for tag, form in forms if tag != "tag:yaml.org,2002:bool"]
        for first, forms in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


class Faults:
    """The faults of one file, each with its line. True when there are any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root: yaml.Node | None = None
        self._found: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self._found)

    def know(self, root: yaml.Node) -> None:
        """The document in which places are looked up."""
        self._root = root

    def where(self, place: Place) -> str:
        """File and line of a place in the document."""
        return f"{self.path}:{_line(self._root, place)}"

    def add(self, place: Place, message: str) -> None:
        """A fault at a place in the document."""
        line = _line(self._root, place)
        where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in place).lstrip(".")
        self.add_at(line, f"{where}: {message}" if where else message)

    def add_at(self, line: int, message: str) -> None:
        """A fault at a line, counted from one."""
        self._found.append((line, message))

    def lines(self) -> list[str]:
        """The faults as text, by line."""
        return [f"{self.path}:{line}: {message}" for line, message in sorted(self._found)]


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
        _check_nodes(root, faults, set())
        return None if faults else loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.add_at(mark.line + 1 if mark else 1, f"not YAML: {error.problem or error.context}")
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


def _check_nodes(node: yaml.Node, faults: Faults, seen: set[int]) -> None:
    if id(node) in seen:  # an alias gives the same node twice: refused, since they can explode
        faults.add_at(node.start_mark.line + 1, "anchors and aliases are not allowed")
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_nodes(item, faults, seen)
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                faults.add_at(key.start_mark.line + 1, "expected a plain key")
            elif key.value in keys:
                faults.add_at(key.start_mark.line + 1, f"{key.value}: given twice")
            else:
                keys.add(key.value)
            _check_nodes(value, faults, seen)


def _line(node: yaml.Node | None, place: Place) -> int:
    """The line of the deepest part of `place` that the document has."""
    line = 1 if node is None else node.start_mark.line + 1
    for part in place:
        if isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            node = node.value[part] if part < len(node.value) else None
            line = line if node is None else node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            key, node = found if found else (None, None)
            line = line if key is None else key.start_mark.line + 1
        else:
            break
    return line
