"""Whatever a client sends, a session answers it or refuses it, and goes on."""

import asyncio
import json
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import realtime as theirs

from service.standin import Script, Voice
from service.standin.desk import Desk
from service.standin.realtime import checks
from service.standin.realtime.session import Session
from tests.standin.realtime import check_event

_TEXTS = st.sampled_from(
    ["realtime", "message", "user", "input_text", "server_vad", "function", "audio/pcmu", "AAAA"]
)
_PARAMS = (
    theirs.RealtimeSessionCreateRequestParam,
    theirs.RealtimeAudioConfigInputParam,
    theirs.RealtimeAudioConfigOutputParam,
    theirs.RealtimeConversationItemUserMessageParam,
    theirs.RealtimeConversationItemFunctionCallParam,
    theirs.RealtimeFunctionToolParam,
    theirs.RealtimeResponseCreateParamsParam,
)
_NAMES = st.sampled_from(sorted({name for made in _PARAMS for name in made.__annotations__}))
_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 30_000) | st.floats() | _TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=4),
    max_leaves=12,
)
_EVENTS = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(checks._SHAPES))},
    optional={
        "session": st.dictionaries(_NAMES, _VALUES).map(lambda made: {"type": "realtime", **made}),
        "item": st.dictionaries(_NAMES, _VALUES).map(lambda made: {"type": "message", **made}),
        "response": st.dictionaries(_NAMES, _VALUES, max_size=4),
        "audio": _TEXTS,
        "item_id": _TEXTS,
        "previous_item_id": _TEXTS,
        "content_index": st.integers(-1, 1),
        "audio_end_ms": st.integers(-1, 5),
        "event_id": _VALUES,
    },
)


@settings(max_examples=150, deadline=None)
@given(st.lists(_EVENTS, min_size=1, max_size=8))
def test_no_event_breaks_a_session(events: list[dict[str, Any]]) -> None:
    asyncio.run(_play(events))


async def _play(events: list[dict[str, Any]]) -> None:
    script = Script(opens="", otherwise="", heard=("hello",), repeats=True)
    desk = Desk(script, key=None, chance=random.Random(0), voice=Voice(), watch=lambda _what: None)
    session = Session(desk, "gpt-realtime", 0)
    for event in events:
        told = session.outbox.qsize()
        session.take(json.dumps(event))
        await asyncio.sleep(0)
        if event["type"] != "input_audio_buffer.append":
            assert session.outbox.qsize() > told
    await session.aclose()
    while not session.outbox.empty():
        check_event(json.loads(session.outbox.get_nowait()))
