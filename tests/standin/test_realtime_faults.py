"""What goes wrong on purpose, at the door and in a session."""

import asyncio
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus

from service.replay import virtual
from service.standin import Voice, connect
from tests.standin.client import Place, standin
from tests.standin.realtime import Caller, calling

MODEL = {"model": "gpt-realtime"}


def faulty(at: str, does: str, **more: Any) -> dict[str, Any]:
    return {"faults": [{"at": at, "does": does, **more}]}


async def opened(server: Any, query: dict[str, str], key: str = "sk-standin") -> Any:
    """Open a session and receive until it ends: what ended it."""
    told: list[Any] = []
    async with connect(server.app)(Place(key=key), query) as connection:
        try:
            while True:
                told.append(await connection.recv())
        except (ConnectionClosedOK, ConnectionClosedError) as closed:
            return told, closed


async def test_a_wrong_key_is_refused_at_the_upgrade_with_openais_body() -> None:
    server = standin()
    for key in ("sk-other", ""):
        with pytest.raises(InvalidStatus) as refused:
            await opened(server, MODEL, key)
        assert refused.value.response.status_code == 401
        assert b'"invalid_request_error"' in (refused.value.response.body or b"")
    assert [request.end for request in server.requests] == ["refused", "refused"]
    assert server.sessions == []


@pytest.mark.parametrize(
    ("query", "code"),
    [({"model": "gpt-9"}, "model_not_found"), ({"q": "x"}, "missing_model")],
)
async def test_without_a_model_that_exists_there_is_an_error_and_a_close(
    query: dict[str, str], code: str
) -> None:
    server = standin()
    [error], closed = await opened(server, query)
    assert error.error.code == code
    assert closed.rcvd.code == 4000
    assert closed.rcvd.reason == f"invalid_request_error.{code}"
    assert server.refused[0].code == code


@pytest.mark.parametrize(
    ("status", "html"), [(401, False), (429, False), (503, False), (502, True)]
)
async def test_the_door_may_be_shut(status: int, html: bool) -> None:
    does = "html" if html else "status"
    server = standin(**faulty("opening", does, status=status, retry_after_s=3))
    with pytest.raises(InvalidStatus) as refused:
        await opened(server, MODEL)
    response = refused.value.response
    assert response.status_code == status
    assert ("Retry-After" in response.headers) is not html
    assert ((response.body or b"")[:1] == b"<") is html
    async with calling(server) as caller:
        await caller.configure()


def test_the_door_may_never_open() -> None:
    async def main() -> float:
        server = standin(**faulty("opening", "stall"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await opened(server, MODEL)
        return asyncio.get_running_loop().time()

    assert virtual.run(main()) == pytest.approx(5)


async def test_a_socket_is_cut_after_so_many_events() -> None:
    server = standin(**faulty("session", "cut", after=3))
    async with connect(server.app)(Place(), MODEL) as connection:
        await connection.response.create(response={"output_modalities": ["text"]})
        kinds = [(await connection.recv()).type for _ in range(3)]
        with pytest.raises(ConnectionClosedError) as closed:
            await connection.recv()
    assert kinds == ["session.created", "response.created", "rate_limits.updated"]
    assert closed.value.rcvd is None
    assert server.requests[0].end == "cut"


async def test_a_socket_is_closed_with_a_code_and_a_reason() -> None:
    fault = faulty("session", "close", after=1, code=1013, reason="try again later")
    _, closed = await opened(standin(**fault), MODEL)
    assert (closed.rcvd.code, closed.rcvd.reason) == (1013, "try again later")


def test_a_session_ends_when_it_is_too_old_as_if_all_were_well() -> None:
    async def main() -> tuple[Any, Any, float]:
        told, closed = await opened(standin(session_s=1800), MODEL)
        return told, closed, asyncio.get_running_loop().time()

    told, closed, seconds = virtual.run(main())
    assert told[-1].error.code == "session_expired"
    assert isinstance(closed, ConnectionClosedOK)
    assert closed.rcvd is not None
    assert closed.rcvd.code == 1001
    assert closed.rcvd.reason == "Your session hit the maximum duration of 30 minutes."
    assert seconds == pytest.approx(1800)


async def test_a_session_may_be_told_to_be_too_old() -> None:
    told, closed = await opened(standin(**faulty("session", "expire", after=1)), MODEL)
    assert told[-1].error.code == "session_expired"
    assert closed.rcvd.code == 1001


async def test_a_socket_says_what_is_no_json_and_what_nobody_knows() -> None:
    for does in ("malformed", "unknown"):
        server = standin(**faulty("session", does, after=1))
        async with connect(server.app)(Place(), MODEL) as connection:
            await connection.recv()
            text = await connection.recv_bytes()
            assert (b"surprise" in text) == (does == "unknown")
            await connection.session.update(session={"type": "realtime"})
            assert (await connection.recv()).type == "session.updated"


def test_a_socket_falls_silent() -> None:
    async def main() -> None:
        server = standin(**faulty("session", "stall", after=1))
        async with connect(server.app)(Place(), MODEL) as connection:
            await connection.recv()
            await connection.session.update(session={"type": "realtime"})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(30):
                    await connection.recv()

    virtual.run(main())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", "requests"),
        ("insufficient_quota", "insufficient_quota"),
        ("", "server_error"),
    ],
)
async def test_an_answer_fails(code: str, kind: str) -> None:
    server = standin(opens="a b c", **faulty("response", "failed", reason=code))
    async with calling(server) as caller:
        done = await caller.ask(output_modalities=["text"])
        assert done["status"] == "failed"
        assert done["status_details"]["error"]["code"] == (code or "server_error")
        assert done["status_details"]["error"]["type"] == kind
        assert (await caller.ask(output_modalities=["text"]))["status"] == "completed"


async def test_an_answer_fails_half_way_and_what_was_said_is_closed() -> None:
    server = standin(opens="a b c", **faulty("response", "failed", after=2))
    async with calling(server) as caller:
        done = await caller.ask(output_modalities=["text"])
        assert done["output"][0]["content"][0]["text"] == "a b"
        assert done["output"][0]["status"] == "incomplete"


def test_an_answer_stalls_before_and_between_its_pieces() -> None:
    async def main(after: int) -> int:
        server = standin(opens="a b c", **faulty("response", "stall", after=after))
        async with calling(server) as caller:
            await caller.send("response.create", response={"output_modalities": ["text"]})
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(10):
                    await caller.until("response.done")
            count = len(caller.of("response.output_text.delta"))
            await caller.send("response.cancel")
            await caller.until("response.done")
            return count

    assert [virtual.run(main(after)) for after in (0, 2)] == [0, 2]


async def test_sound_may_have_half_a_sample_too_much(voice: Voice) -> None:
    async with calling(
        standin(voice, sound={"speed": 0}, **faulty("response", "odd", after=0))
    ) as caller:
        await caller.ask()
        assert len(caller.sound) % 2 == 1


async def test_an_answer_may_be_empty() -> None:
    async with calling(standin(**faulty("response", "empty"))) as caller:
        done = await caller.ask()
        assert (done["status"], done["output"]) == ("completed", [])


async def written(caller: Caller) -> dict[str, Any]:
    heard = {"transcription": {"model": "gpt-4o-transcribe"}, "turn_detection": None}
    await caller.configure(input=heard)
    await caller.say()
    await caller.say()
    kind = "conversation.item.input_audio_transcription"
    while not caller.of(f"{kind}.completed"):
        await caller.next()
    return {k: caller.of(f"{kind}.{k}") for k in ("failed", "completed")}


async def test_an_utterance_cannot_be_written_down_and_the_next_can() -> None:
    server = standin(heard=["a", "b"], **faulty("recognition", "failed"))
    async with calling(server) as caller:
        made = await written(caller)
        assert made["failed"][0]["error"]["code"] == "audio_unintelligible"
        assert [event["transcript"] for event in made["completed"]] == ["b"]


async def test_a_transcript_never_comes_or_is_empty() -> None:
    for does, texts in (("stall", ["b"]), ("empty", ["", "b"])):
        server = standin(heard=["a", "b"], **faulty("recognition", does))
        async with calling(server) as caller:
            made = (await written(caller))["completed"]
            assert [event["transcript"] for event in made] == texts[: len(made)]
