"""What goes wrong at each of the three servers: stable codes, and a caller who hears something."""

from typing import Any

import pytest

from service.core.errors import EngineError
from service.core.events import EngineFailed, SpeechStopped, TurnEnded, TurnStarted
from service.standin import Standin, Voice
from tests.ai.openai_pipeline.calling import QUESTION, Call, play
from tests.ai.openai_pipeline.test_talk import SCRIPT, UPLOAD
from tests.standin.client import fault, standin
from tests.voices import silence

ANSWER = "On Main Street. It is the house with the red door."
STATUSES: list[tuple[dict[str, Any], str]] = [
    ({"status": 401}, "openai.bad_key"),
    ({"status": 404}, "openai.unknown_model"),
    ({"status": 429}, "openai.rate_limited"),
    ({"status": 429, "reason": "insufficient_quota"}, "openai.no_quota"),
    ({"status": 500}, "openai.server_error"),
    ({"status": 400}, "openai.refused"),
]
ONCE = {"number": 1}
ALWAYS = {"number": 0}


def server(voice: Voice, *faults: dict[str, Any], **parts: Any) -> Standin:
    known = {**SCRIPT, "heard": ["where are you"], "repeats": True}
    return standin(voice, **{**known, "faults": [*faults], **parts})


def wrong(at: str, does: str, **parts: Any) -> dict[str, Any]:
    return fault(at, does, **parts).model_dump()


async def one_question(call: Call) -> None:
    await call.ask()
    await call.listen(8000)


@pytest.mark.parametrize(("status", "code"), STATUSES)
@pytest.mark.parametrize("at", ["chat", "speech", "transcription"])
def test_what_a_server_refuses_for_good_is_fatal_and_said_once(
    voice: Voice, at: str, status: dict[str, Any], code: str
) -> None:
    made = server(voice, wrong(at, "status", **ALWAYS, **status))
    call = play(made, one_question, **UPLOAD)
    assert call.codes == [(code, True)]
    assert call.sound == []


@pytest.mark.parametrize("at", ["chat", "speech", "transcription"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_help_is_tried_again_in_time(voice: Voice, at: str, status: int) -> None:
    made = server(voice, wrong(at, "status", **ONCE, status=status))
    call = play(made, one_question, **UPLOAD)
    assert call.codes == []
    assert call.said == [ANSWER]


@pytest.mark.parametrize("at", ["chat", "speech", "transcription"])
def test_a_hint_is_kept_to(voice: Voice, at: str) -> None:
    made = server(voice, wrong(at, "status", **ONCE, status=429, retry_after_s=2.5))
    call = play(made, one_question, **UPLOAD)
    assert call.said == [ANSWER]
    first, second, *_ = (request.came_s for request in made.requests if request.at == at)
    assert second - first == pytest.approx(2.5, abs=0.1)


@pytest.mark.parametrize("at", ["chat", "speech", "transcription"])
def test_a_hint_that_is_too_far_off_is_not_waited_for(voice: Voice, at: str) -> None:
    made = server(voice, wrong(at, "status", **ALWAYS, status=429, retry_after_s=60))
    call = play(made, one_question, **UPLOAD)
    assert call.codes == [("openai.rate_limited", True)]


@pytest.mark.parametrize("at", ["chat", "speech", "transcription"])
@pytest.mark.parametrize("does", ["html", "empty"])
def test_a_page_or_nothing_is_no_answer(voice: Voice, at: str, does: str) -> None:
    made = server(voice, wrong(at, does, **ALWAYS, status=200))
    call = play(made, one_question, **UPLOAD)
    assert call.codes == [("openai.confused", True)]


def test_a_sentence_without_sound_is_passed_over(voice: Voice) -> None:
    made = server(voice, wrong("speech", "empty", number=2))
    call = play(made, one_question)
    assert call.codes == [("openai.confused", False)]
    assert call.said == ["On Main Street."]
    assert len(call.of(TurnEnded)) == 1


@pytest.mark.parametrize(("at", "stage"), [("chat", "first token"), ("speech", "first audio")])
def test_a_server_that_never_begins_has_stalled(voice: Voice, at: str, stage: str) -> None:
    made = server(voice, wrong(at, "stall", **ALWAYS))
    call = play(made, one_question)
    assert call.codes == [("openai.stalled", True)]
    assert call.phone.events[-1].detail == stage  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("at", "after", "stage"), [("chat", 3, "between tokens"), ("speech", 2, "between audio")]
)
def test_a_stream_that_stops_coming_has_stalled(
    voice: Voice, at: str, after: int, stage: str
) -> None:
    made = server(voice, wrong(at, "stall", **ALWAYS, after=after))
    call = play(made, one_question)
    assert call.codes == [("openai.stalled", True)]
    assert call.phone.events[-1].detail == stage  # type: ignore[union-attr]


@pytest.mark.parametrize("at", ["chat", "speech"])
def test_a_stream_that_breaks_off_is_fatal(voice: Voice, at: str) -> None:
    made = server(voice, wrong(at, "cut", **ALWAYS, after=4))
    call = play(made, one_question)
    assert call.codes == [("openai.unreachable", True)]


@pytest.mark.parametrize("after", [0, 4])
def test_a_chunk_that_is_no_json_is_fatal(voice: Voice, after: int) -> None:
    made = server(voice, wrong("chat", "malformed", **ALWAYS, after=after))
    call = play(made, one_question)
    assert call.codes == [("openai.confused", True)]


@pytest.mark.parametrize("after", [0, 4])
def test_a_chunk_of_an_unknown_kind_is_passed_over(voice: Voice, after: int) -> None:
    made = server(voice, wrong("chat", "unknown", **ALWAYS, after=after))
    call = play(made, one_question)
    assert (call.codes, call.said) == ([], [ANSWER])


def test_an_error_in_the_stream_has_its_own_code(voice: Voice) -> None:
    made = server(voice, wrong("chat", "error", **ALWAYS, after=4, reason="rate_limit_exceeded"))
    call = play(made, one_question)
    assert call.codes == [("openai.rate_limited", True)]


def test_half_a_sample_more_does_no_harm(voice: Voice) -> None:
    made = server(voice, wrong("speech", "odd", **ALWAYS), sound={"chunk_bytes": 1002})
    call = play(made, one_question)
    assert (call.codes, call.said) == ([], [ANSWER])


def test_an_answer_without_a_word_is_asked_for_again(voice: Voice) -> None:
    replies = [{"hears": "*", "says": "", "ends": "content_filter"}]
    call = play(server(voice, replies=replies), one_question, not_understood="Pardon?")
    assert call.codes == [("openai.refused", False)]
    assert call.said == ["Pardon?"]


def test_an_answer_that_is_too_long_is_said_as_far_as_it_goes(voice: Voice) -> None:
    replies = [{"hears": "*", "says": "One, two and three. And fo", "ends": "length"}]
    call = play(server(voice, replies=replies), one_question)
    assert (call.codes, call.said) == ([], ["One, two and three. And fo"])


@pytest.mark.parametrize("how", [{}, UPLOAD])
def test_recognition_that_stalls_is_fatal(voice: Voice, how: dict[str, Any]) -> None:
    at = "transcription" if how else "recognition"
    call = play(server(voice, wrong(at, "stall", **ALWAYS)), one_question, **how)
    assert call.codes == [("openai.stalled", True)]
    assert len(call.of(SpeechStopped)) == 1


def test_an_utterance_that_cannot_be_recognised_is_asked_for_again(voice: Voice) -> None:
    made = server(voice, wrong("recognition", "failed", **ONCE))
    call = play(made, one_question, not_understood="Pardon?")
    assert call.understood == [""]
    assert call.said == ["Pardon?"]


@pytest.mark.parametrize("does", ["malformed", "unknown"])
def test_events_that_nobody_knows_change_nothing(voice: Voice, does: str) -> None:
    made = server(voice, wrong("session", does, **ALWAYS, after=2))
    call = play(made, one_question)
    assert (call.codes, call.said) == ([], [ANSWER])


@pytest.mark.parametrize("after", [2, 4, 6])
def test_a_session_that_is_lost_is_opened_again_with_what_was_said(
    voice: Voice, after: int
) -> None:
    made = server(voice, wrong("session", "cut", **ONCE, after=after))
    call = play(made, one_question)
    assert (call.codes, call.said) == ([], [ANSWER])
    assert len([r for r in made.requests if r.at == "opening"]) == 2


def test_a_session_that_grows_old_is_renewed(voice: Voice) -> None:
    made = server(voice, session_s=2.0)

    async def story(call: Call) -> None:
        await call.listen(2500)
        await call.ask()
        await call.listen(3000)

    call = play(made, story)
    assert (call.codes, call.said) == ([], [ANSWER])


@pytest.mark.parametrize(("status", "code"), STATUSES)
def test_a_session_that_cannot_be_had_is_no_conversation(
    voice: Voice, status: dict[str, Any], code: str
) -> None:
    made = server(voice, wrong("opening", "status", **ALWAYS, **status))
    with pytest.raises(EngineError) as failed:
        play(made, one_question)
    assert failed.value.code == code


def test_an_answer_that_failed_unheard_is_asked_for_in_earnest(voice: Voice) -> None:
    made = server(voice, wrong("chat", "status", **ONCE, status=400))
    call = play(made, one_question)
    assert (call.codes, call.said) == ([], [ANSWER])


def test_after_a_failure_nothing_more_is_said(voice: Voice) -> None:
    async def story(call: Call) -> None:
        await call.ask()
        await call.ask()
        await call.listen(3000)

    call = play(server(voice, wrong("chat", "status", **ALWAYS, status=401)), story)
    assert call.codes == [("openai.bad_key", True)]
    assert call.of(TurnStarted) == []


def test_what_was_made_before_a_failure_is_heard(voice: Voice) -> None:
    made = server(voice, wrong("speech", "status", number=2, status=401))
    made.faults.due.append(fault("speech", "status", number=3, status=401))

    async def story(call: Call) -> None:
        await call.phone.hear(QUESTION + silence(5000))

    call = play(made, story)
    assert call.codes == [("openai.bad_key", True)]
    assert "".join(call.said) == "On Main Street."
    assert call.of(TurnEnded) == []


def test_no_key_is_no_conversation_with_openai(voice: Voice) -> None:
    pipeline = {"speech": {"url": "https://api.openai.com/v1"}}
    with pytest.raises(EngineError) as failed:
        play(server(voice), one_question, pipeline=pipeline, key="")
    assert failed.value.code == "openai.no_key"


def test_nothing_that_was_said_is_in_a_detail(voice: Voice) -> None:
    for at in ("chat", "speech"):
        made = server(voice, wrong(at, "status", **ALWAYS, status=400), replies=[])
        call = play(made, one_question)
        assert call.codes == [("openai.refused", True)]
        [failed] = call.of(EngineFailed)
        assert "where" not in failed.detail
