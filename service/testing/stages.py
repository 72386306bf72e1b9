"""Services that stay from test to test, each with a virtual time of its own.

A service starts in about a second and takes a call in milliseconds, so tests that ask for the same
agents and settings share one. Time passes on it only while one of its calls is waited for.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
import yaml
from msgspec import Struct
from pydantic import ValidationError

from service.agents import AgentBook
from service.core.errors import ConfigError
from service.replay.recording import recording_agents
from service.replay.stage import Stage, only_errors_logged, open_stage, standing_in
from service.replay.virtual import VirtualLoop
from service.standin import Script, load

OPEN_MOST = 3
"""Each has worker processes; the one that was not used for longest is closed."""

T = TypeVar("T")


class Order(Struct, frozen=True):
    """What a service is made of."""

    agents: Path
    settings: tuple[tuple[str, str], ...] = ()
    recorded: bool = False  # every call
    standin: Path | None = None  # the script of the stand-in for OpenAI


class OpenStage:
    """A service and both carriers' twins, started.

    `cassettes`: where it keeps those of its calls, when all are recorded.
    """

    def __init__(self, order: Order) -> None:
        self.cassettes: Path | None = None
        self._runner = asyncio.Runner(loop_factory=VirtualLoop)
        self._closing = asyncio.Event()
        try:
            self.stage = self.run(self._open(order))
        except BaseException:
            self._runner.close()
            raise

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time pass until this is done."""
        with only_errors_logged():
            return self._runner.run(work)

    def close(self) -> None:
        """Stop the service."""
        self.run(self._stop())
        with only_errors_logged():
            self._runner.close()

    async def _open(self, order: Order) -> Stage:
        ready: asyncio.Future[Stage] = asyncio.get_running_loop().create_future()
        self._holding = asyncio.create_task(self._hold(order, ready))
        await asyncio.wait((ready, self._holding), return_when=asyncio.FIRST_COMPLETED)
        if self._holding.done():
            self._holding.result()
        return ready.result()

    async def _hold(self, order: Order, ready: "asyncio.Future[Stage]") -> None:
        async with AsyncExitStack() as stack:
            openai = None
            if order.standin is not None:
                script = script_of(order.standin)
                _, openai = await stack.enter_async_context(standing_in(script))
            agents, settings = stack.enter_context(self._recording(order))
            service = open_stage(agents=agents, settings=settings, openai=openai)
            ready.set_result(await stack.enter_async_context(service))
            await self._closing.wait()

    @contextmanager
    def _recording(self, order: Order) -> Iterator[tuple[Path, dict[str, str]]]:
        """Agents and settings; of one that records, in a folder that goes when it closes."""
        if not order.recorded:
            yield order.agents, dict(order.settings)
            return
        AgentBook(order.agents).load()  # faults are told by the names of these files
        with TemporaryDirectory(prefix="callbridge-") as name:
            self.cassettes = Path(name) / "cassettes"
            agents = recording_agents(order.agents, Path(name) / "agents")
            whole = {
                "CALLBRIDGE_CASSETTES": str(self.cassettes),
                "CALLBRIDGE_CASSETTE_AUDIO": "keep",
                "CALLBRIDGE_CASSETTE_REDACT": "false",  # all numbers and voices are made up
            }
            yield agents, dict(order.settings) | whole

    async def _stop(self) -> None:
        self._closing.set()
        await self._holding


class Stages:
    """Those that are open, the last used last."""

    def __init__(self) -> None:
        self._open: OrderedDict[tuple[Order, Any, int], OpenStage] = OrderedDict()

    def get(self, order: Order) -> OpenStage:
        """The service of this order, started if need be. ConfigError names every fault."""
        key = (order, agent_files(order.agents), _stamp(order.standin))
        if key not in self._open:
            while len(self._open) >= OPEN_MOST:
                self._open.popitem(last=False)[1].close()
            self._open[key] = OpenStage(order)
        self._open.move_to_end(key)
        return self._open[key]

    def close(self) -> None:
        """Stop them all."""
        while self._open:
            self._open.popitem()[1].close()


@contextmanager
def plain_faults() -> Iterator[None]:
    """Faults of agent files and settings fail a test in their own words, without a traceback."""
    try:
        yield
    except ConfigError as error:
        raise pytest.fail.Exception(error.detail, pytrace=False) from None


def in_a_loop() -> bool:
    """Whether an event loop runs here already, so that none can be run."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def script_of(path: Path) -> Script:
    """The script of a stand-in; ConfigError names what is wrong with it."""
    try:
        return load(path)
    except ValidationError as invalid:
        faults = invalid.errors(include_url=False, include_input=False)
        told = [f"{path}: {'.'.join(map(str, each['loc']))}: {each['msg']}" for each in faults]
        raise ConfigError("standin.invalid", "\n".join(told)) from None
    except (OSError, yaml.YAMLError) as fault:
        raise ConfigError("standin.invalid", f"{path}: {fault}") from None


def _stamp(path: Path | None) -> int:
    return path.stat().st_mtime_ns if path is not None and path.exists() else 0


def agent_files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """What tells a folder of agent files from itself, changed."""
    return tuple(
        (path.name, (stat := path.stat()).st_mtime_ns, stat.st_size)
        for path in sorted(folder.glob("*.y*ml"))
    )
