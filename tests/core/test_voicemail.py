"""What becomes of a call that a machine answers."""

from service.core.events import MachineDetected
from service.core.voicemail import GREETING_MOST_MS, Voicemail, VoicemailPolicy

MACHINE = MachineDetected("machine")
BEEP = MachineDetected("machine", greeting_over=True)


def test_who_talks_to_machines_notices_none() -> None:
    assert not Voicemail(VoicemailPolicy.TALK).noticed(MACHINE, 0)


def test_a_machine_is_noticed_once_and_once_more_when_its_greeting_is_over() -> None:
    voicemail = Voicemail(VoicemailPolicy.LEAVE_MESSAGE)
    assert [voicemail.noticed(event, 0) for event in (MACHINE, MACHINE, BEEP)] == [
        *(True, False, True),
    ]
    voicemail.leave()
    assert not voicemail.noticed(BEEP, 10)


def test_nothing_is_said_to_a_machine_that_still_greets() -> None:
    voicemail = Voicemail(VoicemailPolicy.LEAVE_MESSAGE)
    voicemail.noticed(MACHINE, 1000)
    assert voicemail.deaf
    assert voicemail.mute
    voicemail.leave()
    assert voicemail.deaf
    assert not voicemail.mute


def test_a_greeting_is_waited_for_only_so_long() -> None:
    voicemail = Voicemail(VoicemailPolicy.LEAVE_MESSAGE)
    voicemail.noticed(MACHINE, 1000)
    assert not voicemail.is_due(1000 + GREETING_MOST_MS - 1)
    assert voicemail.is_due(1000 + GREETING_MOST_MS)
