"""A phone at the other end of the engine: plays what it makes, and tells what was heard of it."""

import asyncio
from collections.abc import Callable

from service.ai.base import Talk
from service.core.audio import PCM16_8K, PCMU_8K, AudioFrame, MediaFormat, Party
from service.core.commands import EngineCommand, Hear, Interrupt, TellAudible
from service.core.events import (
    EngineEvent,
    SpeechDismissed,
    SpeechStarted,
    SpeechSuspected,
    TurnAudio,
    TurnEnded,
    TurnStarted,
    TurnText,
)
from service.core.turns import AgentTurn
from service.media.convert import Converter
from service.media.frames import Framer


class Phone:
    """Plays one turn after the other by the loop's clock; an interruption drops them all."""

    def __init__(self, line: MediaFormat = PCMU_8K) -> None:
        self._converter = Converter(PCM16_8K, line)
        self._framer = Framer(line, Party.REMOTE)
        self.events: list[EngineEvent] = []
        self.at_ms: list[int] = []  # when each of them came
        self.turns: list[AgentTurn] = []  # to be played
        self.played: list[str] = []  # what was heard of each turn, in words
        self.heard_ms = 0  # of the turn being played
        self.paused = False
        self._talk: Callable[[], Talk]
        self._audible = False
        self._media_ms = 0

    def do(self, command: EngineCommand) -> None:
        self._talk().do(command, self._media_ms)

    def use(self, talk: Talk) -> None:
        self._talk = lambda: talk

    def take(self, event: EngineEvent) -> None:
        self.events.append(event)
        self.at_ms.append(round(asyncio.get_running_loop().time() * 1000))
        turns = {turn.turn_id: turn for turn in self.turns}
        match event:
            case TurnStarted(turn_id):
                self.turns.append(AgentTurn(turn_id))
            case TurnText(turn_id, text, start_ms) if turn_id in turns:
                turns[turn_id].add_text(text, start_ms)
            case TurnAudio(turn_id, frame) if turn_id in turns:
                turns[turn_id].made_ms += frame.duration_ms
            case TurnEnded(turn_id) if turn_id in turns:
                turns[turn_id].made = True
            case SpeechSuspected():
                self.paused = True
            case SpeechDismissed():
                self.paused = False
            case SpeechStarted():
                self._interrupt()
            case _:
                pass

    def first_ms(self, kind: type[EngineEvent]) -> int:
        """When such an event came first."""
        times = zip(self.events, self.at_ms, strict=True)
        return next(at_ms for event, at_ms in times if isinstance(event, kind))

    async def hear(self, pcm: bytes) -> None:
        """The caller's line, at the speed of speech, while the agent's is played."""
        for frame in self._framer.push(self._converter.convert(pcm)):
            self._media_ms += frame.duration_ms
            self._talk().do(Hear(frame), self._media_ms)
            await asyncio.sleep(frame.duration_ms / 1000)
            self._play(frame)

    def _play(self, frame: AudioFrame) -> None:
        turn = self.turns[0] if self.turns else None
        if turn is not None and not self.paused:
            self.heard_ms = min(turn.made_ms, self.heard_ms + frame.duration_ms)
            if turn.made and self.heard_ms == turn.made_ms:
                self._close(turn)
        audible = bool(self.turns) and bool(self.turns[0].made_ms)
        if audible is not self._audible:
            self._audible = audible
            self._talk().do(TellAudible(audible), self._media_ms)

    def _close(self, turn: AgentTurn) -> None:
        self.played.append(turn.heard_text(self.heard_ms))
        self.turns.remove(turn)
        self.heard_ms = 0

    def _interrupt(self) -> None:
        self.paused = False
        for turn in [*self.turns]:
            words = turn.heard_text(self.heard_ms)
            self._talk().do(Interrupt(turn.turn_id, self.heard_ms, words), self._media_ms)
            self._close(turn)
