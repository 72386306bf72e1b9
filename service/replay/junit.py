"""A run of cassettes as JUnit XML, for what shows the results of builds: a test case per cassette.

Pure. The form is the common one (testsuites, testsuite, testcase, failure, error); characters that
XML cannot hold are left out.
"""

import re
from collections.abc import Sequence
from xml.etree import ElementTree

from msgspec import Struct

SUITE = "callbridge replay"
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Case(Struct, frozen=True, kw_only=True):
    """One cassette: how long it took, and what was wrong, if anything."""

    group: str  # the carrier
    name: str
    took_s: float = 0.0
    failure: str | None = None  # the bridge did something else
    error: str | None = None  # it could not be played at all


def junit(cases: Sequence[Case], name: str = SUITE) -> bytes:
    """The document; `name`: of its one suite."""
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.failure is not None for case in cases)),
        "errors": str(sum(case.error is not None for case in cases)),
        "time": f"{sum(case.took_s for case in cases):.3f}",
    }
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": name, **counts, "skipped": "0"})
    for case in cases:
        suite.append(_element(case))
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _element(case: Case) -> ElementTree.Element:
    named = {"classname": case.group, "name": case.name, "time": f"{case.took_s:.3f}"}
    element = ElementTree.Element("testcase", {key: _clean(said) for key, said in named.items()})
    for tag, said in (("failure", case.failure), ("error", case.error)):
        if said is not None:
            head = _clean(said).partition("\n")[0]
            told = ElementTree.SubElement(element, tag, {"message": head, "type": tag})
            told.text = _clean(said)
    return element


def _clean(text: str) -> str:
    return _NOT_XML.sub("", text)
