"""One answer of the model, from response.created to response.done.

It may be cancelled at any moment; what the client has got by then is closed properly, and is what
the conversation remembers.
"""

import asyncio
import random
from typing import Any

from service.standin.realtime.calling import call, call_remote
from service.standin.realtime.output import Output
from service.standin.realtime.saying import say
from service.standin.realtime.wish import Ends, Stage, Status, Wish
from service.standin.refusals import told
from service.standin.script import Answer

_ENDS = {"length": "max_output_tokens", "content_filter": "content_filter"}
_LIMITS = [
    {"name": "requests", "limit": 1000, "remaining": 999, "reset_seconds": 0.06},
    {"name": "tokens", "limit": 50_000, "remaining": 45_000, "reset_seconds": 5.2},
]
_INPUT_TOKENS = 100


class Response:
    """An answer being made."""

    def __init__(self, wish: Wish, stage: Stage, chance: random.Random) -> None:
        self.wish = wish
        self.over = False
        self._stage = stage
        self._chance = chance
        self._output = Output(wish, stage)

    @property
    def spoke(self) -> bool:
        """Whether there has been sound."""
        return self._output.spoke

    async def run(self) -> None:
        """Make it, to its end."""
        self._stage.tell("response.created", response=self._shown("in_progress"))
        self._stage.tell("rate_limits.updated", rate_limits=_LIMITS)
        fault = self.wish.fault
        try:
            if fault is not None and not fault.after:
                await self._output.step()
            answer = await self._stage.choose()
            await asyncio.sleep(self.wish.delays.first_token_ms / 1000)
            if fault is None or fault.does != "empty":
                await self._carry_out(answer)
        except Ends as early:
            return self.finish(early.status, reason=early.reason, code=early.code)
        reason = _ENDS.get(answer.ends)
        return self.finish("incomplete" if reason else "completed", reason=reason)

    def finish(self, status: Status, *, reason: str | None = None, code: str = "") -> None:
        """End it now: what is open is closed, then response.done."""
        if self.over:
            return
        self.over = True
        self._output.close("completed" if status == "completed" else "incomplete")
        self._stage.tell("response.done", response=self._shown(status, reason=reason, code=code))
        if status == "completed":
            for index, item in enumerate(self._output.items):
                if item.shown["type"] == "mcp_call":
                    self._stage.call_remote(item, index)

    async def _carry_out(self, answer: Answer) -> None:
        if answer.says:
            await say(self._output, answer.says, self._chance)
        if not self.wish.tools or not answer.calls:
            return
        for wanted in answer.calls:
            await (call_remote if wanted.server else call)(self._output, wanted)

    def _shown(self, status: str, *, reason: str | None = None, code: str = "") -> dict[str, Any]:
        """As the API tells of it."""
        wish = self.wish
        return {
            "object": "realtime.response",
            "id": wish.id,
            "status": status,
            "status_details": _details(status, reason, code),
            "output": [item.shown for item in self._output.items],
            "conversation_id": wish.conversation_id,
            "output_modalities": [wish.modality],
            "max_output_tokens": wish.most_tokens or "inf",
            "audio": {"output": {"format": wish.shown_format, "voice": wish.voice}},
            "usage": None if status == "in_progress" else self._usage(),
            "metadata": wish.metadata,
        }

    def _usage(self) -> dict[str, Any]:
        made = self._output.tokens
        texts = {"text_tokens": _INPUT_TOKENS, "audio_tokens": 0, "image_tokens": 0}
        return {
            "total_tokens": _INPUT_TOKENS + made,
            "input_tokens": _INPUT_TOKENS,
            "output_tokens": made,
            "input_token_details": texts | {"cached_tokens": 0},
            "output_token_details": {"text_tokens": made, "audio_tokens": 0},
        }


def _details(status: str, reason: str | None, code: str) -> dict[str, Any] | None:
    if status in ("cancelled", "incomplete"):
        return {"type": status, "reason": reason}
    if status == "failed":
        error = told(500, code).error()
        return {"type": status, "error": {name: error[name] for name in ("type", "code")}}
    return None
