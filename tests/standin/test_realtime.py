"""Realtime sessions: settings, turns, answers, and what the model remembers."""

import asyncio
from typing import Any

import pytest

from service.media.g711 import encode_pcmu
from service.replay import virtual
from service.standin import Voice
from service.standin.sound import FORMATS
from tests.standin.client import standin
from tests.standin.realtime import PCMU, SECOND, Caller, calling, pcmu_silence, soon

HOURS: dict[str, Any] = {"hears": "when are you open", "says": "We are open from nine to five."}
BOOKING: dict[str, Any] = {
    "hears": "book me in",
    "says": "One moment.",
    "calls": {"name": "book", "arguments": {"day": "monday"}},
    "then": "Done: {result}.",
}
AT_ONCE = {"speed": 0}
WRITTEN = {"turn_detection": None, "transcription": {"model": "gpt-4o-mini-transcribe"}}


async def test_a_session_is_told_as_it_is_set_and_only_what_is_named_changes() -> None:
    async with calling(standin()) as caller:
        first = await caller.configure(instructions="Be brief.", output={"voice": "marin"})
        assert first["session"]["audio"]["output"] == {
            "format": PCMU,
            "voice": "marin",
            "speed": 1.0,
        }
        await caller.send(
            "session.update", session={"type": "realtime", "audio": {"output": {"speed": 1.2}}}
        )
        second = (await caller.until("session.updated"))["session"]
    assert second["instructions"] == "Be brief."
    assert second["audio"]["output"] == {"format": PCMU, "voice": "marin", "speed": 1.2}
    assert second["audio"]["input"]["turn_detection"] is None
    assert second["model"] == "gpt-realtime"


async def test_turn_detection_is_filled_with_what_openai_takes_for_usual() -> None:
    async with calling(standin()) as caller:
        made = await caller.configure(input={"turn_detection": {"type": "semantic_vad"}})
        assert made["session"]["audio"]["input"]["turn_detection"] == {
            "type": "semantic_vad",
            "eagerness": "auto",
            "create_response": True,
            "interrupt_response": True,
        }


async def test_an_answer_comes_in_openais_order(voice: Voice) -> None:
    server = standin(voice, heard=["when are you open"], replies=[HOURS], sound=AT_ONCE)
    async with calling(server) as caller:
        await caller.configure()
        item_id = await caller.say()
        caller.events.clear()
        done = await caller.ask(metadata={"turn": "turn_1"})
        kinds = list(dict.fromkeys(event["type"] for event in caller.events))
        assert kinds == [
            "response.created",
            "rate_limits.updated",
            "response.output_item.added",
            "conversation.item.added",
            "response.content_part.added",
            "response.output_audio_transcript.delta",
            "response.output_audio.delta",
            "response.output_audio.done",
            "response.output_audio_transcript.done",
            "response.content_part.done",
            "conversation.item.done",
            "response.output_item.done",
            "response.done",
        ]
        assert caller.text == HOURS["says"]
        assert done["status"] == "completed"
        assert done["metadata"] == {"turn": "turn_1"}
        assert done["usage"]["output_tokens"] > 8
        assert caller.of("conversation.item.added")[0]["previous_item_id"] == item_id
        assert caller.session.memory == [("user", "when are you open"), ("assistant", caller.text)]


@pytest.mark.parametrize("name", ["audio/pcmu", "audio/pcma", "audio/pcm"])
async def test_sound_comes_in_the_format_that_is_set(voice: Voice, name: str) -> None:
    shown = {"type": name} | ({"rate": 24000} if name == "audio/pcm" else {})
    server = standin(voice, opens="We are open from nine to five.", sound=AT_ONCE)
    async with calling(server) as caller:
        await caller.configure(output={"format": shown})
        await caller.ask()
        [item] = caller.session.conversation.items
        length_ms = FORMATS[name].duration_ms(len(caller.sound))
        assert 1500 < length_ms < 3500
        assert item.audio_ms == length_ms
        assert item.made is not None
        assert item.made.words[-1].start_ms < length_ms


async def test_pieces_of_sound_may_have_any_size(voice: Voice) -> None:
    server = standin(voice, sound={"speed": 0, "chunk_bytes": 333})
    async with calling(server) as caller:
        await caller.configure()
        await caller.ask()
        sizes = {len(event["delta"]) for event in caller.of("response.output_audio.delta")[:-1]}
    assert sizes == {444}  # of base64


async def test_an_answer_may_be_text_alone() -> None:
    async with calling(standin(opens="Good day.")) as caller:
        await caller.configure(output_modalities=["text"])
        done = await caller.ask()
        assert done["output"][0]["content"] == [{"type": "output_text", "text": "Good day."}]
        assert not caller.sound


async def test_what_is_said_is_written_down_beside_the_answer() -> None:
    async with calling(standin(heard=["when are you open"])) as caller:
        await caller.configure(input=WRITTEN)
        item_id = await caller.say()
        kind = "conversation.item.input_audio_transcription"
        done = await caller.until(f"{kind}.completed")
        assert done["transcript"] == "when are you open"
        assert done["item_id"] == item_id
        assert "".join(e["delta"] for e in caller.of(f"{kind}.delta")) == done["transcript"]


@pytest.mark.parametrize(("by", "second"), [("server", "b"), ("session", "a")])
async def test_what_is_heard_is_one_list_for_all_or_one_for_each_session(
    by: str, second: str
) -> None:
    server = standin(heard=["a", "b"], heard_by=by)
    for text in ("a", second):
        async with calling(server) as caller:
            await caller.configure()
            await caller.say()
            await soon()
            assert caller.session.memory == [("user", text)]
    assert server.heard == ["a", second]


async def test_a_function_call_comes_with_its_result_back_to_words(voice: Voice) -> None:
    server = standin(voice, heard=["book me in"], replies=[BOOKING], sound=AT_ONCE)
    tool = {"type": "function", "name": "book", "parameters": {"type": "object"}}
    async with calling(server) as caller:
        await caller.configure(tools=[tool])
        await caller.say()
        done = await caller.ask()
        [said, call] = done["output"]
        assert (said["type"], call["type"], call["name"]) == ("message", "function_call", "book")
        written = caller.of("response.function_call_arguments.delta")
        assert len(written) > 1
        assert "".join(e["delta"] for e in written) == call["arguments"] == '{"day": "monday"}'
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "ten"}
        await caller.send("conversation.item.create", item=result)
        caller.events.clear()
        await caller.ask()
        assert caller.text == "Done: ten."


async def test_without_tools_none_is_called(voice: Voice) -> None:
    server = standin(voice, heard=["book me in"], replies=[BOOKING], sound=AT_ONCE)
    async with calling(server) as caller:
        await caller.configure()
        await caller.say()
        done = await caller.ask(tool_choice="none")
        assert [item["type"] for item in done["output"]] == ["message"]


async def test_an_order_to_say_something_word_for_word_is_followed(voice: Voice) -> None:
    async with calling(standin(voice, sound=AT_ONCE)) as caller:
        await caller.configure()
        orders = "Say exactly the following text, word for word:\n\nPlease hold the line."
        await caller.ask(instructions=orders, input=[], tool_choice="none")
        assert caller.text == "Please hold the line."
        assert caller.session.memory == [("assistant", "Please hold the line.")]


async def test_an_answer_beside_the_conversation_leaves_nothing_in_it() -> None:
    async with calling(standin(opens="Hm.")) as caller:
        await caller.configure(output_modalities=["text"])
        done = await caller.ask(conversation="none")
        assert done["conversation_id"] is None
        assert caller.session.memory == []


def test_sound_and_words_come_at_the_scripts_pace(voice: Voice) -> None:
    async def main() -> tuple[list[int], int, int]:
        delays = {"first_token_ms": 300, "token_ms": 20, "first_audio_ms": 200}
        server = standin(voice, opens="We are open from nine.", delays=delays, sound={"speed": 5})
        loop = asyncio.get_running_loop()
        async with calling(server) as caller:
            await caller.configure()
            start_s = loop.time()
            await caller.send("response.create")
            await caller.until("response.output_audio_transcript.delta")
            words_ms = round((loop.time() - start_s) * 1000)
            await caller.until("response.output_audio.delta")
            sound_ms = round((loop.time() - start_s) * 1000)
            await caller.until("response.done")
            took_ms = round((loop.time() - start_s) * 1000)
            return [words_ms, sound_ms], took_ms, len(caller.sound) // 8

    firsts, took_ms, length_ms = virtual.run(main())
    assert firsts == [300, 500]
    assert 500 < took_ms < 500 + length_ms / 5 + 1


def test_a_cancelled_answer_is_closed_and_remembered_as_far_as_it_was_sent(voice: Voice) -> None:
    async def main() -> None:
        server = standin(voice, opens=HOURS["says"], sound={"speed": 1, "chunk_bytes": 800})
        async with calling(server) as caller:
            await caller.configure()
            await caller.send("response.create")
            for _ in range(5):
                await caller.until("response.output_audio.delta")
            await caller.send("response.cancel")
            done = (await caller.until("response.done"))["response"]
            assert done["status"] == "cancelled"
            assert done["status_details"] == {"type": "cancelled", "reason": "client_cancelled"}
            assert done["output"][0]["status"] == "incomplete"
            assert len(caller.of("response.output_audio.done")) == 1
            [item] = caller.session.conversation.items
            assert item.audio_ms == len(caller.sound) // 8 == 500
            assert caller.session.memory == [("assistant", "We are open")]
            await asyncio.sleep(5)
            await caller.send("conversation.item.truncate", **cut(item.id, 300))
            await caller.until("conversation.item.truncated")
            assert len(caller.of("response.output_audio.delta")) == 5

    virtual.run(main())


def cut(item_id: str, end_ms: int) -> dict[str, Any]:
    return {"item_id": item_id, "content_index": 0, "audio_end_ms": end_ms}


async def test_after_a_truncation_the_model_knows_what_was_heard_and_no_more(voice: Voice) -> None:
    server = standin(voice, opens=HOURS["says"], sound=AT_ONCE)
    async with calling(server) as caller:
        await caller.configure()
        await caller.ask()
        [item] = caller.session.conversation.items
        assert item.made is not None
        third = item.made.words[3].start_ms
        await caller.send("conversation.item.truncate", **cut(item.id, third))
        await caller.until("conversation.item.truncated")
        assert caller.session.memory == [("assistant", "We are open")]
        await caller.send("conversation.item.retrieve", item_id=item.id)
        kept = (await caller.until("conversation.item.retrieved"))["item"]
        assert kept["content"] == [{"type": "output_audio"}]
        await caller.send("conversation.item.truncate", **cut(item.id, 0))
        await caller.until("conversation.item.truncated")
        assert caller.session.memory == []


async def test_items_are_put_where_they_belong_and_can_be_deleted() -> None:
    def said(text: str, item_id: str) -> dict[str, Any]:
        content = [{"type": "input_text", "text": text}]
        return {"id": item_id, "type": "message", "role": "user", "content": content}

    async with calling(standin()) as caller:
        for text, item_id, after in (("b", "i_b", None), ("c", "i_c", "i_b"), ("a", "i_a", "root")):
            place = {} if after is None else {"previous_item_id": after}
            await caller.send("conversation.item.create", item=said(text, item_id), **place)
            await caller.until("conversation.item.done")
        assert [text for _, text in caller.session.memory] == ["a", "b", "c"]
        await caller.send("conversation.item.delete", item_id="i_b")
        await caller.until("conversation.item.deleted")
        assert [text for _, text in caller.session.memory] == ["a", "c"]
        assert caller.of("conversation.item.added")[1]["previous_item_id"] == "i_b"


async def test_history_given_as_text_is_remembered() -> None:
    content = [{"type": "output_text", "text": "Hello, Acme."}]
    item = {"type": "message", "role": "assistant", "content": content}
    async with calling(standin()) as caller:
        await caller.send("conversation.item.create", item=item)
        await caller.until("conversation.item.done")
        assert caller.session.memory == [("assistant", "Hello, Acme.")]


async def test_a_tight_token_limit_cuts_the_answer(voice: Voice) -> None:
    async with calling(standin(voice, opens=HOURS["says"], sound=AT_ONCE)) as caller:
        await caller.configure()
        done = await caller.ask(max_output_tokens=12)
        assert done["status"] == "incomplete"
        assert done["status_details"]["reason"] == "max_output_tokens"
        assert len(caller.sound) < 8000


# Turn detection --------------------------------------------------------------------------------


async def spoken(voice: Voice, text: str) -> bytes:
    return encode_pcmu((await voice.say(text, "alloy", 150)).pcm)


async def turn(caller: Caller, sound: bytes) -> None:
    """A turn on the line: a moment of silence, words, and more silence."""
    await caller.hear(pcmu_silence(800) + sound + pcmu_silence(1200))


@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
async def test_turns_are_detected_and_answered(voice: Voice, kind: str) -> None:
    server = standin(voice, phrases=["where are you"], sound=AT_ONCE)
    sound = await spoken(voice, "Where are you?")
    async with calling(server) as caller:
        await caller.configure(input={"turn_detection": {"type": kind}})
        await turn(caller, sound)
        done = (await caller.until("response.done"))["response"]
        [began] = caller.of("input_audio_buffer.speech_started")
        [ended] = caller.of("input_audio_buffer.speech_stopped")
        [taken] = caller.of("input_audio_buffer.committed")
        assert began["item_id"] == ended["item_id"] == taken["item_id"]
        assert 300 < began["audio_start_ms"] <= 800
        assert 800 + len(sound) // 8 - 300 < ended["audio_end_ms"] < 2000 + len(sound) // 8
        assert done["status"] == "completed"
        assert caller.text == "You said: where are you."


async def test_turns_may_be_detected_and_left_to_the_client(voice: Voice) -> None:
    server = standin(voice, heard=["where are you"])
    async with calling(server) as caller:
        turns = {"type": "server_vad", "create_response": False, "interrupt_response": False}
        await caller.configure(input={"turn_detection": turns})
        await turn(caller, await spoken(voice, "Where are you?"))
        await caller.until("conversation.item.done")
        await soon()
        await caller.send("input_audio_buffer.clear")
        await caller.until("input_audio_buffer.cleared")
        assert caller.of("response.created") == []


@pytest.mark.parametrize("interrupts", [True, False])
def test_who_speaks_interrupts_the_answer_where_that_is_set(voice: Voice, interrupts: bool) -> None:
    async def main() -> dict[str, Any]:
        server = standin(voice, opens=HOURS["says"], sound={"speed": 1}, heard=["stop"])
        sound = await spoken(voice, "Where are you?")
        async with calling(server) as caller:
            turns = {"type": "server_vad", "interrupt_response": interrupts}
            await caller.configure(input={"turn_detection": turns})
            await caller.send("response.create")
            await caller.until("response.output_audio.delta")
            await turn(caller, sound)
            done: dict[str, Any] = (await caller.until("response.done"))["response"]
            return done

    done = virtual.run(main())
    if interrupts:
        assert done["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    else:
        assert done["status"] == "completed"


# Transcription sessions ------------------------------------------------------------------------


async def test_a_transcription_session_writes_down_and_never_answers() -> None:
    server = standin(heard=["a b"])
    async with calling(server, {"intent": "transcription"}) as caller:
        heard = {"format": PCMU, **WRITTEN}
        session = {"type": "transcription", "audio": {"input": heard}}
        await caller.send("session.update", session=session)
        told = (await caller.until("session.updated"))["session"]
        assert told["type"] == "transcription"
        await caller.say(SECOND)
        kind = "conversation.item.input_audio_transcription.completed"
        assert (await caller.until(kind))["transcript"] == "a b"
        await caller.send("response.create")
        assert (await caller.refused())[0] == "invalid_value"


async def test_a_transcription_session_detects_turns(voice: Voice) -> None:
    server = standin(voice, phrases=["where are you"])
    async with calling(server, {"intent": "transcription"}) as caller:
        heard = {"format": PCMU, **WRITTEN, "turn_detection": {"type": "server_vad"}}
        session = {"type": "transcription", "audio": {"input": heard}}
        await caller.send("session.update", session=session)
        await turn(caller, await spoken(voice, "Where are you?"))
        kind = "conversation.item.input_audio_transcription.completed"
        assert (await caller.until(kind))["transcript"] == "where are you"
        assert caller.of("response.created") == []
