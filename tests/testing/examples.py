"""The examples of TESTING.md, as files: what a user copies is what is tested."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"(?:^`([\w./]+)`\n\n)?^```(?:yaml|python)\n(.*?)^```$", re.M | re.S)


def blocks() -> list[tuple[str, str]]:
    """File name, empty when none is given, and text of every example."""
    return _BLOCK.findall((ROOT / "TESTING.md").read_text("utf-8"))


def write_project(folder: Path) -> None:
    """The files of the complete example."""
    for name, text in blocks():
        if name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")


def cassette_tests() -> str:
    """The example that plays cassettes."""
    [text] = [text for name, text in blocks() if not name and "mark.cassette" in text]
    return text


def standin_tests() -> tuple[str, str]:
    """The example with a model: the stand-in's script, and the test."""
    [script] = [text for name, text in blocks() if not name and text.startswith("# standin.yaml")]
    [test] = [text for name, text in blocks() if not name and "callbridge(standin=" in text]
    return script, test
