"""`.env.example` is the settings' only documentation: complete, and right about every default."""

from pathlib import Path

from dotenv import dotenv_values

from service.settings import Settings

EXAMPLE = Path(__file__).parents[1] / ".env.example"
UNITS = {
    "_MS": "Milliseconds",
    "_SECONDS": "Seconds",
    "_DAYS": "Days",
    "_BYTES": "Bytes",
    "_URL": "URL",
    "_BASE": "URL",
    "_SECRET": "Secret",
}


def test_the_example_names_every_setting_once_and_no_other() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    named = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    fields = {*Settings.model_fields} - {"callbridge_secrets"}
    assert sorted(named) == sorted(["CALLBRIDGE_SECRET_NAME", *(field.upper() for field in fields)])


def test_the_example_as_it_stands_is_the_defaults() -> None:
    env = {name: value or "" for name, value in dotenv_values(EXAMPLE).items()}
    assert Settings.load(env) == Settings()
    shown = {name.lower() for name, value in env.items() if value}
    with_default = {
        name for name, value in Settings().model_dump().items() if value not in ("", {}, ())
    }
    assert shown == with_default


def test_each_setting_is_explained_with_its_unit() -> None:
    paragraphs = [p.splitlines() for p in EXAMPLE.read_text("utf-8").split("\n\n")]
    settings = [p for p in paragraphs if not p[-1].startswith("#")]
    assert len(settings) == len(Settings.model_fields)
    for *comment, assignment in settings:
        assert comment, f"{assignment} is not explained"
        assert all(line.startswith("# ") for line in comment), assignment
        name = assignment.partition("=")[0]
        for suffix, unit in UNITS.items():
            if name.endswith(suffix):
                assert comment[0].startswith(f"# {unit}"), assignment
