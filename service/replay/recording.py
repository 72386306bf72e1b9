"""Agents all of whose calls are recorded, for whoever wants cassettes of the calls they make.

The service records what its agents ask for; these are copies of an agent's files that do.
"""

import re
from pathlib import Path

from service.agents.book import agent_files

_ASKED = re.compile(r"^record_cassette:.*$", re.MULTILINE)


def recording_agents(agents: Path, folder: Path) -> Path:
    """Copies of the agent files in `agents` that record every call; returns `folder`, made new."""
    folder.mkdir()
    for file in agent_files(agents):
        text = _ASKED.sub("", file.read_text("utf-8-sig"))
        (folder / file.name).write_text(f"{text}\nrecord_cassette: true\n", "utf-8")
    return folder
