from typing import Any

import pytest

from service.core.audible import TAIL_MS
from service.core.audio import PCMU_8K, AudioFrame, Party
from service.core.commands import (
    Apologise,
    ChangeEngine,
    ClearAudio,
    Command,
    EndCall,
    Hear,
    Instruct,
    Interrupt,
    MarkEnd,
    Note,
    PauseAudio,
    PlayAudio,
    PlayFiller,
    ResumeAudio,
    SendDigits,
    StartTurn,
    TellAudible,
    TellDigit,
    Transfer,
)
from service.core.dialog import APOLOGY, Dialog
from service.core.events import (
    DigitsRequested,
    DtmfReceived,
    EndRequested,
    EngineFailed,
    FillerRequested,
    HangUpRequested,
    InstructionsGiven,
    LiveEvent,
    MachineDetected,
    MarkPlayed,
    MediaReceived,
    SayRequested,
    SpeechDismissed,
    SpeechStarted,
    SpeechStopped,
    SpeechSuspected,
    StreamFaulted,
    StreamLost,
    StreamStarted,
    StreamStopped,
    ToolCalled,
    Transcribed,
    TransferFailed,
    TransferRequested,
    TurnAudio,
    TurnEnded,
    TurnId,
    TurnStarted,
    TurnText,
)
from service.core.manners import Manners
from service.core.patience import ENGINE_PATIENCE_MS, Waits
from service.core.playout import MARK_GRACE_MS, Playout
from service.core.speaking import PAUSE_MOST_MS
from service.core.voicemail import GREETING_MOST_MS, VoicemailPolicy

TURN = TurnId("t1")
START = StreamStarted("MZ1", "CA1", PCMU_8K, {})


def frame(ms: int, *, start_ms: int = 0, party: Party = Party.AGENT) -> AudioFrame:
    return AudioFrame(b"\xff" * 8 * ms, PCMU_8K, start_ms, ms, party)


class Talk:
    """A dialog whose sound leaves at once, as a pacer with endless lead would send it."""

    def __init__(self, **manners: Any) -> None:
        self.playout = Playout()
        self.dialog = Dialog(Manners(**manners), self.playout)
        self.now_ms = 0
        self.marks: list[str] = []

    def tell(self, *events: LiveEvent) -> list[Command]:
        return [command for event in events for command in self._tell(event)]

    def _tell(self, event: LiveEvent) -> list[Command]:
        commands = self.dialog.handle(event, self.now_ms)
        for command in commands:
            if isinstance(command, PlayAudio):
                self.playout.sent(command.turn_id, command.frame.duration_ms, self.now_ms)
            if isinstance(command, MarkEnd):
                self.marks.append(self.playout.set_mark())
        return commands

    def say(self, text: str, ms: int, turn_id: TurnId = TURN) -> list[Command]:
        return self.tell(
            TurnStarted(turn_id),
            TurnText(turn_id, text, 0),
            TurnAudio(turn_id, frame(ms)),
            TurnEnded(turn_id),
        )


def notes(commands: list[Command], kind: str) -> list[dict[str, Any]]:
    return [c.data for c in commands if isinstance(c, Note) and c.type == kind]


def of(commands: list[Command], kind: type[Any]) -> list[Any]:
    return [command for command in commands if isinstance(command, kind)]


def test_the_greeting_is_said_once_when_the_stream_starts() -> None:
    talk = Talk(greeting="Hello")
    assert talk.tell(START) == [StartTurn("Hello")]
    assert talk.tell(StreamLost("socket_closed"), START) == []


def test_a_resumed_call_is_not_greeted_again() -> None:
    dialog = Dialog(Manners(greeting="Hello"), Playout(), resumed=True)
    assert dialog.handle(START, 0) == []


def test_the_caller_is_heard_by_the_engine() -> None:
    sound = frame(20, party=Party.REMOTE)
    assert Talk().tell(MediaReceived(sound, 1)) == [Hear(sound)]


def test_a_turn_is_recorded_as_heard_once_its_last_mark_is_back() -> None:
    talk = Talk()
    assert not notes(talk.say("We are open.", 1000), "turn.agent")
    talk.now_ms = 1040
    [turn] = notes(talk.tell(MarkPlayed(talk.marks[0])), "turn.agent")
    assert turn["text"] == turn["heard_text"] == "We are open."
    assert turn["interrupted"] is False


def test_a_turn_is_recorded_by_the_clock_when_no_mark_comes_back() -> None:
    talk = Talk()
    talk.say("We are open.", 1000)
    assert not notes(talk.dialog.wake(1000 - TAIL_MS), "turn.agent")
    assert not talk.dialog.is_due(1500)
    talk.now_ms = talk.playout.settled_ms()
    assert talk.dialog.is_due(talk.now_ms)
    assert len(notes(talk.dialog.wake(talk.now_ms), "turn.agent")) == 1


def test_speech_over_a_turn_clears_it_and_tells_the_engine_what_was_heard() -> None:
    talk = Talk()
    talk.say("one two three four", 1000)
    talk.now_ms = 500
    commands = talk.tell(SpeechStarted(400))
    assert of(commands, ClearAudio)
    [interrupt] = of(commands, Interrupt)
    assert (interrupt.turn_id, interrupt.heard_ms) == (TURN, 500)
    assert interrupt.heard_text == "one two"
    [turn] = notes(commands, "turn.agent")
    assert turn["interrupted"] is True
    assert turn["text"].startswith(turn["heard_text"])
    assert turn["heard_text"] != turn["text"]
    assert notes(commands, "agent.interrupted") == [{"turn_id": TURN, "heard_ms": 500}]


def test_sound_of_an_interrupted_turn_is_dropped_when_it_comes_late() -> None:
    talk = Talk()
    talk.tell(TurnStarted(TURN), TurnAudio(TURN, frame(200)))
    talk.now_ms = 100
    talk.tell(SpeechStarted(50))
    assert talk.tell(TurnAudio(TURN, frame(200)), TurnText(TURN, "x", 0), TurnEnded(TURN)) == []


def test_marks_that_a_clear_returns_do_not_complete_the_next_turn() -> None:
    talk = Talk()
    talk.say("first", 1000)
    talk.now_ms = 200
    talk.tell(SpeechStarted(100))
    talk.say("second", 1000, TurnId("t2"))
    talk.now_ms = 220
    assert not notes(talk.tell(MarkPlayed(talk.marks[0])), "turn.agent")


def test_word_times_decide_what_was_heard() -> None:
    talk = Talk()
    talk.tell(
        TurnStarted(TURN),
        TurnText(TURN, "a", 0),
        TurnText(TURN, " verylongword", 100),
        TurnText(TURN, " b", 900),
        TurnAudio(TURN, frame(1000)),
        TurnEnded(TURN),
    )
    talk.now_ms = 920
    [interrupt] = of(talk.tell(SpeechStarted(0)), Interrupt)
    assert interrupt.heard_text == "a verylongword"


def test_a_protected_greeting_goes_on_and_what_follows_it_can_be_interrupted() -> None:
    talk = Talk(greeting="Hello", interruptible=False)
    talk.tell(START)
    talk.say("Hello", 1000)
    talk.now_ms = 300
    assert talk.tell(SpeechStarted(200)) == []
    talk.now_ms = 1000
    talk.tell(MarkPlayed(talk.marks[0]))
    talk.say("Next", 1000, TurnId("t2"))
    talk.now_ms = 1300
    assert of(talk.tell(SpeechStarted(1200)), ClearAudio)


def test_speech_in_silence_interrupts_nothing() -> None:
    assert Talk().tell(SpeechStarted(0)) == []


def test_latency_of_an_answer_adds_up_from_the_callers_last_sound() -> None:
    talk = Talk()
    talk.tell(MediaReceived(frame(20, start_ms=980, party=Party.REMOTE), 1), SpeechStarted(500))
    talk.now_ms = 600
    talk.tell(MediaReceived(frame(20, start_ms=1580, party=Party.REMOTE), 2))
    talk.tell(SpeechStopped(1100))
    talk.now_ms = 640
    [caller] = notes(talk.tell(Transcribed("hello")), "turn.user")
    assert caller["text"] == "hello"
    assert caller["ended_ago_ms"] == 540
    talk.now_ms = 650
    talk.say("Hi", 100)
    talk.now_ms = 800
    [turn] = notes(talk.tell(MarkPlayed(talk.marks[0])), "turn.agent")
    assert turn["latency"] == {
        "end_of_turn_ms": 500,
        "recognition_ms": 40,
        "first_token_ms": 10,
        "first_audio_ms": 0,
        "first_frame_ms": 0,
        "response_ms": 550,
    }


def test_the_goodbye_is_heard_before_the_call_ends() -> None:
    talk = Talk()
    assert not of(talk.say("Goodbye", 800) + talk.tell(EndRequested("goodbye")), EndCall)
    talk.now_ms = 850
    [end] = of(talk.tell(MarkPlayed(talk.marks[0])), EndCall)
    assert (end.end.outcome, end.end.cause, end.end.ended_by) == ("completed", "goodbye", "agent")


def test_a_caller_who_cuts_the_goodbye_off_keeps_the_line() -> None:
    talk = Talk()
    talk.say("Goodbye", 800)
    talk.tell(EndRequested("goodbye"))
    talk.now_ms = 200
    assert not of(talk.tell(SpeechStarted(100)), EndCall)


def test_a_hang_up_from_outside_does_not_wait() -> None:
    talk = Talk()
    talk.say("A long story", 9000)
    talk.now_ms = 500
    commands = talk.tell(HangUpRequested("hung_up", "api"))
    [turn] = notes(commands, "turn.agent")
    assert turn["interrupted"] is True
    [end] = of(commands, EndCall)
    assert end.end.ended_by == "api"


def test_the_call_ends_once_however_often_it_is_ended() -> None:
    talk = Talk()
    commands = talk.tell(*[HangUpRequested("hung_up", "api")] * 3)
    assert len(of(commands, EndCall)) == 1


def test_the_longest_duration_ends_the_call_without_any_mark() -> None:
    talk = Talk(max_duration_ms=60_000)
    talk.tell(START)
    assert not talk.dialog.is_due(59_999)
    assert talk.dialog.is_due(60_000)
    [end] = of(talk.dialog.wake(60_000), EndCall)
    assert (end.end.outcome, end.end.ended_by) == ("completed", "limit")


def test_engine_trouble_ends_in_a_spoken_sentence() -> None:
    talk = Talk()
    commands = talk.tell(EngineFailed("openai.refused", "no model"))
    assert notes(commands, "fault") == [{"code": "openai.refused", "detail": "no model"}]
    assert of(commands, Apologise)
    assert not of(commands, EndCall)
    talk.tell(TurnText(APOLOGY, "Sorry.", 0), TurnAudio(APOLOGY, frame(500)), TurnEnded(APOLOGY))
    talk.now_ms = 520
    [end] = of(talk.tell(MarkPlayed(talk.marks[0])), EndCall)
    assert (end.end.outcome, end.end.cause) == ("our_fault", "engine_failed")


def test_trouble_that_is_not_fatal_is_noted_and_the_call_goes_on() -> None:
    commands = Talk().tell(EngineFailed("tts.slow", "", fatal=False))
    assert [type(command) for command in commands] == [Note]


def test_a_key_told_by_socket_and_by_webhook_is_one_press() -> None:
    talk = Talk()
    commands = talk.tell(
        DtmfReceived("5"), DtmfReceived("5", "webhook"), DtmfReceived("5", "webhook")
    )
    commands += talk.tell(DtmfReceived("5"), DtmfReceived("6", "webhook"))
    assert [c.digit for c in of(commands, TellDigit)] == ["5", "5", "6"]
    assert notes(commands, "dtmf.received") == [{"digit": "5"}, {"digit": "5"}, {"digit": "6"}]


def test_a_key_stops_the_prompt_it_answers() -> None:
    talk = Talk()
    talk.say("Press one", 2000)
    talk.now_ms = 500
    commands = talk.tell(DtmfReceived("1"))
    assert of(commands, ClearAudio)
    assert of(commands, TellDigit)


def test_requests_from_outside_become_commands() -> None:
    talk = Talk()
    assert talk.tell(SayRequested("One moment")) == [StartTurn("One moment")]
    assert talk.tell(DigitsRequested("12#")) == [SendDigits("12#")]


def test_a_carriers_complaint_is_a_fault_and_no_end() -> None:
    [fault] = Talk().tell(StreamFaulted("telnyx.100004", "invalid_media"))
    assert fault == Note("fault", {"code": "telnyx.100004", "detail": "invalid_media"})


@pytest.mark.parametrize("end", [StreamStopped("stop"), StreamLost("socket_closed")])
def test_what_was_not_heard_when_the_line_goes_is_recorded_as_cut(end: LiveEvent) -> None:
    talk = Talk()
    talk.say("one two three four", 1000)
    talk.now_ms = 300
    [turn] = notes(talk.tell(end), "turn.agent")
    assert turn["interrupted"] is True
    assert turn["heard_text"] == "one"


def test_a_key_pressed_during_the_apology_does_not_silence_it() -> None:
    talk = Talk()
    talk.say("A long answer", 2000)
    talk.tell(EngineFailed("engine.lost", ""))
    talk.tell(TurnText(APOLOGY, "Sorry.", 0), TurnAudio(APOLOGY, frame(500)), TurnEnded(APOLOGY))
    talk.now_ms = 600
    commands = talk.tell(DtmfReceived("1"), SpeechStarted(500))
    assert not of(commands, ClearAudio)
    talk.now_ms = talk.playout.settled_ms()
    assert of(talk.dialog.wake(talk.now_ms), EndCall)


def test_a_bye_right_after_the_heard_goodbye_does_not_keep_the_line_open() -> None:
    talk = Talk()
    talk.say("Goodbye", 800)
    talk.tell(EndRequested("goodbye"))
    talk.now_ms = 850  # its mark is still on the way
    commands = talk.tell(SpeechStarted(820))
    assert of(commands, EndCall)
    assert not notes(commands, "agent.interrupted")


def test_a_socket_lost_during_the_goodbye_does_not_leave_a_mute_call() -> None:
    talk = Talk()
    talk.say("Goodbye", 800)
    talk.tell(EndRequested("goodbye"), StreamLost("socket_closed"))
    assert talk.dialog.is_due(10)
    assert of(talk.dialog.wake(10), EndCall)


def test_what_a_failed_engine_still_asks_for_does_not_change_the_verdict() -> None:
    talk = Talk()
    talk.tell(EngineFailed("engine.lost", ""))
    talk.tell(EndRequested("goodbye"))
    [end] = of(talk.tell(TurnEnded(APOLOGY)), EndCall)
    assert end.end.outcome == "our_fault"


def test_an_engine_that_never_begins_the_greeting_is_apologised_for() -> None:
    talk = Talk(greeting="Hello")
    talk.tell(START)
    talk.now_ms = ENGINE_PATIENCE_MS + MARK_GRACE_MS
    assert not talk.dialog.is_due(talk.now_ms)  # nobody is there to hear it
    talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 1))
    assert talk.dialog.is_due(talk.now_ms)
    commands = talk.dialog.wake(talk.now_ms)
    assert of(commands, Apologise)
    assert notes(commands, "fault")[0]["code"] == "engine.stalled"


def test_an_engine_that_falls_silent_within_a_turn_is_apologised_for_once_all_was_heard() -> None:
    talk = Talk()
    talk.tell(TurnStarted(TURN), TurnText(TURN, "We are", 0), TurnAudio(TURN, frame(30_000)))
    talk.now_ms = 30_000
    talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 1))
    assert not talk.dialog.is_due(talk.now_ms)
    talk.now_ms = 30_000 + MARK_GRACE_MS + ENGINE_PATIENCE_MS
    talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 2))
    assert of(talk.dialog.wake(talk.now_ms), Apologise)
    assert not of(talk.dialog.wake(talk.now_ms), Apologise)


def test_an_engine_owes_nothing_once_its_turn_is_made_or_the_caller_spoke_instead() -> None:
    long_after_ms = 10 * ENGINE_PATIENCE_MS
    talk = Talk(greeting="Hello")
    talk.tell(START)
    talk.say("Hello", 500)
    talk.tell(MarkPlayed(talk.marks[0]))
    interrupted = Talk(greeting="Hello")
    interrupted.tell(START, SpeechStarted(0))
    for each in (talk, interrupted):
        each.now_ms = long_after_ms
        each.tell(MediaReceived(frame(20, party=Party.REMOTE), 1))
    assert not of(talk.dialog.wake(long_after_ms), Apologise)
    assert not interrupted.dialog.is_due(long_after_ms)


def test_an_engine_that_was_given_up_is_not_listened_to_any_more() -> None:
    talk = Talk()
    talk.tell(EngineFailed("engine.lost", "gone"))
    assert of(talk.say("Here I am again", 500), PlayAudio) == []
    talk.tell(TurnText(APOLOGY, "Sorry.", 0), TurnAudio(APOLOGY, frame(500)), TurnEnded(APOLOGY))
    talk.now_ms = 2000
    assert of(talk.tell(MarkPlayed(talk.marks[-1])), EndCall)


def test_a_key_does_not_excuse_an_engine_that_has_said_nothing_yet() -> None:
    talk = Talk(greeting="Hello")
    talk.tell(START, TurnStarted(TURN), DtmfReceived("1"))
    talk.now_ms = ENGINE_PATIENCE_MS + MARK_GRACE_MS
    talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 1))
    assert of(talk.dialog.wake(talk.now_ms), Apologise)


# Suspicion ---------------------------------------------------------------------------------------


def test_a_suspicion_pauses_the_agent_and_a_cough_lets_it_go_on() -> None:
    talk = Talk()
    talk.say("one two three four", 1000)
    talk.now_ms = 400
    assert of(talk.tell(SpeechSuspected(300)), PauseAudio)
    commands = talk.tell(SpeechDismissed())
    assert of(commands, ResumeAudio)
    assert not of(commands, Interrupt)
    assert not notes(commands, "agent.interrupted")


def test_a_suspicion_that_is_accepted_cuts_the_turn_where_the_pause_began() -> None:
    talk = Talk()
    talk.say("one two three four", 1000)
    talk.now_ms = 500
    talk.tell(SpeechSuspected(400))
    talk.playout.clear(talk.now_ms)  # as the pacer does it
    talk.now_ms = 900
    [interrupt] = of(talk.tell(SpeechStarted(400)), Interrupt)
    assert (interrupt.heard_ms, interrupt.heard_text) == (500, "one two")


def test_a_suspicion_in_silence_or_in_a_protected_greeting_pauses_nothing() -> None:
    assert Talk().tell(SpeechSuspected(0)) == []
    talk = Talk(greeting="Hello", interruptible=False)
    talk.tell(START)
    talk.say("Hello", 1000)
    talk.now_ms = 300
    assert not of(talk.tell(SpeechSuspected(200)), PauseAudio)


def test_a_pause_that_nobody_ends_is_ended() -> None:
    talk = Talk()
    talk.say("one two three four", 5000)
    talk.tell(SpeechSuspected(0))
    assert not talk.dialog.is_due(PAUSE_MOST_MS - 1)
    assert talk.dialog.is_due(PAUSE_MOST_MS)
    assert of(talk.dialog.wake(PAUSE_MOST_MS), ResumeAudio)


def test_the_engine_is_told_while_the_agent_is_heard_but_not_of_its_last_moments() -> None:
    talk = Talk()
    assert TellAudible(True) in talk.say("We are open.", 1000)
    assert not talk.dialog.is_due(1000 - TAIL_MS - 1)
    talk.now_ms = 1000 - TAIL_MS
    assert talk.dialog.is_due(talk.now_ms)
    assert talk.dialog.wake(talk.now_ms) == [TellAudible(False)]
    assert talk.dialog.wake(talk.now_ms) == []


def test_a_turn_that_is_still_being_made_is_heard_for_an_unknown_time() -> None:
    talk = Talk()
    talk.tell(TurnStarted(TURN), TurnAudio(TURN, frame(200)))
    talk.now_ms = 150
    assert TellAudible(False) not in talk.dialog.wake(talk.now_ms)


# Waiting -----------------------------------------------------------------------------------------

QUICK = Waits(filler_after_ms=1500, idle_after_ms=8000)


def present(talk: Talk) -> None:
    talk.tell(MediaReceived(frame(20, start_ms=talk.now_ms, party=Party.REMOTE), 1))


def question(talk: Talk, text: str = "are you open") -> None:
    present(talk)
    end_ms = talk.dialog.media_ms
    talk.tell(SpeechStarted(end_ms - 500), SpeechStopped(end_ms), Transcribed(text))


def test_an_answer_that_takes_long_is_bridged_by_one_filler() -> None:
    talk = Talk(waits=QUICK)
    question(talk)
    assert not talk.dialog.is_due(1499)
    talk.now_ms = 1500
    [filler] = of(talk.dialog.wake(1500), PlayFiller)
    assert filler.text == ""
    talk.tell(TurnText(filler.turn_id, "One moment.", 0), TurnAudio(filler.turn_id, frame(500)))
    talk.tell(TurnEnded(filler.turn_id))
    talk.now_ms = 4000
    assert not of(talk.dialog.wake(4000), PlayFiller)


def test_an_answer_in_time_needs_no_filler() -> None:
    talk = Talk(waits=QUICK)
    question(talk)
    talk.now_ms = 1000
    talk.say("Yes.", 400)
    assert not of(talk.dialog.wake(1600), PlayFiller)


def test_a_filler_does_not_count_as_the_answer() -> None:
    talk = Talk(waits=QUICK)
    question(talk)
    talk.now_ms = 1500
    [filler] = of(talk.dialog.wake(1500), PlayFiller)
    talk.tell(TurnAudio(filler.turn_id, frame(500)), TurnEnded(filler.turn_id))
    talk.now_ms = 1500 + 500 + MARK_GRACE_MS + ENGINE_PATIENCE_MS
    present(talk)
    assert notes(talk.dialog.wake(talk.now_ms), "fault")[0]["code"] == "engine.stalled"


def test_speech_that_was_not_understood_waits_for_nothing() -> None:
    talk = Talk(waits=QUICK)
    question(talk, "")
    assert not of(talk.dialog.wake(5000), PlayFiller)


def test_an_engine_that_does_not_answer_at_all_is_given_up() -> None:
    talk = Talk()
    question(talk)
    talk.now_ms = ENGINE_PATIENCE_MS + MARK_GRACE_MS
    present(talk)
    assert of(talk.dialog.wake(talk.now_ms), Apologise)


def test_a_silent_caller_is_asked_twice_and_then_let_go() -> None:
    talk = Talk(waits=QUICK, idle_says=("Are you there?",), idle_times=2, idle_goodbye="Goodbye.")
    talk.tell(START)
    said, ended = [], list[Command]()
    for number in range(3):
        talk.now_ms += 8000
        present(talk)
        said += of(talk.dialog.wake(talk.now_ms), StartTurn)
        talk.say(said[-1].text, 500, TurnId(f"t{number}"))
        talk.now_ms += 600
        ended = talk.tell(MarkPlayed(talk.marks[-1]))
    assert [turn.text for turn in said] == ["Are you there?", "Are you there?", "Goodbye."]
    [end] = of(ended, EndCall)
    assert (end.end.outcome, end.end.cause, end.end.ended_by) == ("completed", "idle", "agent")


def test_a_caller_who_speaks_again_is_not_let_go() -> None:
    talk = Talk(waits=QUICK, idle_says=("Are you there?",), idle_times=1)
    talk.tell(START)
    for _ in range(3):
        talk.now_ms += 8000
        present(talk)
        assert [turn.text for turn in of(talk.dialog.wake(talk.now_ms), StartTurn)] == [
            "Are you there?"
        ]
        talk.say("Are you there?", 500)
        talk.now_ms += 600
        talk.tell(MarkPlayed(talk.marks[-1]))
        question(talk, "yes")
        talk.say("Good.", 200, TurnId("answer"))
        talk.now_ms += 300
        talk.tell(MarkPlayed(talk.marks[-1]))


# Other engines -----------------------------------------------------------------------------------


def test_the_next_engine_is_asked_for_what_the_first_one_owed() -> None:
    talk = Talk(greeting="Hello", fallbacks=1)
    talk.tell(START)
    commands = talk.tell(EngineFailed("openai.unreachable", ""))
    assert of(commands, ChangeEngine) == [ChangeEngine(False)]
    assert of(commands, StartTurn) == [StartTurn("Hello")]
    assert not of(commands, Apologise)
    assert of(talk.tell(EngineFailed("openai.unreachable", "")), Apologise)


def test_the_next_engine_answers_what_the_first_one_did_not() -> None:
    talk = Talk(fallbacks=1)
    question(talk, "are you open")
    commands = talk.tell(EngineFailed("openai.stalled", "first_token"))
    assert of(commands, ChangeEngine) == [ChangeEngine(True)]
    assert [turn.text for turn in talk.dialog.memory.turns] == ["are you open"]


def test_a_caller_whose_words_were_lost_with_an_engine_is_asked_again() -> None:
    talk = Talk(fallbacks=1, say_again="Pardon?")
    present(talk)
    talk.tell(SpeechStarted(0), SpeechStopped(20))
    commands = talk.tell(EngineFailed("openai.stalled", "recognition"))
    assert of(commands, ChangeEngine) == [ChangeEngine(False)]
    assert of(commands, StartTurn) == [StartTurn("Pardon?")]


def test_what_an_engine_made_before_it_failed_is_played_and_its_sentence_taken_up() -> None:
    talk = Talk(fallbacks=1)
    question(talk)
    talk.tell(TurnStarted(TURN), TurnText(TURN, "We are open", 0), TurnAudio(TURN, frame(600)))
    commands = talk.tell(EngineFailed("openai.stalled", "audio"))
    assert not of(commands, ClearAudio)
    assert of(commands, ChangeEngine) == [ChangeEngine(True)]


# Handing over ------------------------------------------------------------------------------------


def test_a_transfer_waits_until_its_announcement_was_heard() -> None:
    talk = Talk()
    talk.say("I put you through.", 800)
    assert not of(talk.tell(TransferRequested("+14155550100")), Transfer)
    talk.now_ms = 850
    assert of(talk.tell(MarkPlayed(talk.marks[0])), Transfer) == [Transfer("+14155550100")]
    assert talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 1)) == []
    assert not of(talk.say("Still me", 100, TurnId("t2")), PlayAudio)


def test_a_caller_who_interrupts_is_not_put_through_unless_somebody_else_wants_it() -> None:
    for from_outside in (False, True):
        talk = Talk()
        talk.say("I put you through.", 800)
        talk.tell(TransferRequested("+14155550100", from_outside))
        talk.now_ms = 200
        assert bool(of(talk.tell(SpeechStarted(100)) + talk.dialog.wake(201), Transfer)) is (
            from_outside
        )


def test_a_transfer_that_fails_gives_the_caller_back_to_the_agent() -> None:
    talk = Talk(not_transferred="It did not work.")
    talk.tell(TransferRequested("+14155550100"))
    commands = talk.tell(TransferFailed("twilio.13224", ""))
    assert notes(commands, "fault") == [{"code": "twilio.13224", "detail": ""}]
    assert of(commands, Instruct)
    assert of(commands, StartTurn) == [StartTurn("It did not work.")]
    sound = frame(20, party=Party.REMOTE)
    assert talk.tell(MediaReceived(sound, 1)) == [Hear(sound)]


def test_the_last_resort_is_another_number_after_the_apology() -> None:
    talk = Talk(last_resort_to="+14155550100")
    talk.tell(EngineFailed("openai.bad_key", ""))
    talk.tell(TurnText(APOLOGY, "Sorry.", 0), TurnAudio(APOLOGY, frame(500)), TurnEnded(APOLOGY))
    talk.now_ms = 520
    commands = talk.tell(MarkPlayed(talk.marks[0]))
    assert of(commands, Transfer) == [Transfer("+14155550100")]
    assert not of(commands, EndCall)
    [end] = of(talk.tell(TransferFailed("twilio.13224", "")), EndCall)
    assert end.end.outcome == "our_fault"


# Tools, instructions, machines -------------------------------------------------------------------


def test_a_tool_is_written_down_and_its_sentence_is_said_in_silence_only() -> None:
    talk = Talk()
    [called] = notes(talk.tell(ToolCalled("find", '{"day":"monday"}', "ok", 120)), "tool.called")
    assert called == {
        "tool": "find",
        "arguments": '{"day":"monday"}',
        "code": "ok",
        "took_ms": 120,
    }
    [filler] = of(talk.tell(FillerRequested("Let me look.")), PlayFiller)
    assert filler.text == "Let me look."
    talk.say("Here I am.", 500)
    assert not of(talk.tell(FillerRequested("Let me look.")), PlayFiller)


def test_instructions_reach_the_engine_and_the_one_after_it() -> None:
    talk = Talk()
    assert talk.tell(InstructionsGiven("Offer a discount.")) == [Instruct("Offer a discount.")]
    assert talk.dialog.instructions == ["Offer a discount."]


def test_a_machine_is_hung_up_on_where_the_agent_wants_it() -> None:
    talk = Talk(voicemail=VoicemailPolicy.HANG_UP)
    talk.say("Hello, is this Ana?", 2000)
    talk.now_ms = 500
    commands = talk.tell(MachineDetected("machine"))
    assert of(commands, ClearAudio)
    [end] = of(commands, EndCall)
    assert (end.end.cause, end.end.ended_by) == ("voicemail", "agent")


def test_a_message_is_left_when_the_machines_greeting_is_over() -> None:
    talk = Talk(voicemail=VoicemailPolicy.LEAVE_MESSAGE, voicemail_message="Call us back.")
    talk.say("Hello, is this Ana?", 2000)
    talk.now_ms = 500
    assert not of(talk.tell(MachineDetected("machine")), StartTurn)
    assert talk.tell(MediaReceived(frame(20, party=Party.REMOTE), 1)) == []
    assert not of(talk.say("Who is there?", 300, TurnId("t2")), PlayAudio)
    [ask] = of(talk.tell(MachineDetected("machine", greeting_over=True)), StartTurn)
    assert ask.text == "Call us back."
    talk.say("Call us back.", 800, TurnId("t3"))
    talk.now_ms = 1400
    assert of(talk.tell(MarkPlayed(talk.marks[-1])), EndCall)


def test_a_message_is_left_too_when_nobody_says_that_the_greeting_is_over() -> None:
    talk = Talk(voicemail=VoicemailPolicy.LEAVE_MESSAGE, voicemail_message="Call us back.")
    talk.tell(MachineDetected("machine"))
    assert not talk.dialog.is_due(GREETING_MOST_MS - 1)
    assert of(talk.dialog.wake(GREETING_MOST_MS), StartTurn) == [StartTurn("Call us back.")]


@pytest.mark.parametrize("result", ["human", "unknown"])
def test_a_person_is_talked_to_whatever_the_policy(result: str) -> None:
    talk = Talk(voicemail=VoicemailPolicy.HANG_UP)
    assert talk.tell(MachineDetected(result)) == []
