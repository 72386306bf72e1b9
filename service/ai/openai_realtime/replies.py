"""Who is to answer when: one answer at a time is asked for, kept, thrown away or cut.

A Realtime conversation makes one answer at a time, so the next waits until the server has said
that the last is over, also when it was cancelled. Answers that were cut stay known for a while:
what still comes of them is dropped by their id.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Protocol

from service.ai.openai import orders
from service.ai.openai.errors import FIRST_AUDIO_S, FIRST_TOKEN_S, NEXT_AUDIO_S
from service.ai.openai.events import (
    ItemBegan,
    RemoteToolAsked,
    ResponseBegan,
    ResponseOver,
    Sound,
    SoundDone,
    SoundText,
    ToolAsked,
)
from service.ai.openai.orders import Order
from service.ai.openai.watch import Watch
from service.ai.openai_realtime.reply import Reply
from service.core.events import EngineEvent, TurnId

KNOWN_MOST = 16
"""Answers remembered: the caller hears at most a few minutes later what was made."""
WAITING_MOST = 8

_ABOUT_TO_SPEAK = ("first audio", FIRST_AUDIO_S)
_AT_WORK = ("remote tool", 15.0)  # that the server calls itself, and says nothing meanwhile

ReplyEvent = (
    ResponseBegan
    | ItemBegan
    | Sound
    | SoundText
    | SoundDone
    | ToolAsked
    | RemoteToolAsked
    | ResponseOver
)


class House(Protocol):
    """Where answers go to, and what becomes of them when they are complete."""

    def send(self, order: Order) -> None:
        """To the server."""

    def tell(self, reply: Reply, events: list[EngineEvent]) -> None:
        """The caller may hear this."""

    def settle(self, reply: Reply, over: ResponseOver) -> None:
        """The answer is complete, and may be heard."""


class Replies:
    """One session's answers."""

    def __init__(self, house: House, late: Callable[[str], None]) -> None:
        self._house = house
        self._watch = Watch(late)
        self._active: Reply | None = None
        self._waiting: deque[Reply] = deque(maxlen=WAITING_MOST)
        self._known: OrderedDict[TurnId, Reply] = OrderedDict()
        self._kept: list[EngineEvent] = []  # of the one that is held
        self._held: Reply | None = None
        self._held_over: ResponseOver | None = None
        self._there = True  # there is a session

    @property
    def quiet(self) -> bool:
        """Nothing is being made or is to be made."""
        return self._active is None and not self._waiting

    @property
    def waits(self) -> bool:
        """An answer is to be asked for that will know all that is said until then."""
        return bool(self._waiting)

    # What is wanted ----------------------------------------------------------------------------

    def ask(self, reply: Reply) -> None:
        """Ask for an answer, as soon as there is none under way."""
        self._known[reply.turn_id] = reply
        if len(self._known) > KNOWN_MOST:
            self._known.popitem(last=False)
        if reply.held:
            self._held, self._held_over, self._kept = reply, None, []
        self._waiting.append(reply)
        self._next()

    def release(self) -> bool:
        """What was held may be heard; False when nothing was."""
        reply, self._held = self._held, None
        if reply is None:
            return False
        reply.held = False
        kept, self._kept = self._kept, []
        self._house.tell(reply, kept)
        if self._held_over is not None:
            self._house.settle(reply, self._held_over)
        return True

    def drop_held(self) -> None:
        """The caller goes on: what was held is not to be heard."""
        if self._held is not None:
            reply, self._held, self._kept = self._held, None, []
            self._cut(reply, 0)

    def drop_unheard(self) -> None:
        """The caller speaks again: what answers them and has not begun does not answer all."""
        self.drop_held()
        for reply in [*self._known.values()]:
            if not (reply.began or reply.exact or reply.over):
                self._cut(reply, 0)

    def interrupt(self, turn_id: TurnId, heard_ms: int) -> Reply | None:
        """The caller heard no more than this of a turn; None when that is known, or the turn not.

        Of a turn that a lost session made, the server remembers words only: who asks corrects them.
        """
        reply = self._known.get(turn_id)
        if reply is None or reply.cut_ms is not None:
            return None
        self._cut(reply, heard_ms)
        return reply

    def told(self, played_ms: Callable[[Reply], int]) -> None:
        """Tell the text whose sound may be heard soon."""
        if self._active is not None and self._active.began and not self._active.held:
            events = self._active.due(played_ms(self._active))
            if events:
                self._house.tell(self._active, events)

    def lose(self) -> None:
        """The session is gone: what was under way is what has come of it, the rest is to come."""
        self._there = False
        self._watch.rest()
        for reply in self._known.values():
            reply.elsewhere = reply.elsewhere or reply.over or reply.began
        active, self._active = self._active, None
        if active is None:
            return
        if active.began and not active.held:
            self._take_over(active, ResponseOver("", "cancelled"))
        elif active.cut_ms is None:
            again = self._known[active.turn_id] = active.again()
            if self._held is active:
                self._held, self._kept = again, []
            self._waiting.appendleft(again)

    def resume(self) -> None:
        """There is a session again."""
        self._there = True
        self._next()

    def close(self) -> None:
        """Ask for nothing more."""
        self._waiting.clear()
        self._watch.close()

    def refused(self, turn: str, code: str | None, kind: str | None) -> None:
        """The server would not make this answer."""
        if self._active is not None and self._active.turn_id == turn:
            self._end(ResponseOver("", "failed", code=code, kind=kind))

    # What comes --------------------------------------------------------------------------------

    def take(self, event: ReplyEvent) -> None:
        """Something of an answer."""
        if isinstance(event, ResponseBegan):
            self._begin(event)
            return
        reply = self._active
        if reply is None or reply.response_id != event.response_id:
            return
        if isinstance(event, ResponseOver):
            self._end(event)
        elif isinstance(event, ItemBegan):
            self._watch.expect(*_AT_WORK if event.remote else _ABOUT_TO_SPEAK)
            reply.add(event.item_id)
        elif isinstance(event, ToolAsked):
            reply.add(event.item_id)
            reply.tools.append(event)
        elif isinstance(event, RemoteToolAsked):
            reply.add(event.item_id)
            reply.remote += 1
        elif reply.cut_ms is None:
            self._hear(reply, event)

    def _begin(self, event: ResponseBegan) -> None:
        reply = self._active
        if reply is None or event.turn not in (None, reply.turn_id):
            self._house.send(orders.cancel(event.response_id))  # nobody asked for it
            return
        reply.response_id = event.response_id

    def _hear(self, reply: Reply, event: Sound | SoundText | SoundDone) -> None:
        match event:
            case Sound(_, item_id, data):
                self._watch.expect("between audio", NEXT_AUDIO_S)
                self._tell(reply, reply.sound(item_id, data))
            case SoundText(_, item_id, text):
                self._tell(reply, reply.words(item_id, text))
            case SoundDone(_, item_id):
                self._tell(reply, reply.complete(item_id))

    def _end(self, over: ResponseOver) -> None:
        reply, self._active = self._active, None
        self._watch.rest()
        if reply is None:
            return
        if reply.cut_ms is not None:
            reply.over = True
            for order in reply.cut():
                self._house.send(order)
        else:
            self._take_over(reply, over)
        self._next()

    def _take_over(self, reply: Reply, over: ResponseOver) -> None:
        self._tell(reply, reply.finish(broken=over.status in ("cancelled", "failed")))
        if reply.held:
            self._held_over = over
        else:
            self._house.settle(reply, over)

    def _tell(self, reply: Reply, events: list[EngineEvent]) -> None:
        if reply.held:
            self._kept += events
        elif events:
            self._house.tell(reply, events)

    def _next(self) -> None:
        if self._active is not None or not self._waiting or not self._there:
            return
        self._active = reply = self._waiting.popleft()
        self._watch.expect("first token", FIRST_TOKEN_S)
        self._house.send(reply.order)

    def _cut(self, reply: Reply, heard_ms: int) -> None:
        reply.cut_ms = heard_ms
        if reply in self._waiting:
            self._waiting.remove(reply)
            reply.over = True
        elif reply is self._active:
            self._watch.expect("cancelling", NEXT_AUDIO_S)
            self._house.send(orders.cancel(reply.response_id))
        elif not reply.elsewhere:
            for order in reply.cut():
                self._house.send(order)
