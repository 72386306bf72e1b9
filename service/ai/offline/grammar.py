"""The phrases of a script as a JSGF grammar, with what people put around them to be polite."""

_DECOYS = ("um", "uh", "hmm", "hello", "oh")
"""What people say when they say nothing: better recognised than taken for a short phrase."""

_BEFORE = ("um", "uh", "hi", "hello", "yes", "okay", "hi there", "yes hello")
_AFTER = ("please", "thanks", "thank you")
_POLITE_LEAST_WORDS = 3
"""Around a shorter phrase, what is polite would be most of what is heard."""


def jsgf(name: str, phrases: tuple[str, ...]) -> str:
    """A grammar of that name for one phrase or a decoy."""
    alone = " | ".join(dict.fromkeys((*phrases, *_DECOYS)))
    rules = [f"public <phrase> = {alone}"]
    if long := " | ".join(p for p in phrases if len(p.split()) >= _POLITE_LEAST_WORDS):
        rules[0] += " | <before> <long> | <long> <after> | <before> <long> <after>"
        rules.append(f"<before> = {' | '.join(_BEFORE)}")
        rules.append(f"<after> = {' | '.join(_AFTER)}")
        rules.append(f"<long> = {long}")
    return f"#JSGF V1.0;\ngrammar {name};\n" + "".join(f"{rule};\n" for rule in rules)


def phrase_in(heard: str, phrases: tuple[str, ...]) -> str:
    """The phrase in what was heard, without politeness; empty when there is none."""
    if heard in phrases:
        return heard
    for before in ("", *(f"{word} " for word in _BEFORE)):
        for after in ("", *(f" {word}" for word in _AFTER)):
            if heard.startswith(before) and heard.endswith(after):
                phrase = heard[len(before) : len(heard) - len(after)]
                if phrase in phrases:
                    return phrase
    return ""
