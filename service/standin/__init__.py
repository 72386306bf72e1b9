"""A stand-in OpenAI server for tests and demonstrations: no key, no network, nothing to pay."""

from service.standin.app import KEY, Standin
from service.standin.script import Fault, Script, load
from service.standin.socket import connect
from service.standin.transport import transport
from service.standin.voice import Voice

__all__ = ["KEY", "Fault", "Script", "Standin", "Voice", "connect", "load", "transport"]
