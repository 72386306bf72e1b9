"""The phones of one test: every call that it makes, on services that stay open between tests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from service.testing.person import Provider
from service.testing.scripted_call import ScriptedCall
from service.testing.stages import Order, Stages, plain_faults

_FIRST_NUMBER = 14155550200


class Phones:
    """Makes calls. `agents`: their files' folder; `folders`: where sound files are looked for.

    `recorded`: the service keeps a cassette of every call; `standin`: the script of what stands in
    for OpenAI.
    """

    def __init__(
        self,
        stages: Stages,
        *,
        agents: Path,
        provider: Provider = "twilio",
        settings: Mapping[str, str] | None = None,
        recorded: bool = False,
        folders: tuple[Path, ...] = (),
        standin: Path | None = None,
    ) -> None:
        self.calls: list[ScriptedCall] = []
        self._stages = stages
        self._order = Order(
            agents, tuple(sorted((settings or {}).items())), recorded=recorded, standin=standin
        )
        self._provider: Provider = provider
        self._folders = folders

    def new_call(self) -> ScriptedCall:
        """One more call on the same service, not begun yet."""
        with plain_faults():
            place = self._stages.get(self._order)
        call = ScriptedCall(
            place,
            number=f"+{_FIRST_NUMBER + len(self.calls)}",
            provider=self._provider,
            folders=self._folders,
        )
        self.calls.append(call)
        return call

    def dial(self, agent: str = "", **more: Any) -> ScriptedCall:
        """One more call, dialled as `ScriptedCall.dial` says."""
        call = self.new_call()
        call.dial(agent, **more)
        return call

    def ring(self, agent: str = "", **more: Any) -> ScriptedCall:
        """One more call, placed by the agent as `ScriptedCall.ring` says."""
        call = self.new_call()
        call.ring(agent, **more)
        return call

    def finish(self) -> None:
        """Hang up what is still on."""
        for call in self.calls:
            call.finish()
