"""`callbridge twin`, against small bridges on real ports."""

import asyncio
import json
import socket
import wave
from pathlib import Path

import httpx
import pytest

from service.cli import carrier
from service.cli import twin as cli
from service.media.g711 import decode_pcmu
from tests.twin import telnyx_bridge, twilio_bridge
from tests.twin.serving import listen, serving
from tests.twin.sounds import tone

_FRAMES_BETWEEN_WORDS = 50


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in carrier.SETTINGS:
        monkeypatch.delenv(name, raising=False)


def _wav(path: Path, ms: int) -> str:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(decode_pcmu(tone(ms)))
    return str(path)


async def _speak_now_and_then(phone: twilio_bridge.Phone | telnyx_bridge.Phone) -> None:
    await phone.next("start")
    while True:
        await phone.play(tone(200))
        for _ in range(_FRAMES_BETWEEN_WORDS):
            await phone.next("media")


def _free_port() -> int:
    listener, _ = listen()
    port: int = listener.getsockname()[1]
    listener.close()
    return port


async def test_twilio_calls_a_bridge_and_prints_its_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listener, base = listen()
    bridge = twilio_bridge.TwilioBridge(_speak_now_and_then, base, prefix="/twilio")
    bridge.answers["/voice"] *= 2
    arguments = ["twilio", "--bridge", base, "--port", "0", "--calls", "2"]
    arguments += ["--token", twilio_bridge.TOKEN, "--say", _wav(tmp_path / "hello.wav", 100)]
    async with serving(bridge.app, listener):
        code = await asyncio.to_thread(cli.main, arguments)
    printed = capsys.readouterr()
    assert (code, bridge.bad_signatures) == (0, 0)
    assert printed.out.count("> POST /twilio/voice ringing") == 2
    assert printed.out.count("the media socket opens") == 2
    assert printed.out.count("the caller says") == 2
    assert printed.out.count("status completed, answered True") == 2
    assert "TWILIO_API_BASE=http://127.0.0.1:" in printed.err
    assert "+1415" not in printed.out
    assert twilio_bridge.TOKEN not in printed.out + printed.err


async def test_telnyx_calls_a_bridge_that_answers_through_its_rest_api(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listener, base = listen()
    bridge = telnyx_bridge.TelnyxBridge(_speak_now_and_then)
    stream_url = "ws" + base.removeprefix("http") + "/stream"
    bridge.command = ("answer", telnyx_bridge.STREAM | {"stream_url": stream_url})
    port = _free_port()
    arguments = ["telnyx", "--bridge", base, "--port", str(port), "--json"]
    arguments += ["--seed", telnyx_bridge.SEED.hex()]
    async with (
        httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers={"authorization": "Bearer twin"}
        ) as rest,
        serving(bridge.app, listener),
    ):
        bridge.rest = rest
        code = await asyncio.to_thread(cli.main, arguments)
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert (code, bridge.bad_signatures) == (0, 0)
    assert lines[0]["step"] == "> POST /telnyx/webhook call.initiated"
    assert lines[-1]["status"] == "normal_clearing"
    assert lines[-1]["heard_ms"] >= 200
    assert f"TELNYX_PUBLIC_KEY={telnyx_bridge.PUBLIC_KEY}" in printed.err


def test_a_bridge_that_is_not_there_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["twilio", "--bridge", f"http://127.0.0.1:{_free_port()}", "--port", "0"]) == 1
    assert "! 11200: no answer from /twilio/voice" in capsys.readouterr().out


def test_a_port_that_is_taken_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli.main(["twilio", "--port", str(taken.getsockname()[1])]) == 1
    assert "in use" in capsys.readouterr().err


def test_a_wav_that_is_not_there_is_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["twilio", "--say", "nowhere.wav"]) == 1
    assert "nowhere.wav" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["vonage"],
        ["twilio", "--calls", "-1"],
        ["telnyx", "--seed", "00"],
        ["twilio", "--x"],
        ["twilio", "--fault", "signature=old"],
        ["telnyx", "--fault", "colour=blue"],
        ["telnyx", "--habit", "redials"],
        ["twilio", "--rest-fault", "200"],
        ["twilio", "--delay-ms", "9-1"],
        ["twilio", "--number", "+14155550177=gone"],
    ],
)
def test_called_wrongly_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2


async def test_a_script_says_what_the_caller_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _wav(tmp_path / "hello.wav", 100)
    script = tmp_path / "caller.yaml"
    script.write_text("- wait_for_agent_start\n- play: hello.wav\n- press: 12\n- hang_up\n")
    listener, base = listen()
    bridge = twilio_bridge.TwilioBridge(_speak_now_and_then, base, prefix="/twilio")
    arguments = ["twilio", "--bridge", base, "--port", "0", "--script", str(script)]
    arguments += ["--token", twilio_bridge.TOKEN, "--copies", "2", "--fault", "noise=true"]
    async with serving(bridge.app, listener):
        assert await asyncio.to_thread(cli.main, arguments) == 0
    digits = [m["dtmf"]["digit"] for m in bridge.phones[0].received if m["event"] == "dtmf"]
    assert digits == ["1", "2"]
    assert len(bridge.told("/stream-status")) == 4
    assert "the caller says" in capsys.readouterr().out


def test_a_script_with_faults_is_exit_code_1_and_calls_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "caller.yaml"
    script.write_text("- sing\n- press: x\n")
    assert cli.main(["twilio", "--script", str(script)]) == 1
    told = capsys.readouterr().err
    assert "step 1: no step is called 'sing'" in told
    assert "step 2: keys are" in told
