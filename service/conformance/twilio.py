"""Rules for a bridge on Twilio alone: its TwiML, and what it answers when a stream is over."""

import itertools

from service.conformance import readings
from service.conformance.check import Check, Failed, must, should
from service.conformance.kit import Kit
from service.twin import twiml


@must("Twilio: TwiML for Programmable Voice; <Connect>, <Stream>")
async def the_answer_is_valid_twiml(kit: Kit) -> None:
    """XML by its type and content; only verbs, attributes and URLs that Twilio takes."""
    record = await kit.conversation()
    readings.check_warnings(record, *readings.SOCKET_CODES, but=True)


@should("Twilio: <Connect>: verbs after it run when the stream ends")
async def no_pause_follows_the_stream(kit: Kit) -> None:
    """A pause after </Connect> keeps the caller in dead air when the agent has left."""
    record = await kit.conversation()
    for line in record.lines:
        if line["lane"] != "webhook" or line["from"] != "bridge" or not line["response"]["body"]:
            continue
        verbs = _verbs(line["response"]["body"])
        after = [verb for before, verb in itertools.pairwise(verbs) if _streams(before)]
        if any(isinstance(verb, twiml.Pause) for verb in after):
            raise Failed("no <Pause> after </Connect>", "there is one")


def _verbs(document: str) -> list[twiml.Verb]:
    try:
        return twiml.parse(document.encode(), "http://localhost/")
    except twiml.TwimlFault:
        return []


def _streams(verb: twiml.Verb) -> bool:
    return isinstance(verb, twiml.Stream)


CHECKS: tuple[Check, ...] = (the_answer_is_valid_twiml, no_pause_follows_the_stream)
