"""Turns are heard one after the other, whatever is made first."""

from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.floor import Floor
from service.core.events import EngineEvent, TurnEnded, TurnId, TurnStarted

A, B, C = (TurnId(name) for name in "abc")


class Hall:
    """What is heard, and whose turn goes on."""

    def __init__(self) -> None:
        self.heard: list[EngineEvent] = []
        self.went_on: list[TurnId] = []
        self.floor = Floor(self.heard.append, self.went_on.append)

    def make(self, turn_id: TurnId, *, held: bool = False) -> None:
        """All of a turn at once."""
        self.floor.enter(turn_id, held=held)
        self.floor.tell(turn_id, TurnStarted(turn_id))
        self.floor.tell(turn_id, TurnEnded(turn_id))
        self.floor.leave(turn_id)

    @property
    def turns(self) -> list[str]:
        return [event.turn_id for event in self.heard if isinstance(event, TurnStarted)]


def test_the_first_is_heard_at_once_and_the_second_after_it() -> None:
    hall = Hall()
    hall.floor.enter(A, held=False)
    hall.make(B)
    hall.floor.tell(A, TurnStarted(A))
    assert hall.heard == [TurnStarted(A)]
    hall.floor.leave(A)
    assert hall.turns == [A, B]
    assert hall.went_on == [A, B]
    assert hall.floor.holder is None


def test_what_is_held_is_not_heard_until_it_is_released() -> None:
    hall = Hall()
    hall.make(A, held=True)
    hall.make(B)
    assert hall.turns == [B]
    hall.floor.release(A)
    hall.floor.release(A)
    assert hall.heard[2:] == [TurnStarted(A), TurnEnded(A)]


def test_of_what_was_dropped_nothing_is_heard() -> None:
    hall = Hall()
    hall.floor.enter(A, held=False)
    hall.make(B, held=True)
    hall.make(C)
    hall.floor.drop(B)
    hall.floor.release(B)
    hall.floor.drop(A)
    assert not hall.floor.tell(A, TurnStarted(A))
    assert hall.turns == [C]


def test_who_has_left_is_heard_no_more() -> None:
    hall = Hall()
    hall.make(A)
    assert not hall.floor.tell(A, TurnEnded(A))
    assert len(hall.heard) == 2


Deed = st.tuples(
    st.sampled_from(["enter", "held", "release", "tell", "leave", "drop"]), st.integers(0, 5)
)


@given(st.lists(Deed, max_size=60))
def test_no_turn_interrupts_another(deeds: list[tuple[str, int]]) -> None:
    hall, entered, left = Hall(), set[str](), set[str]()
    for deed, number in deeds:
        turn_id = TurnId(str(number))
        if deed in ("enter", "held"):
            if turn_id not in entered:
                entered.add(turn_id)
                hall.floor.enter(turn_id, held=deed == "held")
        elif deed == "tell":
            hall.floor.tell(turn_id, TurnStarted(turn_id))
        elif turn_id in entered:
            left |= {turn_id} if deed in ("leave", "drop") else set()
            getattr(hall.floor, deed)(turn_id)
    order = list(dict.fromkeys(hall.turns))
    assert hall.turns == sorted(hall.turns, key=order.index)
    assert len(hall.went_on) == len(set(hall.went_on))
    assert hall.floor.holder not in left
