"""One replayed call as one HTML file, to be read by people: what differs, and the call on one axis.

Self-contained: no script, nothing loaded from anywhere. All that comes from a cassette is escaped.
"""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined

from service.cassettes.cassette import Cassette, Line
from service.replay.diff import Difference
from service.replay.timeline import timeline

DIFFERENCES_MOST = 200
SAID_MOST = 600  # characters of what was expected, or came

_templates = Environment(
    loader=PackageLoader("service.replay"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def render(
    name: str, cassette: Cassette, actual: Sequence[Line], differences: Sequence[Difference]
) -> str:
    """The report of one replay; `name` is that of the cassette."""
    shown = differences[:DIFFERENCES_MOST]
    return _templates.get_template("report.html").render(
        name=name,
        header=cassette.header,
        length_ms=cassette.length_ms,
        verdict=verdict(len(differences)),
        differences=shown,
        left_out=len(differences) - len(shown),
        shortened=_shortened,
        rows=timeline(cassette, actual, shown),
    )


def verdict(differences: int) -> str:
    """In three words."""
    if not differences:
        return "same"
    return f"differs in {differences} place{'s' if differences > 1 else ''}"


def _shortened(said: str | None) -> str:
    if said is None:
        return "—"
    return said if len(said) <= SAID_MOST else said[:SAID_MOST] + "…"
