"""What breaks the Realtime API's rules is an error event, and the session goes on."""

import base64
import json
from typing import Any

import pytest

from service.replay import virtual
from service.standin import Voice
from tests.standin.client import standin
from tests.standin.realtime import PCMU, SECOND, Caller, calling, pcmu_silence

AT_ONCE = {"speed": 0}


def of_session(**session: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **session}}


def of_input(**heard: Any) -> dict[str, Any]:
    return of_session(audio={"input": heard})


def of_output(**spoken: Any) -> dict[str, Any]:
    return of_session(audio={"output": spoken})


def of_item(**item: Any) -> dict[str, Any]:
    return {"type": "conversation.item.create", "item": item}


def of_response(**response: Any) -> dict[str, Any]:
    return {"type": "response.create", "response": response}


def message(role: str, **part: Any) -> dict[str, Any]:
    return {"type": "message", "role": role, "content": [part]}


INPUT = "session.audio.input"
OUTPUT = "session.audio.output"


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({}, "missing_required_parameter", "type"),
        ({"type": "session.destroy"}, "invalid_value", "type"),
        ({"type": "transcription_session.update", "session": {}}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        (
            {"type": "session.update", "session": {}},
            "missing_required_parameter",
            "session.type",
        ),
        (of_session(temperature=0.8), "unknown_parameter", "session.temperature"),
        (of_session(voice="marin"), "unknown_parameter", "session.voice"),
        (
            of_session(input_audio_format="g711_ulaw"),
            "unknown_parameter",
            "session.input_audio_format",
        ),
        (of_session(instructions=5), "invalid_type", "session.instructions"),
        (
            of_session(output_modalities=["text", "audio"]),
            "invalid_value",
            "session.output_modalities",
        ),
        (of_session(max_output_tokens=0), "invalid_value", "session.max_output_tokens"),
        (of_session(model="gpt-realtime-mini"), "cannot_update_model", "session.model"),
        (
            of_session(tools=[{"type": "function"}]),
            "missing_required_parameter",
            "session.tools[0].name",
        ),
        (
            of_session(tools=[{"type": "function", "name": "x", "strict": True}]),
            "unknown_parameter",
            "session.tools[0].strict",
        ),
        (
            of_session(tools=[{"type": "function", "name": "crm.find"}]),
            "invalid_value",
            "session.tools[0].name",
        ),
        (
            of_session(tools=[{"type": "function", "name": "x", "parameters": {}}]),
            "invalid_function_parameters",
            "session.tools[0].parameters",
        ),
        (
            of_session(tools=[{"type": "mcp", "server_label": "crm"}]),
            "missing_required_parameter",
            "session.tools[0].server_url",
        ),
        (
            of_input(format={"type": "audio/pcm"}),
            "missing_required_parameter",
            f"{INPUT}.format.rate",
        ),
        (of_input(format={"type": "g711_ulaw"}), "invalid_value", f"{INPUT}.format.type"),
        (
            of_input(format={"type": "audio/pcm", "rate": 8000}),
            "invalid_value",
            f"{INPUT}.format.rate",
        ),
        (
            of_input(turn_detection={"type": "server_vad", "threshold": 2}),
            "invalid_value",
            f"{INPUT}.turn_detection.threshold",
        ),
        (
            of_input(turn_detection={"type": "semantic_vad", "threshold": 0.5}),
            "unknown_parameter",
            f"{INPUT}.turn_detection.threshold",
        ),
        (
            of_input(turn_detection={"type": "server_vad", "idle_timeout_ms": 6000}),
            "unsupported_value",
            f"{INPUT}.turn_detection.idle_timeout_ms",
        ),
        (of_input(transcription={"model": "whisper-9"}), "model_not_found", None),
        (of_output(voice="nobody"), "invalid_value", f"{OUTPUT}.voice"),
        (of_output(speed=2), "invalid_value", f"{OUTPUT}.speed"),
        ({"type": "input_audio_buffer.append"}, "missing_required_parameter", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "%%%"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
        ({"type": "response.cancel"}, "response_cancel_not_active", None),
        ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
        (of_item(type="message", role="user"), "missing_required_parameter", "item.content"),
        (
            of_item(**message("user", type="input_text")),
            "missing_required_parameter",
            "item.content[0].text",
        ),
        (
            of_item(**message("assistant", type="text", text="x")),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            of_item(**message("assistant", type="output_audio", audio="AAAA")),
            "invalid_value",
            "item.content[0].type",
        ),
        (
            of_item(id="x" * 33, **message("user", type="input_text", text="x")),
            "string_above_max_length",
            "item.id",
        ),
        (
            of_item(type="function_call_output", call_id="call_x", output="x"),
            "invalid_tool_call_id",
            "item.call_id",
        ),
        (
            {"type": "conversation.item.delete", "item_id": "x"},
            "item_delete_invalid_item_id",
            "item_id",
        ),
        (
            {"type": "conversation.item.retrieve", "item_id": "x"},
            "item_retrieve_invalid_item_id",
            "item_id",
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "x",
                "content_index": 0,
                "audio_end_ms": 1,
            },
            "item_truncate_invalid_item_id",
            "item_id",
        ),
        (of_response(modalities=["audio"]), "unknown_parameter", "response.modalities"),
        (of_response(temperature=1), "unknown_parameter", "response.temperature"),
        (of_response(metadata={"k": "v" * 513}), "invalid_value", "response.metadata"),
        (of_response(max_output_tokens=5000), "invalid_value", "response.max_output_tokens"),
    ],
)
async def test_an_event_that_breaks_the_rules_is_refused_with_its_place(
    event: dict[str, Any], code: str, param: str | None
) -> None:
    server = standin(opens="Good day.")
    async with calling(server) as caller:
        await caller.connection.send_raw(json.dumps(event | {"event_id": "mine"}))
        error = (await caller.until("error"))["error"]
        assert (error["code"], error["param"]) == (code, param)
        assert error["event_id"] == "mine"
        assert error["type"] == "invalid_request_error"
        assert [(r.code, r.param) for r in server.refused] == [(code, param)]
        assert (await caller.ask(output_modalities=["text"]))["status"] == "completed"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "5", "[" * 100_000])
async def test_what_is_no_event_is_refused(text: str) -> None:
    async with calling(standin()) as caller:
        await caller.connection.send_raw(text)
        assert (await caller.refused())[0] in ("invalid_json", "invalid_type")


async def test_an_event_of_more_than_15_mib_is_refused() -> None:
    async with calling(standin()) as caller:
        audio = "A" * (15 * 1024 * 1024)
        await caller.send("input_audio_buffer.append", audio=audio)
        assert (await caller.refused())[0] == "event_too_large"


async def test_half_a_sample_is_refused_where_samples_have_two_bytes() -> None:
    odd = base64.b64encode(b"\x00" * 4801).decode()
    async with calling(standin()) as caller:
        await caller.send("input_audio_buffer.append", audio=odd)
        assert await caller.refused() == ("invalid_value", "audio")
        await caller.configure()
        await caller.send("input_audio_buffer.append", audio=odd)
        await caller.send("input_audio_buffer.commit")
        await caller.until("input_audio_buffer.committed")


async def test_less_than_a_tenth_of_a_second_is_no_utterance() -> None:
    async with calling(standin()) as caller:
        await caller.configure()
        await caller.hear(pcmu_silence(90))
        await caller.send("input_audio_buffer.commit")
        error = (await caller.until("error"))["error"]
        assert "buffer only has 90.00ms of audio" in error["message"]
        await caller.hear(pcmu_silence(20))
        await caller.send("input_audio_buffer.commit")
        await caller.until("input_audio_buffer.committed")
        await caller.send("input_audio_buffer.commit")
        assert (await caller.refused())[0] == "input_audio_buffer_commit_empty"


def test_one_answer_at_a_time() -> None:
    async def main() -> None:
        async with calling(standin(opens="a b c", delays={"token_ms": 1})) as caller:
            await caller.configure(output_modalities=["text"])
            await caller.send("response.create")
            await caller.send("response.create")
            assert (await caller.refused())[0] == "conversation_already_has_active_response"
            assert (await caller.until("response.done"))["response"]["status"] == "completed"
            await caller.send("response.cancel")
            assert (await caller.refused())[0] == "response_cancel_not_active"

    virtual.run(main())


def test_an_answer_is_cancelled_by_its_own_id_alone() -> None:
    async def main() -> None:
        async with calling(standin(opens="a b c", delays={"token_ms": 1})) as caller:
            await caller.configure(output_modalities=["text"])
            await caller.send("response.create")
            made = (await caller.until("response.created"))["response"]
            await caller.send("response.cancel", response_id="resp_other")
            assert (await caller.refused())[0] == "response_cancel_not_active"
            await caller.send("response.cancel", response_id=made["id"])
            assert (await caller.until("response.done"))["response"]["status"] == "cancelled"

    virtual.run(main())


async def test_the_voice_stays_once_it_has_been_heard(voice: Voice) -> None:
    async with calling(standin(voice, sound=AT_ONCE)) as caller:
        await caller.configure(output={"voice": "marin"})
        await caller.configure(output={"voice": "cedar"})
        await caller.ask()
        await caller.configure(output={"voice": "cedar", "speed": 1.1})
        await caller.send(**of_output_event("marin"))
        assert await caller.refused() == ("cannot_update_voice", f"{OUTPUT}.voice")


def of_output_event(voice: str) -> dict[str, Any]:
    event = of_output(voice=voice)
    return {"kind": event["type"], "session": event["session"]}


async def test_a_refused_update_changes_nothing() -> None:
    async with calling(standin()) as caller:
        await caller.configure(instructions="Old.")
        event = of_session(instructions="New.", max_output_tokens=0)
        await caller.send("session.update", session=event["session"])
        await caller.refused()
        assert caller.session.config.shown["instructions"] == "Old."


async def truncated(caller: Caller, item_id: str, end_ms: int, index: int = 0) -> Any:
    of = {"item_id": item_id, "content_index": index, "audio_end_ms": end_ms}
    await caller.send("conversation.item.truncate", **of)
    return (await caller.until("error"))["error"]


async def test_only_sound_of_the_assistants_that_is_there_can_be_truncated(voice: Voice) -> None:
    server = standin(voice, heard=["hello"], sound=AT_ONCE)
    async with calling(server) as caller:
        await caller.configure()
        user_item = await caller.say(SECOND)
        await caller.ask()
        item = caller.session.conversation.items[-1]
        length_ms = item.audio_ms
        error = await truncated(caller, item.id, length_ms + 1)
        expected = f"Audio content of {length_ms}ms is already shorter than {length_ms + 1}ms"
        assert (error["code"], error["message"]) == ("invalid_value", expected)
        assert (await truncated(caller, item.id, 0, 1))["param"] == "content_index"
        assert (await truncated(caller, item.id, -1))["param"] == "audio_end_ms"
        assert (await truncated(caller, user_item, 0))["param"] == "item_id"
        assert len(caller.session.memory) == 2


async def test_an_id_is_used_once_and_a_place_must_exist() -> None:
    item = {"id": "mine", **message("user", type="input_text", text="x")}
    async with calling(standin()) as caller:
        await caller.send("conversation.item.create", item=item)
        await caller.send("conversation.item.create", item=item)
        assert await caller.refused() == ("item_create_duplicate_item_id", "item.id")
        other = item | {"id": "other"}
        await caller.send("conversation.item.create", item=other, previous_item_id="gone")
        assert (await caller.refused())[0] == "item_create_invalid_item_id"
        assert len(caller.session.memory) == 1


async def test_noise_reduction_and_transcription_may_be_set_to_null() -> None:
    async with calling(standin()) as caller:
        heard = {"noise_reduction": {"type": "far_field"}, "format": PCMU}
        await caller.configure(input=heard)
        await caller.configure(input={"noise_reduction": None, "transcription": None})
        assert caller.session.config.shown["audio"]["input"]["noise_reduction"] is None


async def test_whisper_live_detects_no_turns() -> None:
    async with calling(standin()) as caller:
        written = {"model": "gpt-realtime-whisper"}
        turns = {"type": "server_vad"}
        event = of_input(transcription=written, turn_detection=turns)
        await caller.send("session.update", session=event["session"])
        assert await caller.refused() == ("invalid_value", f"{INPUT}.turn_detection")
