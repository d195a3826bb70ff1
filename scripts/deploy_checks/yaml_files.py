"""YAML as documents; a key that stands twice is an error, as it silently loses a value."""
import yaml


class _Loader(yaml.SafeLoader):
    pass


def _mapping(loader, node, deep=False):
    merges = [key for key, _ in node.value if key.tag == "tag:yaml.org,2002:merge"]
    seen = set()
    for key, _ in node.value:
        if key in merges:
            continue
        name = loader.construct_object(key, deep=True)
        if name in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {name!r} stands twice", key.start_mark)
        seen.add(name)
    return yaml.SafeLoader.construct_mapping(loader, node, deep)


def _construct(loader, node):
    data = {}
    yield data
    data.update(_mapping(loader, node, deep=False))


_Loader.add_constructor("tag:yaml.org,2002:map", _construct)


def documents(text):
    """All documents but empty ones. yaml.YAMLError: no YAML."""
    return [document for document in yaml.load_all(text, _Loader) if document is not None]


def load(path, report, root):
    """The documents of a file; a problem, and none, where it is no YAML."""
    try:
        return documents(path.read_text())
    except yaml.YAMLError as error:
        report.problem(path.relative_to(root), f"no YAML: {' '.join(str(error).split())}")
        return []
