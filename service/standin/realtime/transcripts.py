"""What was said, written down for the client: beside the model, and at its own pace."""

import asyncio
from typing import Any

from service.standin.realtime.common import Common
from service.standin.realtime.items import Item
from service.standin.sound import pieces
from service.standin.transcription import usage

_KIND = "conversation.item.input_audio_transcription"
_ONE_DELTA = "whisper-1"


async def transcribe(common: Common, item: Item, seconds: float) -> None:
    """Tell what is said in an item, piece by piece and whole; or that it cannot be told."""
    fault = common.desk.faults.next("recognition")
    of = {"item_id": item.id, "content_index": 0}
    await asyncio.sleep(common.desk.script.delays.recognition_ms / 1000)
    if fault is not None and fault.does == "stall":
        await asyncio.Event().wait()
    if fault is not None and fault.does == "failed":
        return common.tell(f"{_KIND}.failed", **of, error=_error(fault.reason))
    text = await _text(item)
    if fault is not None and fault.does == "empty":
        text = ""
    await _write(common, item, text, of)
    common.tell(f"{_KIND}.completed", **of, transcript=text, usage=usage(text, seconds))
    return None


async def _text(item: Item) -> str:
    return await asyncio.shield(item.understood) if item.understood is not None else ""


async def _write(common: Common, item: Item, text: str, of: dict[str, Any]) -> None:
    model = (common.config.transcription or {}).get("model")
    parts = [text] if model == _ONE_DELTA and text else pieces(text)
    for number, piece in enumerate(parts):
        if number:
            await asyncio.sleep(common.desk.script.delays.token_ms / 1000)
        common.tell(f"{_KIND}.delta", **of, delta=piece)
    for part in item.shown["content"]:
        if part["type"] == "input_audio":
            part["transcript"] = text


def _error(code: str) -> dict[str, Any]:
    return {
        "type": "transcription_error",
        "code": code or "audio_unintelligible",
        "message": "The audio could not be transcribed.",
        "param": None,
    }
