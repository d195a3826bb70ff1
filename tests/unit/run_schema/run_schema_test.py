"""docs/run.schema.json against files: every example is valid, and of the bad files those are refused that a schema can
refuse. Exits with 77 (skipped) where a package is missing."""

import pathlib
import sys
import unittest

try:
    import json
    import jsonschema
    import yaml
except ImportError as e:
    print(f"skipped: {e}; scripts/bootstrap installs python3-jsonschema and python3-yaml")
    sys.exit(77)

ROOT = pathlib.Path(__file__).resolve().parents[3]
BAD = ROOT / "tests/unit/trainer/bad_configs"
# What is wrong with them depends on another field or on the disk, or the YAML library does not see it.
BEYOND_A_SCHEMA = {"contradictions", "duplicates", "no_such_files"}


def validator():
    schema = json.loads((ROOT / "docs/run.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def is_run_file(path):
    return "model:" in path.read_text() and "train:" in path.read_text()


class RunSchemaTest(unittest.TestCase):
    def setUp(self):
        self.validator = validator()

    def problems(self, document):
        return sorted(f"{e.json_path}: {e.message}" for e in self.validator.iter_errors(document))

    def test_every_example_is_valid(self):
        examples = [f for f in sorted((ROOT / "examples").rglob("*.yaml")) if is_run_file(f)]
        self.assertGreaterEqual(len(examples), 3)
        for file in examples:
            with self.subTest(file=str(file.relative_to(ROOT))):
                self.assertEqual(self.problems(yaml.safe_load(file.read_text())), [])

    def test_every_example_names_the_schema(self):
        for file in sorted((ROOT / "examples").rglob("*.yaml")):
            if not is_run_file(file):
                continue
            with self.subTest(file=str(file.relative_to(ROOT))):
                first = file.read_text().splitlines()[0]
                prefix = "# yaml-language-server: $schema="
                self.assertTrue(first.startswith(prefix), first)
                self.assertTrue((file.parent / first[len(prefix):]).resolve() == ROOT / "docs/run.schema.json", first)

    def test_bad_files_are_refused(self):
        judged = 0
        for file in sorted(BAD.glob("*.yaml")):
            try:
                document = yaml.safe_load(file.read_bytes())
            except (yaml.YAMLError, ValueError):
                continue  # not YAML to it either
            judged += 1
            with self.subTest(file=file.name):
                refused = bool(self.problems(document))
                self.assertEqual(refused, file.stem not in BEYOND_A_SCHEMA)
        self.assertGreaterEqual(judged, 30)

    def test_says_where(self):
        document = {"model": {"path": "m", "dtype": "float16"}, "data": {"train": "t", "loopholes": {"modify_test": 1}},
                    "adapter": {"rank": 0, "targets": ["q_proj", "q_proj"]}, "loss": {"clip_low": 1},
                    "optimizer": {"betas": [0.9]}, "router": {"hard_detach_above": None}, "colour": "red"}
        self.assertEqual(sorted(p.split(":")[0] for p in self.problems(document)),
                         ["$", "$.adapter.rank", "$.adapter.targets", "$.data.loopholes", "$.loss.clip_low",
                          "$.model.dtype", "$.optimizer.betas"])

    def test_needs_a_model_and_data(self):
        self.assertEqual(self.problems({}), ["$: 'data' is a required property", "$: 'model' is a required property"])


if __name__ == "__main__":
    unittest.main()
