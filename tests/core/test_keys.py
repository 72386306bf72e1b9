"""One press is one press, by whichever way it is told."""

from service.core.keys import KeyPresses


def test_the_nth_press_on_one_channel_is_the_nth_on_the_other() -> None:
    keys = KeyPresses()
    told = [("5", "stream"), ("5", "webhook"), ("5", "webhook"), ("5", "stream"), ("6", "webhook")]
    assert [keys.is_new(*press) for press in told] == [True, False, True, False, True]
