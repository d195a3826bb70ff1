"""The dashboard against Grafana's own types, as far as its foundation SDK has them: a field that Grafana does not know
would be lost on the way through them, and a word that is none of an enumeration's is told. Skips where the SDK is not
installed (scripts/watch_tools/install)."""
import enum
import json
import pathlib
import re
import sys
import typing
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "scripts/watch_tools"))
import environment  # noqa: E402

environment.enter()
try:
    from grafana_foundation_sdk.cog import encoder, plugins
    from grafana_foundation_sdk.models import dashboard as grafana
except ImportError:
    grafana = None

# The Prometheus data source's own, which the types of a dashboard leave to it; and what Grafana writes of a variable.
ELSEWHERE = {"annotations.list[].step", "annotations.list[].titleFormat", "annotations.list[].textFormat",
             "annotations.list[].tagKeys", "annotations.list[].useValueForTime", "annotations.list[].target.refId",
             "annotations.list[].target.expr", "annotations.list[].target.interval", "templating.list[].definition"}


def lost(before, after, path=""):
    """Paths of what is in `before` and not, or otherwise, in `after`."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            inner = f"{path}.{key}".lstrip(".")
            if key not in after:
                yield inner
            else:
                yield from lost(value, after[key], inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for one, other in zip(before, after):
            yield from lost(one, other, f"{path}[]")
    elif before != after:
        yield f"{path}: {before!r} became {after!r}"


def enumerations(hint):
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        yield hint
    for inner in typing.get_args(hint):
        yield from enumerations(inner)


def wrong_words(thing, path=""):
    """Values of fields that are of an enumeration and not in it."""
    if isinstance(thing, (list, tuple)):
        for item in thing:
            yield from wrong_words(item, f"{path}[]")
    elif isinstance(thing, dict):
        for key, item in thing.items():
            yield from wrong_words(item, f"{path}.{key}")
    elif hasattr(thing, "__dict__") and not isinstance(thing, enum.Enum):
        hints = typing.get_type_hints(type(thing).__init__)
        for name, value in vars(thing).items():
            allowed = [member.value for one in enumerations(hints.get(name)) for member in one]
            if allowed and isinstance(value, (str, int)) and not isinstance(value, bool) and value not in allowed:
                yield f"{path}.{name}: {value!r} is none of {allowed}"
            yield from wrong_words(value, f"{path}.{name}")


@unittest.skipUnless(grafana, "grafana-foundation-sdk is not installed; run scripts/watch_tools/install")
class GrafanaSchemaTest(unittest.TestCase):
    def setUp(self):
        plugins.register_default_plugins()
        self.board = json.loads((ROOT / "deploy/grafana/dashboards/evil_moe.json").read_text())

    def through_grafana(self):
        typed = grafana.Dashboard.from_json(self.board)
        return typed, json.loads(encoder.JSONEncoder(sort_keys=True).encode(typed))

    def problems(self):
        typed, after = self.through_grafana()
        return sorted(set(lost(self.board, after)) - ELSEWHERE) + sorted(set(wrong_words(typed)))

    def test_grafana_knows_every_field_and_word(self):
        self.assertEqual(self.problems(), [])

    def test_options_are_of_the_panel_types_own(self):
        typed, _ = self.through_grafana()
        for panel in typed.panels:
            if panel.type_val != "row":
                self.assertRegex(type(panel.options).__module__, rf"models\.{panel.type_val}$")

    def test_what_grafana_does_not_know_is_found(self):
        curve = next(p for p in self.board["panels"] if p["type"] == "timeseries")
        curve["options"]["colour"] = "red"
        curve["fieldConfig"]["defaults"]["custom"]["drawStyle"] = "curve"
        found = "\n".join(self.problems())
        self.assertIn("panels[].options.colour", found)
        self.assertTrue(re.search(r"draw_style: 'curve' is none of", found), found)


if __name__ == "__main__":
    unittest.main()
