"""The REST API's bodies: what is accepted, and what is answered. The OpenAPI document is made
from these, so it cannot say anything else. Follows the interface, section 5.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from service.agents import Overrides
from service.core.calls import CallState, Direction, EndedBy, Outcome

Number = Annotated[
    str,
    StringConstraints(pattern=r"^\+[1-9][0-9]{6,14}$"),
    Field(description="A telephone number as E.164: a plus and 7 to 15 digits"),
]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Value = Annotated[str, StringConstraints(max_length=1000)]
OVERRIDES_BYTES = 32 * 1024
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"})]


class Request(BaseModel):
    """What is sent to us: unknown names are faults."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


def _bounded(overrides: Overrides) -> Overrides:
    if len(overrides.model_dump_json(exclude_unset=True).encode()) > OVERRIDES_BYTES:
        raise ValueError(f"at most {OVERRIDES_BYTES // 1024} KiB")
    return overrides


class PlaceCall(Request):
    """A call to be placed."""

    provider: Name
    to: Number
    from_: Annotated[Number, Field(alias="from")]
    agent: Annotated[Name | None, Field(description="The default agent when not given")] = None
    variables: Annotated[
        dict[Key, Value], Field(max_length=50, description="Given to the agent")
    ] = {}
    metadata: Annotated[
        dict[Key, Value], Field(max_length=50, description="Kept with the call, for you")
    ] = {}
    overrides: Annotated[
        Overrides,
        AfterValidator(_bounded),
        Field(
            default_factory=Overrides,
            description="What this call has otherwise than the agent's file says, at most 32 KiB",
        ),
    ]
    ring_timeout_s: Annotated[int, Field(ge=5, le=600)] = 30
    max_duration_s: Annotated[
        int | None, Field(ge=1, le=86_400, description="The agent's limit when not given")
    ] = None
    record: bool = False
    record_cassette: Annotated[
        bool, Field(description="Write all that happens on the call into a file of its own")
    ] = False


class Say(Request):
    """Words for the agent to say now."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]


class PressKeys(Request):
    """Keys to press to the line; w waits half a second."""

    digits: Annotated[str, StringConstraints(pattern=r"^[0-9A-D*#w]{1,64}$")]


class TransferTo(Request):
    """Who is to have the call from now on."""

    to: Number


class Instruct(Request):
    """What the agent is to know or do from now on; nobody on the line hears it."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]


class Query(BaseModel):
    """What is asked for in a URL: unknown names are faults here too."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class ListCalls(Query):
    """Which calls."""

    state: CallState | None = None
    provider: Name | None = None
    limit: Annotated[int, Field(ge=1, le=100)] = 20
    cursor: Annotated[
        str | None,
        Field(pattern=r"^[0-9A-Za-z_]{1,64}$", description="`next_cursor` of the page before"),
    ] = None


EventId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(-[0-9]{1,15})?$")]


class ListEvents(Query):
    """Which events."""

    after: Annotated[
        EventId | None,
        Field(description="Only later than this id; `Last-Event-ID` goes before it"),
    ] = None
    cursor: Annotated[
        EventId | None,
        Field(description="`next_cursor` of the page before; instead of `after`"),
    ] = None
    limit: Annotated[int, Field(ge=1, le=1000, description="Of a page")] = 1000

    @model_validator(mode="after")
    def _one_beginning(self) -> "ListEvents":
        if self.after is not None and self.cursor is not None:
            raise ValueError("after or cursor, not both")
        return self


class FollowEvents(Query):
    """Which events, where they are followed: pages are for those who do not."""

    after: EventId | None = None


class End(BaseModel):
    """How a call ended."""

    outcome: Outcome
    cause: str
    ended_by: EndedBy
    duration_ms: Annotated[int, Field(ge=0, description="From the answer; 0 without one")]


class Call(BaseModel):
    """One phone call."""

    model_config = ConfigDict(extra="forbid")

    call_id: str
    provider: str
    provider_call_id: str | None
    direction: Direction
    state: CallState
    to: str
    from_: Annotated[str, Field(alias="from")]
    agent: str
    metadata: dict[str, str]
    created_at: Moment
    answered_at: Moment | None
    ended_at: Moment | None
    end: End | None


class Calls(BaseModel):
    """Some calls, newest first."""

    calls: list[Call]
    next_cursor: str | None


class Event(BaseModel):
    """One entry of a call's record."""

    id: str
    type: str
    call_id: str
    at: Moment
    data: dict[str, Any]


class Events(BaseModel):
    """Some events, in the order applied."""

    events: list[Event]
    next_cursor: Annotated[str | None, Field(description="null: there are no more so far")]


class Turn(BaseModel):
    """What one side said."""

    turn_id: str
    who: Literal["agent", "caller"]
    text: str
    heard_text: Annotated[
        str | None,
        Field(description="What the caller heard of it; null for what the caller said"),
    ]
    started_at: Moment
    ended_at: Moment
    interrupted: bool
    latency: Annotated[dict[str, int], Field(description="Milliseconds, by step")]


class Transcript(BaseModel):
    """The conversation."""

    turns: list[Turn]


class Agent(BaseModel):
    """Who can answer the phone."""

    name: str
    engine: str
    fallback: Annotated[list[str], Field(description="Engines that go on when that one cannot")]
    numbers: list[str]
    tools: Annotated[list[str], Field(description="Those of its file; MCP servers have more")]


class Agents(BaseModel):
    """The agents."""

    agents: list[Agent]


class Fault(BaseModel):
    """Something in the request that cannot be accepted."""

    pointer: Annotated[str, Field(description="JSON pointer (RFC 6901) into the body")]
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    code: Annotated[str, Field(description="Stable; match on this")]
    detail: str | None = None
    errors: list[Fault] | None = None
    call_id: str | None = None
