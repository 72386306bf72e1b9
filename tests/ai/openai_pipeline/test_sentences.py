"""Where sentences end in a text that comes piece by piece."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.ai.openai_pipeline.sentences import SENTENCE_MOST_CHARACTERS, Sentences


def split(text: str, size: int = 3) -> list[str]:
    sentences = Sentences()
    found = [s for at in range(0, len(text), size) for s in sentences.push(text[at : at + size])]
    return [sentence.strip() for sentence in [*found, *sentences.flush()]]


@pytest.mark.parametrize(
    "text",
    [
        "We are open. | You may come in whenever you like! | Is that what you wanted? | Yes.",
        "Dr. Smith and Mr. J. Miller are here. | They will see you now.",
        "It costs 3.50 a day. | That is 1.5 times as much as before.",
        "Go to www.example.com or mail a.b@example.co.uk. | You will find everything there.",
        "Call 415.555.0100 between 9 a.m. and 5 p.m. on weekdays. | We like to hear from you.",
        "We open at 9 a.m. | Come early, there is a queue.",
        "Bring paper, pens etc. to the lesson. | Nothing else is needed for now.",
        "She lives in the U.S. now. | He does not.",
        "No. | I am sorry, that is not possible. | Take room no. 5 on the left instead.",
        'He said "Wait." | Then he left the room. | Nobody knows why he did that.',
        "Well... | I am not so sure about that. | Let me have a look at it first.",
        "So am I. | What else can I do for you today? | Just tell me what it is you need.",
        "1. Open the lid of the box | 2. Take out the filter | 3. Rinse it",
        "We meet at 10:30 on the 3rd. | Do you have the address already?",
        "**Good news!** | We have a free table for you tonight.",
        "您好。|我们今天营业到下午五点钟\uff0c明天上午九点再开门请您早一点来。|谢谢",
    ],
)
def test_sentences_end_where_people_would_say_so(text: str) -> None:
    parts = [part.strip() for part in text.split("|")]
    text = text.replace(" | 2.", "\n2.").replace(" | 3.", "\n3.")
    assert split(text.replace("| ", "").replace("|", "")) == parts


def test_a_sentence_is_there_as_soon_as_the_next_begins() -> None:
    sentences = Sentences()
    assert sentences.push("We are open today.") == []
    assert sentences.push(" ") == []
    assert sentences.push("Come") == ["We are open today."]


def test_a_clause_will_do_for_the_first_sound_but_not_later() -> None:
    text = "I can offer you Tuesday, if that suits you. Otherwise we have Friday, as I said before."
    assert split(text) == [
        "I can offer you Tuesday,",
        "if that suits you. Otherwise we have Friday, as I said before.",
    ]
    assert split("Yes, I can do that for you. It takes a minute or so.")[0].startswith("Yes, I can")
    assert split("That is 1,250 dollars.") == ["That is 1,250 dollars."]


def test_short_sentences_go_together_after_the_first() -> None:
    assert split("Sure. Yes. Of course. I will do that for you now.") == [
        "Sure.",
        "Yes. Of course. I will do that for you now.",
    ]


def test_what_never_ends_is_cut_at_a_mark_or_a_blank() -> None:
    for text in ("word " * 200, "word, " * 200, "w" * 1000):
        parts = split(text)
        assert all(len(part) <= SENTENCE_MOST_CHARACTERS for part in parts)
        assert "".join(parts).replace(" ", "") == text.replace(" ", "")


def test_lines_are_sentences() -> None:
    text = "Here is what we have today:\n- soup of the day with bread\n- roast beef with potatoes\n"
    assert split(text)[1:] == ["- soup of the day with bread", "- roast beef with potatoes"]


@given(st.lists(st.text(alphabet="ab. ,!?\n1\u3002", max_size=8), max_size=60))
def test_nothing_is_lost_and_nothing_added(pieces: list[str]) -> None:
    sentences = Sentences()
    found = [sentence for piece in pieces for sentence in sentences.push(piece)]
    text = "".join(found + sentences.flush())
    assert text == "".join(pieces) or not "".join(pieces)[len(text) :].strip()
    assert all(found)


@given(st.text(alphabet="aB. ,!?\n1", max_size=80), st.integers(1, 9))
def test_it_does_not_matter_how_the_text_comes(text: str, size: int) -> None:
    by_one, by_more = split(text, 1), split(text, size)
    assert "".join(by_one) == "".join(by_more)
