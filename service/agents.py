"""The agents: YAML files that say who answers the phone and how."""

from pydantic import BaseModel, ConfigDict


class Agent(BaseModel):
    """One agent, as its file says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    engine: str
    numbers: tuple[str, ...] = ()
    greeting: str = ""
    interruptible: bool = True
    instructions: str = ""
