"""The offline engine's script, as far as its file tells."""

from pathlib import Path

from tests.agents.files import SCRIPT, faults


def test_a_word_of_no_dictionary_may_be_spelled_out(tmp_path: Path) -> None:
    script = SCRIPT + "- {hears: [veneerz], says: Hi.}\n"
    assert faults(tmp_path, script) == []
    assert faults(tmp_path, script + "pronounce: {veneerz: V AH N IH R Z}\n") == []
    [fault] = faults(tmp_path, script + "pronounce: {veneerz: vuh neers}\n")
    assert "expected phonemes like" in fault


def test_yes_and_no_are_words(tmp_path: Path) -> None:
    assert faults(tmp_path, SCRIPT + "- {hears: [yes, no, on, off], says: Hi., end: true}\n") == []


def test_phrases_without_bound_are_refused(tmp_path: Path) -> None:
    slots = "slots: {n: [one, two, three, four, five, six, seven, eight, nine, ten]}\n"
    [fault] = faults(tmp_path, slots + SCRIPT + "- {hears: ['{n} {n} {n} {n} {n}'], says: Hi.}\n")
    assert fault.startswith("5: replies: more than")


def test_a_script_stands_beside_any_engine_and_is_looked_into_there_too(tmp_path: Path) -> None:
    script = SCRIPT + "- {hears: [hi], says: 'Hi {caller}.'}\n"
    for engine in ("offline", "openai-realtime", "openai-pipeline", "echo"):
        assert faults(tmp_path, script.replace("offline", engine)) == []
        [fault] = faults(tmp_path, script.replace("offline", engine).replace("caller", "nmae"))
        assert fault == "5: replies[0].says: {nmae} is not known here"


def test_what_a_lookup_finds_may_be_said(tmp_path: Path) -> None:
    lookups = "lookups: [{url: 'https://crm.example', variables: {first: /name}}]\n"
    assert faults(tmp_path, lookups + SCRIPT + "- {hears: [hi], says: 'Hi {first}.'}\n") == []
