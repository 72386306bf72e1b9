"""The answers of a session: one in the conversation at a time, any number beside it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from service.core.errors import EngineError
from service.standin.model import answer
from service.standin.realtime.checks import check_response
from service.standin.realtime.common import Common
from service.standin.realtime.config import check_voice
from service.standin.realtime.items import Item, lines_of, shown_of
from service.standin.realtime.mcp import Remote
from service.standin.realtime.response import Response
from service.standin.realtime.wish import Wish
from service.standin.refusals import Refusal
from service.standin.script import Answer
from service.standin.sound import FORMATS, Made


class Answering:
    """Makes and stops answers."""

    def __init__(self, common: Common, remote: Remote) -> None:
        self._remote = remote
        self.spoken = False  # whether there has ever been sound
        self._common = common
        self._active: Response | None = None
        self._tasks: dict[Response, asyncio.Task[None]] = {}

    def create(self, asked: Mapping[str, Any]) -> None:
        """Begin an answer; Refusal when there is one under way."""
        if self._common.config.transcribes_only:
            raise Refusal("A transcription session gives no responses.", code="invalid_value")
        check_response(asked)
        output = (asked.get("audio") or {}).get("output") or {}
        check_voice(output.get("voice"), "response.audio.output.voice")
        beside = asked.get("conversation") == "none"
        if not beside and self._active is not None:
            message = (
                f"Conversation already has an active response in progress: {self._active.wish.id}. "
                "Wait until the response is finished before creating a new one."
            )
            raise Refusal(message, code="conversation_already_has_active_response")
        items = self._context(asked.get("input"))
        wish = self._wish(asked, output, beside=beside)
        stage = _Stage(self._common, self._remote, items, asked.get("instructions") or "")
        response = Response(wish, stage, self._common.desk.chance)
        if not beside:
            self._active = response
        self._tasks[response] = self._common.start(self._make(response), "stand-in response")

    def answer_turn(self) -> None:
        """The person's turn is over: answer, unless an answer is under way."""
        if self._active is None:
            self.create({})

    def cancel(self, response_id: str | None) -> None:
        """The client wants no more of it; Refusal when nothing is under way."""
        found = [r for r in self._tasks if r.wish.id == response_id]
        chosen = found[0] if found else self._active if response_id is None else None
        if chosen is None:
            message = "Cancellation failed: no active response found"
            raise Refusal(message, code="response_cancel_not_active")
        self._stop(chosen, "client_cancelled")

    def interrupt(self) -> None:
        """The person speaks."""
        if self._active is not None:
            self._stop(self._active, "turn_detected")

    async def _make(self, response: Response) -> None:
        try:
            await response.run()
        except EngineError:  # espeak-ng cannot say it
            response.finish("failed", code="server_error")
        finally:
            self._done(response)

    def _stop(self, response: Response, reason: str) -> None:
        task = self._tasks[response]
        response.finish("cancelled", reason=reason)
        self._done(response)
        task.cancel()

    def _done(self, response: Response) -> None:
        self.spoken |= response.spoke
        self._tasks.pop(response, None)
        if self._active is response:
            self._active = None

    def _context(self, given: Sequence[Mapping[str, Any]] | None) -> list[Item] | None:
        """The items of an answer's own context; None: the conversation's, as it will be."""
        if given is None:
            return None
        made = []
        for item in given:
            if item["type"] == "item_reference":
                made.append(self._common.conversation.need(item["id"], "adding"))
            else:
                item_id = item.get("id") or self._common.desk.new_id("item")
                made.append(Item(shown_of(item, item_id)))
        return made

    def _wish(self, asked: Mapping[str, Any], output: Mapping[str, Any], *, beside: bool) -> Wish:
        desk, shown = self._common.desk, self._common.config.shown
        usual = shown["audio"]["output"]
        tokens = asked.get("max_output_tokens", shown["max_output_tokens"])
        voice = output.get("voice", usual["voice"])
        shown_format = output.get("format", usual["format"])
        return Wish(
            id=desk.new_id("resp"),
            conversation_id=None if beside else self._common.conversation_id,
            modality=(asked.get("output_modalities") or shown["output_modalities"])[0],
            voice=voice if isinstance(voice, str) else voice["id"],
            speed=usual["speed"],
            format=FORMATS[shown_format["type"]],
            shown_format=shown_format,
            tools=_may_call(asked, shown),
            most_tokens=tokens if isinstance(tokens, int) else None,
            metadata=asked.get("metadata"),
            delays=desk.script.delays,
            sound=desk.script.sound,
            fault=desk.faults.next("response"),
        )


def _may_call(asked: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    offered = bool(asked.get("tools", shown["tools"]))
    return offered and asked.get("tool_choice", shown["tool_choice"]) != "none"


class _Stage:
    """The session, as one answer sees it."""

    def __init__(
        self, common: Common, remote: Remote, items: list[Item] | None, orders: str
    ) -> None:
        self._common = common
        self.call_remote = remote.call
        self._items = items
        self._orders = orders

    def tell(self, kind: str, **fields: Any) -> None:
        self._common.tell(kind, **fields)

    def new_id(self, prefix: str) -> str:
        return self._common.desk.new_id(prefix)

    def place(self, item: Item) -> str | None:
        conversation = self._common.conversation
        return conversation.before(item) if item in conversation.items else conversation.add(item)

    async def choose(self) -> Answer:
        items = self._common.conversation.items if self._items is None else self._items
        return answer(self._common.desk.script, await lines_of(items), self._orders)

    async def speak(self, text: str, wish: Wish) -> Made:
        return await self._common.desk.speak(text, wish.format, voice=wish.voice, speed=wish.speed)
