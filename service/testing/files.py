"""Cassettes collected as tests of their own: `pytest fixtures/twilio/busy.jsonl`."""

from collections.abc import Iterator

import pytest

from service.testing.asking import agents_of
from service.testing.replaying import Wish, replay


class CassetteFile(pytest.File):
    """A file with one test in it."""

    def collect(self) -> Iterator[pytest.Item]:
        """That test."""
        yield CassetteItem.from_parent(self, name="replay")


class CassetteItem(pytest.Item):
    """Passes when the service does what the cassette says."""

    def runtest(self) -> None:
        """Play it."""
        done = replay(self.path, Wish(agents=agents_of(self, None)))
        if done.verdict:
            pytest.fail(done.verdict, pytrace=False)

    def reportinfo(self) -> tuple[str, int, str]:
        """Where it is."""
        return str(self.path), 0, self.name
