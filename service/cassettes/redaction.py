"""What is taken out of a cassette before it is shown: who called whom, ids, secrets, and the sound.

Everything is replaced by stand-ins, wherever it stands and however it is written there: in URLs,
in XML, in JSON, in base64. Pure. It cannot know what people say of themselves: their words stay
with their voices, unless the sound is replaced.
"""

import base64
import binascii
from typing import Any

from msgspec.structs import replace

from service.cassettes.cassette import Happening, Header, JsonObject, Line
from service.cassettes.sound import Keep, Track, media_format, track
from service.cassettes.standins import StandIns, words
from service.cassettes.texts import Texts
from service.core.audio import PCMU_8K, MediaFormat

_AS_THEY_ARE = frozenset(
    {"payload", "timestamp", "chunk", "sequenceNumber", "sequence_number", "audio"}
    | {"event", "event_type", "record_type", "track", "encoding", "Direction", "CallStatus"}
)
"""Keys whose values say nothing of anybody, and there are fifty of them a second."""

_PERSONAL = frozenset(
    {"metadata", "variables", "customParameters", "custom_parameters", "custom_headers"}
)
"""Keys under which everything was put by our user, about somebody."""

_NAMES = frozenset(
    {"CallerName", "caller_id_name", "caller_name", "from_display_name", "StirPassportToken"}
    | {f"{who}{what}" for who in ("From", "To", "Caller", "Called") for what in ("City", "Zip")}
)
_NUMBERS = frozenset(
    {"From", "To", "Caller", "Called", "ForwardedFrom", "CalledVia", "from", "to", "sip_user"}
)
_SECRETS = ("token", "secret", "password", "signature", "authorization", "api_key")
_ACCOUNTS = frozenset({"connection_id", "call_control_app_id"})
_SAID = frozenset({"text", "heard_text", "arguments", "result"})


class Redactor:
    """Redacts one cassette, line by line in order."""

    def __init__(self, keep: Keep = "keep", *, names: bool = True) -> None:
        """`names` False: only the sound, and the words with it, are replaced."""
        self._keep = keep
        self._names = names
        self._stand_ins = StandIns()
        self._texts = Texts(self._stand_ins)
        self._tracks: dict[str, Track | None] = {}
        self._format: MediaFormat = PCMU_8K

    def header(self, header: Header) -> Header:
        """The header, which is asked for first: what it says of people is known from then on."""
        if not self._names:
            return header
        order = None if header.order is None else self._object(header.order)
        title = self._texts.redact(header.title)
        return replace(header, order=order, title=title, redacted=True)

    def line(self, line: Line) -> Line:
        """The line as it may be shown."""
        line = self._without_sound(line)
        if not self._names:
            return line
        if line.binary is not None:  # neither carrier sends such messages: it may be anything
            size = len(base64.b64decode(line.binary))
            return replace(line, binary=base64.b64encode(bytes(size)).decode())
        changed: JsonObject = {}
        if line.message is not None:
            changed["message"] = self._object(line.message)
        elif line.text is not None:
            changed["text"] = self._texts.redact(line.text)
        elif line.event is not None:
            changed["event"] = Happening(line.event.type, self._object(line.event.data))
        else:
            changed = self._exchange(line)
        return replace(line, **changed)

    def _exchange(self, line: Line) -> JsonObject:
        if (request := line.request) is not None:
            fields: JsonObject = {
                "headers": self._object(request.headers),
                "form": None if request.form is None else self._object(request.form),
                "json": None if request.json is None else self._object(request.json),
            }
            # What is told by name is learned in the body before it is looked for in the path.
            fields["path"] = self._texts.redact(request.path)
            return {"request": replace(request, **fields)}
        if line.response is not None:
            return {
                "response": replace(line.response, body=self._value("body", line.response.body))
            }
        if line.open is not None:
            return {"open": replace(line.open, path=self._texts.redact(line.open.path))}
        return {}

    # Values by their names ----------------------------------------------------------------------

    def _object(self, found: JsonObject) -> JsonObject:
        for name, value in found.items():
            if name in _PERSONAL:
                self._learn_all(value)
            elif isinstance(value, str) and value:
                self._learn(name, value)
        return {name: self._value(name, value) for name, value in found.items()}

    def _value(self, name: str, value: Any) -> Any:
        match value:
            case str():
                if name in _AS_THEY_ARE:
                    return value
                if name in _ACCOUNTS and value.isdigit():
                    return self._stand_ins.account(value)
                return self._texts.redact(value)
            case dict():
                return self._object(value)
            case list():
                return [self._value(name, each) for each in value]
            case _:
                return value

    def _learn(self, name: str, value: str) -> None:
        named = name in _NAMES or any(secret in name.lower() for secret in _SECRETS)
        if named or (name in _NUMBERS and not self._texts.is_telling(value)):
            self._texts.learn(value)

    def _learn_all(self, value: Any) -> None:
        if isinstance(value, str) and value:
            self._texts.learn(value)
        elif isinstance(value, dict | list):
            for each in value.values() if isinstance(value, dict) else value:
                self._learn_all(each)

    # Sound -------------------------------------------------------------------------------------

    def _without_sound(self, line: Line) -> Line:
        if self._keep == "keep":
            return line
        if line.message is not None:
            return self._without_media(line, line.message)
        if line.event is not None and line.lane in ("engine", "store"):
            return replace(line, event=self._without_words(line.event))
        return line

    def _without_media(self, line: Line, message: JsonObject) -> Line:
        if line.from_ == "carrier" and isinstance(message.get("start"), dict):
            self._begin(message["start"])
        media = message.get("media")
        if not isinstance(media, dict) or not isinstance(media.get("payload"), str):
            return line
        payload = self._replaced(line.from_, self._format, media["payload"])
        return replace(line, message=message | {"media": media | {"payload": payload}})

    def _begin(self, start: JsonObject) -> None:
        told = start.get("mediaFormat", start.get("media_format"))
        if isinstance(told, dict):
            rate_hz = told.get("sampleRate", told.get("sample_rate"))
            self._format = media_format(
                str(told.get("encoding")), rate_hz if isinstance(rate_hz, int) else 8000
            )
        self._tracks = {}

    def _without_words(self, event: Happening) -> Happening:
        data = _in_stand_in_words(event.data)
        if isinstance(data.get("audio"), str):
            data["audio"] = self._replaced("engine", PCMU_8K, data["audio"])
        return Happening(event.type, data)

    def _replaced(self, who: str, form: MediaFormat, payload: str) -> str:
        if who not in self._tracks:
            self._tracks[who] = track(self._keep, form)
        instead = self._tracks[who]
        try:
            sound = base64.b64decode(payload, validate=True)
        except binascii.Error:
            return ""  # no sound that anybody could have heard
        return base64.b64encode(instead.replace(sound) if instead else sound).decode()


def _in_stand_in_words(data: JsonObject) -> JsonObject:
    return {name: _said(value) if name in _SAID else _deeper(value) for name, value in data.items()}


def _deeper(value: Any) -> Any:
    if isinstance(value, dict):
        return _in_stand_in_words(value)
    return [_deeper(each) for each in value] if isinstance(value, list) else value


def _said(value: Any) -> Any:
    match value:
        case str():
            return words(value)
        case dict():
            return {name: _said(each) for name, each in value.items()}
        case list():
            return [_said(each) for each in value]
        case _:
            return value
