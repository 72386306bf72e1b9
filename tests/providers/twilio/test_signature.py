"""Twilio's request signature: published vectors, both directions against the official SDK."""

import re
import time
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator

from providers.base import WebhookRequest
from providers.twilio.signature import HEADER, SignatureCheck, sign
from service.core.errors import SignatureInvalid

TOKEN = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
PUBLIC = "https://bridge.example.org"
FORM = "application/x-www-form-urlencoded"

V1_QUERY = "tenant=acme&lang=es%2DMX"
V1_BODY = (
    "AccountSid=AC00112233445566778899aabbccddeeff&ApiVersion=2010-04-01"
    "&CallSid=CAffeeddccbbaa99887766554433221100&CallStatus=ringing&Called=%2B14155550123"
    "&Caller=%2B525512345678&CallerCity=&Direction=inbound&From=%2B525512345678&FromCity="
    "&FromCountry=MX&To=%2B14155550123&ToCity=SAN+FRANCISCO&CallerName=Ana+N%C3%BA%C3%B1ez"
)
V1_SIGNATURE = "9wXyLq04YF4SujPSxIHURfEHjyo="
V2_BODY = b'{"CallSid":"CAffeeddccbbaa99887766554433221100","event":"done"}'
V2_QUERY = "bodySHA256=99cdd6c8e97e2d734ac0653d5b686b3b40a47342c3039a8d6f4312187bd10b44"


def check(public_url: str = PUBLIC, *tokens: str) -> SignatureCheck:
    return SignatureCheck(public_url, tokens or (TOKEN,))


def post(
    signature: str | None,
    path: str = "/twilio/voice",
    query: str = "",
    body: str | bytes = b"",
    content_type: str = FORM,
) -> WebhookRequest:
    headers = {"content-type": content_type}
    if signature is not None:
        headers[HEADER] = signature
    return WebhookRequest(
        "POST", path, query, headers, body.encode() if isinstance(body, str) else body
    )


def get(signature: str, path: str, query: str = "") -> WebhookRequest:
    return WebhookRequest("GET", path, query, {HEADER: signature})


def v1(signature: str | None = V1_SIGNATURE, **changed: str) -> WebhookRequest:
    asked = {"path": "/twilio/voice", "query": V1_QUERY, "body": V1_BODY, **changed}
    return post(signature, **asked)


# The vectors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (f"{PUBLIC}/twilio/voice?{V1_QUERY}", V1_BODY, V1_SIGNATURE),
        (f"{PUBLIC}:443/twilio/voice?{V1_QUERY}", V1_BODY, "HQ2NH86o9wjg4Mw2ykzlKVdzvY0="),
        (f"{PUBLIC}/twilio/events?{V2_QUERY}", "", "caVBPfLAMYqx+PofI/atsckAkjA="),
        ("wss://bridge.example.org/twilio/media", "", "4ikFmmYxTrvcvp8FL2ZXfWi7b1k="),
        ("wss://bridge.example.org/twilio/media/", "", "Qd+Z6dbCnFgAcjZJjHTTw9oTYYE="),
        (
            f"{PUBLIC}/twilio/status?CallSid=CAffeeddccbbaa99887766554433221100&CallStatus=busy"
            "&Timestamp=Tue%2C+01+Sep+2026+12%3A00%3A00+%2B0000",
            "",
            "C/CF5ZBSpgkpATxEsIilkg+CfcM=",
        ),
        (
            f"{PUBLIC}/twilio/amd?job=42",
            "AccountSid=AC00112233445566778899aabbccddeeff&AnsweredBy=human"
            "&CallSid=CAffeeddccbbaa99887766554433221100&MachineDetectionDuration=1840",
            "CnfG7Kb1cRcUmU1XtqeKBu8Wlcs=",
        ),
        (f"{PUBLIC}/x", "B=2&B=1&B=1&A=z", "dipdiYceLI9FZvU1Tkv5qSssQZI="),
    ],
    ids=["v1", "v1-port", "v2", "v3", "v3-slash", "v4", "v5", "v6"],
)
def test_signatures_are_those_of_the_published_vectors(url: str, form: str, signature: str) -> None:
    assert sign(TOKEN, url, parse_qsl(form, keep_blank_values=True)) == signature


def test_v1_a_signed_form_is_let_in() -> None:
    check().webhook(v1())


def test_v1_is_let_in_when_signed_with_the_default_port() -> None:
    check().webhook(v1("HQ2NH86o9wjg4Mw2ykzlKVdzvY0="))


@pytest.mark.parametrize("signature", [V1_SIGNATURE, "HQ2NH86o9wjg4Mw2ykzlKVdzvY0="])
def test_v1_is_let_in_when_the_public_url_names_the_default_port(signature: str) -> None:
    check(f"{PUBLIC}:443").webhook(v1(signature))


def test_v1_the_order_of_fields_does_not_matter() -> None:
    check().webhook(v1(body="&".join(reversed(V1_BODY.split("&")))))


@pytest.mark.parametrize(
    "changed",
    [
        {"query": V1_QUERY.replace("%2D", "-")},
        {"path": "/twilio/voice/"},
        {"path": "/twilio/Voice"},
        {"query": ""},
        {"body": re.sub(r"&\w+=(?=&)", "", V1_BODY)},
        {"body": V1_BODY.replace("SAN+FRANCISCO", "SAN+FRANCISCO+")},
        {"body": V1_BODY.replace("ringing", "busy")},
        {"body": V1_BODY + "&New=1"},
        {"body": ""},
    ],
)
def test_v1_a_changed_request_is_refused(changed: dict[str, str]) -> None:
    with pytest.raises(SignatureInvalid, match=r"twilio\.signature_invalid"):
        check().webhook(v1(**changed))


def test_v1_is_refused_under_http() -> None:
    with pytest.raises(SignatureInvalid):
        check("http://bridge.example.org").webhook(v1())


@pytest.mark.parametrize(
    "signature",
    [
        "X7FRGFvsEP32DdV1jB5+1hPH10c=",  # of the fields without the blank ones
        "dgF7a+bdXhFSxBwwvnNj68+/j1V3OYbQbkeaptCey9g=",  # HMAC-SHA256, which no key of ours makes
        V1_SIGNATURE.lower(),
        V1_SIGNATURE + "=",
        "ñ",
        "\ud800",
        " ",
    ],
)
def test_v1_a_wrong_signature_is_refused(signature: str) -> None:
    with pytest.raises(SignatureInvalid):
        check().webhook(v1(signature))


@pytest.mark.parametrize("signature", [None, ""])
def test_a_missing_signature_is_refused(signature: str | None) -> None:
    with pytest.raises(SignatureInvalid, match=r"twilio\.signature_missing"):
        check().webhook(v1(signature))


def v2(body: bytes = V2_BODY, content_type: str = "application/json") -> WebhookRequest:
    signature = "caVBPfLAMYqx+PofI/atsckAkjA="
    return post(signature, "/twilio/events", V2_QUERY, body, content_type)


def test_v2_json_is_let_in_by_the_hash_of_its_body() -> None:
    check().webhook(v2())


def test_v2_json_with_one_more_space_is_refused() -> None:
    with pytest.raises(SignatureInvalid, match=r"twilio\.body_changed"):
        check().webhook(v2(V2_BODY + b" "))


def test_v2_a_form_is_not_let_in_by_the_hash_of_a_body() -> None:
    with pytest.raises(SignatureInvalid):
        check().webhook(v2(b"CallSid=CA1&CallStatus=busy", FORM))


def test_a_body_that_neither_hash_nor_fields_cover_is_refused() -> None:
    signature = sign(TOKEN, f"{PUBLIC}/twilio/events")
    with pytest.raises(SignatureInvalid):
        check().webhook(
            post(signature, "/twilio/events", body=V2_BODY, content_type="application/json")
        )


@pytest.mark.parametrize(
    "signature", ["4ikFmmYxTrvcvp8FL2ZXfWi7b1k=", "Qd+Z6dbCnFgAcjZJjHTTw9oTYYE="]
)
@pytest.mark.parametrize("path", ["/twilio/media", "/twilio/media/"])
def test_v3_an_upgrade_is_let_in_with_and_without_a_slash(signature: str, path: str) -> None:
    check().upgrade(get(signature, path))


@pytest.mark.parametrize("spelling", ["https", "ws", "http"])
def test_v3_another_scheme_than_wss_is_refused(spelling: str) -> None:
    signature = sign(TOKEN, f"{spelling}://bridge.example.org/twilio/media")
    with pytest.raises(SignatureInvalid):
        check().upgrade(get(signature, "/twilio/media"))


def test_a_signed_upgrade_opens_no_webhook() -> None:
    with pytest.raises(SignatureInvalid):
        check().webhook(get("4ikFmmYxTrvcvp8FL2ZXfWi7b1k=", "/twilio/media"))


def test_an_upgrade_of_a_plain_http_bridge_is_signed_as_ws() -> None:
    signature = sign(TOKEN, "ws://127.0.0.1:8080/twilio/stream/abc")
    check("http://127.0.0.1:8080").upgrade(get(signature, "/twilio/stream/abc"))


def test_v4_a_get_request_is_let_in_by_its_query() -> None:
    query = (
        "CallSid=CAffeeddccbbaa99887766554433221100&CallStatus=busy"
        "&Timestamp=Tue%2C+01+Sep+2026+12%3A00%3A00+%2B0000"
    )
    check().webhook(get("C/CF5ZBSpgkpATxEsIilkg+CfcM=", "/twilio/status", query))
    with pytest.raises(SignatureInvalid):
        check().webhook(
            get(
                "C/CF5ZBSpgkpATxEsIilkg+CfcM=", "/twilio/status", query.replace("busy", "completed")
            )
        )


def test_v6_repeated_fields_are_let_in() -> None:
    check().webhook(post("dipdiYceLI9FZvU1Tkv5qSssQZI=", "/x", body="B=2&B=1&B=1&A=z"))


# Settings --------------------------------------------------------------------------------------


def test_both_tokens_are_good_while_they_rotate_and_no_third() -> None:
    both = check(PUBLIC, TOKEN, "the-next-token")
    both.webhook(v1())
    url = f"{PUBLIC}/twilio/voice?{V1_QUERY}"
    fields = parse_qsl(V1_BODY, keep_blank_values=True)
    both.webhook(v1(sign("the-next-token", url, fields)))
    with pytest.raises(SignatureInvalid):
        both.webhook(v1(sign("a-third-token", url, fields)))


def test_an_empty_token_opens_nothing() -> None:
    signature = sign("", f"{PUBLIC}/twilio/voice")
    with pytest.raises(SignatureInvalid):
        SignatureCheck(PUBLIC, ("", TOKEN)).webhook(post(signature))


@pytest.mark.parametrize("seen", ["/twilio/voice", "/phone/twilio/voice"])
def test_a_path_prefix_is_known_whether_or_not_the_proxy_cuts_it(seen: str) -> None:
    signature = sign(TOKEN, "https://example.org:8443/phone/twilio/voice")
    check("https://example.org:8443/phone/").webhook(post(signature, seen))


@pytest.mark.parametrize(
    "public", ["https://example.org:8443", "http://[::1]:8080", "http://[::1]"]
)
@pytest.mark.parametrize("keep_port", [True, False])
def test_an_own_port_may_be_signed_or_left_out(public: str, keep_port: bool) -> None:
    signed = public if keep_port else re.sub(r":\d+$", "", public)
    check(public).webhook(post(sign(TOKEN, f"{signed}/twilio/voice")))


def test_another_host_s_signature_is_refused() -> None:
    with pytest.raises(SignatureInvalid):
        check().webhook(post(sign(TOKEN, "https://bridge.example.com/twilio/voice")))


def test_twenty_thousand_fields_take_no_time_to_speak_of() -> None:
    body = urlencode([(f"F{n}", str(n)) for n in range(20_000)])
    began = time.process_time()
    with pytest.raises(SignatureInvalid):
        check(PUBLIC, TOKEN, "the-next-token").webhook(post(V1_SIGNATURE, body=body))
    assert time.process_time() - began < 2  # the SDK's way takes well over ten


# The official SDK ------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=12)
forms = st.lists(st.tuples(st.text(st.characters(codec="utf-8"), min_size=1), texts), max_size=12)
queries = st.lists(st.tuples(texts, texts), max_size=3).map(urlencode)


@given(fields=forms, query=queries, port=st.sampled_from(["", ":443", ":8443"]))
def test_what_the_sdk_signs_is_let_in(fields: list[tuple[str, str]], query: str, port: str) -> None:
    url = f"{PUBLIC}{port}/twilio/voice" + (f"?{query}" if query else "")
    signature = RequestValidator(TOKEN).compute_signature(url, ImmutableMultiDict(fields))
    check(PUBLIC + port).webhook(post(signature, query=query, body=urlencode(fields)))


@given(fields=forms, query=queries, port=st.sampled_from(["", ":443", ":8443"]))
def test_what_we_sign_the_sdk_lets_in(fields: list[tuple[str, str]], query: str, port: str) -> None:
    url = f"{PUBLIC}{port}/twilio/voice" + (f"?{query}" if query else "")
    signature = sign(TOKEN, url, fields)
    assert RequestValidator(TOKEN).validate(url, ImmutableMultiDict(fields), signature)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_json_is_judged_as_the_sdk_judges_it(body: str) -> None:
    signature = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/twilio/events?{V2_QUERY}", {})
    url = f"{PUBLIC}/twilio/events?{V2_QUERY}"
    assert not RequestValidator(TOKEN).validate(url, body, signature)
    with pytest.raises(SignatureInvalid):
        check().webhook(v2(body.encode()))


@given(st.binary(max_size=200), st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_nothing_unsigned_gets_in_or_breaks_the_check(
    body: bytes, path: str, query: str, signature: str
) -> None:
    with pytest.raises(SignatureInvalid):
        check().webhook(post(signature, path, query, body))
    with pytest.raises(SignatureInvalid):
        check().upgrade(get(signature, path, query))


@pytest.mark.parametrize("headers", [{}, {HEADER: "junk", "content-type": "text/plain"}])
def test_a_body_that_no_signature_covers_is_refused_unread(headers: dict[str, str]) -> None:
    request = WebhookRequest("POST", "/twilio/voice", "", headers, b"a=1&" * 50_000)
    with pytest.raises(SignatureInvalid) as refused:
        check().webhook(request)
    assert refused.value.code in ("twilio.signature_missing", "twilio.body_unsigned")
