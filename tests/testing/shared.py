"""A service for several runs of the plugin: starting one takes more than all their calls."""

from service.testing.stages import Stages

STAGES = Stages()

CONFTEST = """
import pytest
from tests.testing.shared import STAGES

@pytest.fixture(scope="session")
def _callbridge_stages():
    return STAGES
"""
