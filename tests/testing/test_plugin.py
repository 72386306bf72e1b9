"""The plugin as a user's project meets it: its own pytest run, in a folder of its own."""

import json
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest

# Imported here so that the inner runs, which forget what they import, find them.
import service.testing.asking
import service.testing.files  # noqa: F401
from service.cassettes.files import read
from service.media.g711 import decode_pcmu
from service.replay.diff import Tolerances
from service.testing.sound import sound_of
from tests.testing.examples import ROOT, cassette_tests, standin_tests, write_project
from tests.testing.shared import CONFTEST, STAGES

SHIPPED = ("-o", f"callbridge_agents={ROOT / 'agents'}")
BUSY = ROOT / "fixtures/telnyx/outbound-busy.jsonl"
STRICT = (
    *("-p", "no:cacheprovider", "--strict-markers", "--tb=short", "-W", "error"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # of a run within a run
)


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    write_project(pytester.path)
    (pytester.path / "test_clinic.py").rename("example.py")
    return pytester


@pytest.fixture(scope="module")
def agents(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example's agents, on a service that stays."""
    folder = tmp_path_factory.mktemp("project")
    write_project(folder)
    yield folder / "agents"
    STAGES.close()


@pytest.fixture
def shared(project: pytest.Pytester, agents: Path) -> pytest.Pytester:
    project.makeconftest(CONFTEST)
    project.makeini(f"[pytest]\ncallbridge_agents = {agents}")
    return project


def run(project: pytest.Pytester, source: str = "", *arguments: str) -> pytest.RunResult:
    if source:
        project.makepyfile(test_it=source)
    return project.runpytest_inprocess(*STRICT, *arguments)


FRONT_DESK = """\
name: front-desk
engine: {engine}
greeting: "Hello, Acme Dental."
instructions: You answer the phone.
tools: [end_call]
"""


@pytest.mark.parametrize("engine", ["openai-realtime", "openai-pipeline"])
def test_the_documented_example_with_a_model_passes(project: pytest.Pytester, engine: str) -> None:
    script, test = standin_tests()
    (project.path / "standin.yaml").write_text(script, "utf-8")
    (project.path / "agents/front-desk.yaml").write_text(FRONT_DESK.format(engine=engine), "utf-8")
    run(project, f"import pytest\n\n{test}").assert_outcomes(passed=1)


def test_a_stand_in_that_cannot_be_read_fails_in_its_own_words(project: pytest.Pytester) -> None:
    (project.path / "bad.yaml").write_text("replise: []\n", "utf-8")
    test = "@pytest.mark.callbridge(standin='bad.yaml')\ndef test_it(call): pass\n"
    done = run(project, f"import pytest\n{test}")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*bad.yaml*replise*"])


def test_the_documented_example_passes(project: pytest.Pytester) -> None:
    run(project, "", "example.py").assert_outcomes(passed=7)


def test_a_failed_call_is_shown_and_kept_and_goes_the_same_way_when_replayed(
    shared: pytest.Pytester,
) -> None:
    source = """
        def test_hours(call):
            call.dial("clinic")
            call.say("Where are you?", interrupt_after_ms=700)
            call.listen()
            assert call.heard("nine to five")
        """
    result = run(shared, source, "--callbridge-artifacts", "kept")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "*-- callbridge call --*",
            "inbound call over twilio, agent clinic",
            "*0.00 s  agent *says 'Hello,* [[]not heard: *",
            "* s  you      says 'Where are you?'",
            "* s  agent    understood 'where are you'",
            "* s  agent    says 'We are at twelve Main Street*(after 600 ms: end of turn *",
        ]
    )
    [cassette, sound] = sorted(Path("kept").iterdir())
    with wave.open(str(sound)) as file:
        assert file.getnchannels() == 2
        assert file.getnframes() / file.getframerate() > 3
    lanes = {json.loads(line)["lane"] for line in cassette.read_text("utf-8").splitlines()[1:]}
    assert lanes >= {"webhook", "stream", "engine", "store"}
    Path("cassettes").mkdir()
    cassette.rename("cassettes/greeting.jsonl")
    run(shared, cassette_tests().replace("the_greeting", "it")).assert_outcomes(passed=3)


def test_a_failed_call_that_the_agent_placed_is_kept_with_its_order(
    shared: pytest.Pytester,
) -> None:
    source = """
        def test_a_customer(call):
            call.ring("clinic", provider="telnyx")
            call.listen()
            assert call.outcome == "completed"
        """
    run(shared, source, "--callbridge-artifacts", "kept").assert_outcomes(failed=1)
    [cassette, _sound] = sorted(Path("kept").iterdir())
    kept = read(cassette)
    assert (kept.header.title, kept.header.agent) == ("test_it.py::test_a_customer", "clinic")
    assert kept.header.order is not None
    assert kept.header.order["to"].startswith("+1415")


def test_what_a_caller_waits_for_in_vain_and_what_cannot_be_are_said_plainly(
    shared: pytest.Pytester,
) -> None:
    source = """
        import pytest

        def test_silent(call):
            call.dial("clinic")
            call.listen()
            call.listen(patience_ms=3000)

        def test_no_such_event(call):
            call.dial("clinic")
            call.wait_for("tool.called", patience_ms=500)

        def test_never_ended(call):
            call.dial("clinic")
            call.wait_until_ended(patience_ms=5000)

        def test_nothing_to_interrupt(call):
            call.dial("clinic")
            call.listen()
            call.say("goodbye", interrupt_after_ms=300)

        def test_over(call):
            call.dial("clinic")
            call.hang_up()
            call.say("hello")

        def test_nobody(call):
            call.dial("klinik")

        def test_not_begun(call):
            call.press("1")

        def test_twice(call):
            call.dial("clinic")
            call.dial("clinic")

        def test_keys(call):
            call.dial("clinic")
            call.press("1x")

        def test_wav(call):
            call.dial("clinic")
            call.say("none.wav")

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        async def test_async(call):
            call.dial("clinic")
        """
    result = run(shared, source, "-o", "anyio_mode=auto")
    result.assert_outcomes(failed=11)
    result.stdout.fnmatch_lines_random(
        [
            "*AgentSilent: the agent said nothing for 3 s; last event: turn.agent",
            "*no event tool.called within 0.5 s; events: call.ringing, call.answered, *",
            "*nobody ended the call within 5 s",
            "*the agent did not speak for 300 ms: it cannot be interrupted",
            "*CallOver: the call is over, ended by the caller",
            "*no agent is called 'klinik'; there are: clinic",
            "*nobody has called yet: begin with dial() or ring()",
            "*this call has begun already: `bridge.dial()` makes another",
            "*'1x': expected digits, [*], # or A to D",
            "*CallMisused: none.wav: not found; looked in *",
            "*plain functions: `def`, not `async def`",
        ]
    )
    assert "runners.py" not in result.stdout.str()


def test_markers_that_ask_for_what_cannot_be_are_said_plainly(project: pytest.Pytester) -> None:
    Path("broken").mkdir()
    Path("broken/a.yaml").write_text("name: a\nengine: offline\ngreting: Hello\n", "utf-8")
    source = """
        import pytest

        @pytest.mark.callbridge(agents="nowhere")
        def test_folder(call): ...

        @pytest.mark.callbridge(agents="broken")
        def test_file(call): ...

        @pytest.mark.callbridge(settings={"CALLBRIDGE_LEAD_MS": 1})
        def test_settings(call): ...

        @pytest.mark.callbridge(provider="vonage")
        def test_provider(call): ...

        @pytest.mark.callbridge(setting={})
        def test_argument(call): ...

        def test_replay(replay): ...
        """
    result = run(project, source)
    result.assert_outcomes(errors=6)
    result.stdout.fnmatch_lines_random(
        [
            "no folder of agent files: nowhere: not found; looked in *",
            "*broken/a.yaml:3: greting: *",
            "CALLBRIDGE_LEAD_MS: Input should be greater than or equal to 40",
            "provider='vonage': expected twilio or telnyx",
            "callbridge marker: no argument setting; there are: agents, provider, settings, standin",
            "`replay` needs a marker: @pytest.mark.cassette(*",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_calls_that_do_not_come_about_and_settings_of_a_test(shared: pytest.Pytester) -> None:
    source = """
        import pytest

        pytestmark = pytest.mark.callbridge(provider="telnyx")

        @pytest.mark.parametrize("provider", ["twilio", "telnyx"])
        def test_busy(call, provider):
            call.ring("clinic", provider=provider, result="busy")
            call.wait_until_ended()
            call.expect.ended("busy")
            assert call.turns == ()

        @pytest.mark.callbridge(settings={"CALLBRIDGE_MAX_CALLS": 1})
        def test_full(bridge):
            first = bridge.dial("clinic")
            second = bridge.dial("clinic")
            second.wait_until_ended()
            assert second.record.streams == []
            assert first.provider == "telnyx"
            assert "Acme" in first.listen().text

        def test_a_recorded_voice(call):
            call.ring(variables={"name": "Ana"})
            call.wait(300)
            call.say("where.wav", interrupt_after_ms=700)
            reply = call.listen()
            assert "Main Street" in reply.text
            call.expect.understood("where are you")
            assert call.events[0].type == "call.queued"
            said = [did for did in call.record.remarks if did.kind == "says"]
            assert said[0].at_ms - call.turns[0].started_ms == pytest.approx(720, abs=40)

        def test_who_hangs_up_first(call):
            call.dial()
            reply = call.listen()
            assert len(reply.audio) / 8000 == pytest.approx(2.4, abs=1)
            assert not reply.interrupted
            call.press("1")
            call.wait_for("dtmf.received")
            call.hang_up()
            assert [event.type for event in call.events][-1] == "call.ended"
            assert call.transcript.splitlines()[0] == "agent: " + reply.text
            call.expect.answers_within(900)
        """
    with wave.open("where.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(decode_pcmu(sound_of("where are you", ())))
    run(shared, source).assert_outcomes(passed=5)


def test_a_test_fails_where_its_cassette_differs_marked_or_by_itself(
    project: pytest.Pytester,
) -> None:
    Path("tapes").mkdir()
    project.makeini("[pytest]\ncallbridge_cassettes = tapes")
    recorded = BUSY.read_text("utf-8")
    Path("same.jsonl").write_text(recorded, "utf-8")
    changed = recorded.replace('"outcome":"busy"', '"outcome":"completed"')
    Path("tapes/changed.jsonl").write_text(changed, "utf-8")
    Path("broken.jsonl").write_text(recorded.replace('"lane":"store"', '"lane":"shop"'), "utf-8")
    source = """
        import pytest

        @pytest.mark.cassette("tapes/changed.jsonl")
        def test_changed(): ...

        @pytest.mark.cassette("tapes/changed.jsonl", compare=False)
        class TestOwn:
            @pytest.mark.parametrize("number", [1, 2])
            def test_asserts(self, number, replay):
                assert replay.events[-1].data["outcome"] == "busy"
                assert len(replay.differences) == 1

        @pytest.mark.cassette("broken.jsonl")
        def test_broken(): ...

        @pytest.mark.cassette("none.jsonl")
        def test_none(): ...

        @pytest.mark.cassette("same.jsonl", faults="drip=5%")
        def test_faults(): ...

        @pytest.mark.cassette("same.jsonl", tolerances={"media": 1})
        def test_tolerances(): ...

        @pytest.mark.cassette("same.jsonl", engine="dead")
        def test_engine(): ...
        """
    result = run(project, source, *SHIPPED)
    result.assert_outcomes(passed=2, failed=2, errors=5)
    result.stdout.fnmatch_lines_random(
        [
            "*changed.jsonl: differs in 1 place",
            "FAILED tapes/changed.jsonl::replay - *",
            "*store *wrong: call.ended.outcome",
            "*broken.jsonl: line *: *shop*",
            "*none.jsonl: No such file or directory",
            "'drip=5%': expected one of drop, *",
            "no such tolerance: media; there are: *stream_ms, *",
            "engine='dead': expected recorded or live",
        ]
    )
    assert "Traceback" not in result.stdout.str()


def test_every_tolerance_is_documented() -> None:
    documented = (ROOT / "TESTING.md").read_text("utf-8")
    assert [name for name in Tolerances.__struct_fields__ if f"`{name}`" not in documented] == []


def test_a_marker_without_a_path_fails_its_module(project: pytest.Pytester) -> None:
    source = """
        import pytest

        @pytest.mark.cassette
        def test_nothing(): ...
        """
    result = run(project, source)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*the cassette marker needs a path*"])


def test_cassettes_are_no_tests_unless_a_project_says_so(project: pytest.Pytester) -> None:
    Path("tapes").mkdir()
    Path("tapes/busy.jsonl").write_text(BUSY.read_text("utf-8"), "utf-8")
    assert run(project, "", "tapes").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_run_that_does_not_use_the_plugin_loads_nothing_of_the_service() -> None:
    program = "import sys, pytest, service.testing.plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    ours = {n for n in done.stdout.split() if n.partition(".")[0] in ("service", "providers")}
    assert ours == {"service", "service.testing", "service.testing.plugin"}
    assert not {"numpy", "msgspec", "httpx", "asyncio"} & set(done.stdout.split())
