"""Agent files as tests write them."""

from pathlib import Path

from service.agents import check

HERE = Path(__file__).parent
FULL = (HERE / "full.yaml").read_text("utf-8")
SMALLEST = "name: {name}\nengine: echo\ngreeting: Hello.\n"
SCRIPT = "name: a\nengine: offline\ngreeting: Hello.\nreplies:\n"


def faults(folder: Path, text: str | bytes) -> list[str]:
    """What is wrong with a file of this text: "5: replies[0].says: is missing"."""
    path = folder / "x.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [str(fault).removeprefix(f"{path}:") for fault in check([path]).faults]


def line_of(text: str, part: str) -> int:
    """The line of a text on which a part of it begins."""
    return text[: text.index(part)].count("\n") + 1
