"""What a cassette's carrier says, in the names of this run."""

import msgspec

from service.cassettes.cassette import Line, Request
from service.replay.names import Names


def _transfer(state: str, target: str) -> dict[str, str]:
    return {"client_state": state, "target_leg_client_state": target, "to": "+14155550111"}


def test_a_transfers_own_leg_is_named_as_this_run_named_it() -> None:
    request = Request(method="POST", path="/x/actions/transfer", json=_transfer("b2xk", "dGFy"))
    names = Names([Line(at_ms=0, lane="rest", from_="bridge", request=request)])
    names.learn(_transfer("bmV3", "bmV3dGFy"))
    told = msgspec.json.encode({"client_state": "dGFy"}).decode()
    assert names.translate(told) == '{"client_state":"bmV3dGFy"}'
    assert names.translate('{"client_state":"b2xk"}') == '{"client_state":"bmV3"}'
