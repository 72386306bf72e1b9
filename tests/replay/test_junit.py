"""JUnit XML as the common schema has it: counts, one case a cassette, the diff as the failure."""

from xml.etree import ElementTree

from service.replay.junit import Case, junit

CASES = [
    Case(group="twilio", name="inbound-dtmf", took_s=0.25),
    Case(
        group="telnyx",
        name="outbound-busy",
        took_s=0.5,
        failure="differs in 1 place\n<wrong> & \x07",
    ),
    Case(group="telnyx", name="broken", error="line 3: at_ms 4 is before 5"),
]


def test_a_run_is_one_suite_with_a_case_for_each_cassette() -> None:
    root = ElementTree.fromstring(junit(CASES))
    assert root.tag == "testsuites"
    [suite] = root
    assert suite.tag == "testsuite"
    for element in (root, suite):
        counts = {name: element.get(name) for name in ("tests", "failures", "errors", "time")}
        assert counts == {"tests": "3", "failures": "1", "errors": "1", "time": "0.750"}
    named = [(case.get("classname"), case.get("name"), case.get("time")) for case in suite]
    assert named == [
        ("twilio", "inbound-dtmf", "0.250"),
        ("telnyx", "outbound-busy", "0.500"),
        ("telnyx", "broken", "0.000"),
    ]


def test_what_failed_says_why_and_what_did_not_says_nothing() -> None:
    [fine, failed, broken] = ElementTree.fromstring(junit(CASES)).iter("testcase")
    assert len(fine) == 0
    assert failed[0].tag == "failure"
    assert failed[0].get("message") == "differs in 1 place"
    assert (failed[0].text or "").endswith("<wrong> & ")  # and not what XML cannot hold
    assert (broken[0].tag, broken[0].text) == ("error", "line 3: at_ms 4 is before 5")


def test_a_run_of_nothing_is_a_document_too() -> None:
    assert ElementTree.fromstring(junit([])).get("tests") == "0"
