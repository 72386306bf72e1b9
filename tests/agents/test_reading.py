"""Agent files read: every fault of every file in one run, each with its line."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.agents import AgentBook, check
from service.core.errors import ConfigError
from tests.agents.files import FULL, HERE, SCRIPT, SMALLEST, faults, line_of

SHIPPED = Path(__file__).parents[2] / "agents"


def test_the_agents_that_ship_have_no_faults() -> None:
    assert check([SHIPPED, HERE]).faults == []


def test_every_fault_of_every_file_is_told_in_one_run_with_its_line(tmp_path: Path) -> None:
    one = "name: one\nengine: ofline\ngreeting: Hi.\ncolour: red\n"
    two = SCRIPT + "  - hears: [hello]\n    says: ''\n  - hears: [bye]\n    sayz: Bye.\n"
    (tmp_path / "one.yaml").write_text(one)
    (tmp_path / "two.yaml").write_text(two)
    book = AgentBook(tmp_path)
    with pytest.raises(ConfigError) as refused:
        book.load()
    places = [line.split(": ")[0:2] for line in refused.value.detail.splitlines()]
    assert places == [
        [f"{tmp_path}/one.yaml:2", "engine"],
        [f"{tmp_path}/one.yaml:4", "colour"],
        [f"{tmp_path}/two.yaml:6", "replies[0].says"],
        [f"{tmp_path}/two.yaml:7", "replies[1].says"],
        [f"{tmp_path}/two.yaml:8", "replies[1].sayz"],
    ]


def test_a_typing_error_hides_no_fault_of_the_script_and_no_name_given_twice(
    tmp_path: Path,
) -> None:
    text = """\
name: one
engine: offline
greetin: Hello.
numbers: ["0415"]
replies:
  - hears: [hello, "on {dya}"]
    says: 5
  - hears: [hello]
    says: "Hi {nmae}."
    when: never
  - hears: ["?!"]
    says: Hi.
"""
    (tmp_path / "two.yaml").write_text(text)
    (tmp_path / "one.yaml").write_text(SMALLEST.format(name="one"))
    found = [str(fault) for fault in check([tmp_path]).faults]
    assert [line.removeprefix(f"{tmp_path}/two.yaml:").split(": ")[:2] for line in found] == [
        ["1", "greeting"],
        ["1", "name"],
        ["3", "greetin"],
        ["4", "numbers[0]"],
        ["6", "replies[0].hears[1]"],
        ["7", "replies[0].says"],
        ["9", "replies[1].says"],
        ["10", "replies[1].when"],
        ["11", "replies[2].hears[0]"],
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name: a\nengine: echo\ngreeting: x\nnumbers: [0415]\n", "4: numbers[0]"),
        (SCRIPT + "- says: Hi.\n", "5: replies[0]: needs hears or key"),
        (SCRIPT + "- {hears: [], says: Hi.}\n", "5: replies[0]: needs hears or key"),
        (SCRIPT + "- {key: 55, says: Hi.}\n", "5: replies[0].key: expected one key"),
        ("slots: {day: 5}\n" + SCRIPT + "- {hears: ['{day}'], says: Hi.}\n", "1: slots.day"),
        (SCRIPT + "- {hears: ['?!'], says: Hi.}\n", "5: replies[0].hears[0]: there is no word"),
        (SCRIPT + "- {hears: ['on {dya}'], says: Hi.}\n", "5: replies[0].hears[0]: {dya}"),
        (SCRIPT + "- {hears: [hi], says: 'Hi {nmae}'}\n", "5: replies[0].says: {nmae}"),
        (SCRIPT + "- {hears: [hi], says: Hi., when: never}\n", "5: replies[0].when: no reply"),
        (SCRIPT + "- {hears: [hi, Hi!], says: Hi.}\n- {hears: [HI], says: Ho.}\n", "6: replies[1]"),
        ("voice: {name: klingon-x}\n" + SCRIPT + "  []", "1: voice.name: espeak-ng has no such"),
        ("name: a\nengine: offline\n", "1: greeting: the offline engine needs one"),
    ],
)
def test_a_fault_says_where_it_is(tmp_path: Path, text: str, fault: str) -> None:
    [found] = faults(tmp_path, text)
    assert found.startswith(fault)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("model: gpt-realtime", "model: 5", "realtime.model: expected text"),
        ("speed: 1.0", "speed: 9", "realtime.speed: more than 1.5"),
        ("noise_reduction: off", "noise_reduction: loud", "realtime.noise_reduction: expected"),
        ("temperature: 0.4", "temprature: 0.4", "pipeline.model.temprature: there is no such"),
        ("quick_ms: 400", "quick_ms: 4.5", "turn_taking.quick_ms: expected a whole number"),
        ("- send_dtmf", "- press", "tools[2]: there is no press: expected 'end_call'"),
        ("- send_dtmf", "- 5", "tools[2]: expected a word, or keys with values"),
        ("- send_dtmf", "- transfer_call", "tools[2].to: is missing"),
        ("- send_dtmf", "- {}", "tools[2]: kind is missing"),
        ("kind: http", "kind: htp", "tools[4]: there is no htp: expected 'end_call'"),
        ("sales: ", "'?': ", "tools[1].to.?: expected letters"),
        ("+14155550100", "911", "tools[1].to.sales: expected a number like +14155550100"),
        ("method: GET", "method: GIT", "tools[4].method: expected 'GET'"),
        ("timeout_s: 5", "timeout_s: 500", "tools[4].timeout_s: more than 30"),
        ("X-Clinic:", "X Clinic:", "tools[4].headers.X Clinic: expected the name of an HTTP"),
        ('since: ""', "since: here", "lookups[1].variables.since: expected a pointer"),
        ("by: bridge", "by: us", "mcp[0].by: expected 'bridge' or 'openai'"),
        ("times: 2", "times: -1", "idle.times: less than 0"),
        ("[uh-huh, yes]", "yes", "turn_taking.backchannels: expected a list"),
        ("policy: leave_message", "policy: leave", "voicemail.policy: expected 'talk'"),
        ("language: en", "language: english", "language: expected two letters"),
        ("[openai-pipeline", "[echo", "fallback[0]: expected 'offline'"),
        ("secret: LOCAL", "secret: sk-1", "pipeline.recognition.secret: expected the name"),
        ("pitch: 45", "pitch: ~", "voice.pitch: expected a whole number"),
    ],
)
def test_a_fault_in_a_part_of_a_part_is_told_once_with_its_line(
    tmp_path: Path, old: str, new: str, fault: str
) -> None:
    [found] = faults(tmp_path, FULL.replace(old, new, 1))
    assert found.startswith(f"{line_of(FULL, old)}: {fault}")


def test_faults_of_parts_and_of_the_whole_are_told_in_one_run(tmp_path: Path) -> None:
    text = FULL
    for old, new in [
        ("fallback: [openai-pipeline, offline]", "fallback: [openai-realtime]"),
        ("Hello {name}, Acme", "Hello {nmae}, Acme"),
        ("speed: 1.0", "speed: fast"),
        ("kind: collect_digits", "kind: collect"),
        ("{date}?of", "{day}?of"),
        ("required: [date]", "required: date"),
        ("Bearer {secret.MCP}", "Bearer {secret.mcp}"),
        ('message: "This is Acme Dental for {name}."', 'message: ""'),
    ]:
        assert old in text
        text = text.replace(old, new)
    assert [found.split(": ")[1] for found in faults(tmp_path, text)] == [
        *("fallback[0]", "greeting", "realtime.speed", "tools[3]"),
        *("tools[4].url", "tools[4].parameters.required", "mcp[0].headers.Authorization"),
        "voicemail.message",
    ]


def test_names_are_not_doubted_where_what_defines_them_is_at_fault(tmp_path: Path) -> None:
    for old, new in [
        ("variables: {name: there", "variables: {name: 5"),
        ("first_name: /customer", "first_name: customer"),
    ]:
        [found] = faults(tmp_path, FULL.replace(old, new))
        assert "variables" in found


_VALUES = st.sampled_from(
    [
        *("", "5", "-1", "1.5", "true", "null", "[]", "{}", "[x]", "{x: y}", "x", "'{x}'", "'{'"),
        *("|", ">", "&a x", "*a", "!!int ''", "!x y", "'", '"', "{", "[", "@", "? ", "- ", ".nan"),
        *(".inf", "0x", "1:", "<<", "=", "2026-11-20", "9" * 30, '"\\ud800"', "http://[", "{{}}"),
        *("'{secret.X}'", "https://a:99999/", "é", "\u2028", "\x07", "- end_call", "{$ref: '#'}"),
    ]
)


@st.composite
def _mutilated(draw: st.DrawFn) -> str:
    """A good file of which a few lines are gone, doubled, moved, or say something else."""
    lines = draw(st.sampled_from([FULL, (SHIPPED / "receptionist.yaml").read_text()])).splitlines()
    for _ in range(draw(st.integers(1, 4))):
        i = draw(st.integers(0, len(lines) - 1))
        key = lines[i].partition(":")[0]
        lines[i : i + 1] = draw(
            st.sampled_from(
                [
                    *([], [lines[i]] * 2, ["  " + lines[i]], [lines[i].strip()], [lines[i][:-1]]),
                    *([f"{key}: {draw(_VALUES)}"], [f"  - {draw(_VALUES)}"], [draw(_VALUES)]),
                    [lines[i].replace(": ", f": {draw(_VALUES)} #", 1)],
                    [lines[i].replace(draw(st.sampled_from("aeiou:{}[],")), "", 1)],
                ]
            )
        ) or ["#"]
    return "\n".join(lines)


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(_mutilated())
def test_any_text_is_an_agent_or_has_faults_each_on_a_line_of_the_file(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    checked = check([path])
    book = AgentBook(tmp_path)
    if checked.faults:
        assert all(1 <= fault.line <= text.count("\n") + 1 for fault in checked.faults)
        assert all(len(fault.message) < 400 for fault in checked.faults)
        with pytest.raises(ConfigError):
            book.load()
    else:
        book.load()
        assert len(book) == 1
