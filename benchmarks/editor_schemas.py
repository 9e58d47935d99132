"""JSON schemas of the files in ``conf/``, with which editors complete, check and explain them.

``python -m benchmarks.editor_schemas conf docs/schemas`` writes one for each group, and
``train.json`` for files of the package ``_global_``. The keys of ours are those of
:mod:`fourbeat.config.schema`, those of leaves are the arguments of the targets that ``conf/``
names. A key's meaning is the comment beside it, or what the target's docstring says of it.
"""

from __future__ import annotations

import copy
import inspect
import json
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_origin

from omegaconf import OmegaConf
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticUserError

from benchmarks.meanings import read_comments, read_docstrings
from fourbeat.config.leaves import argument_hints, takes_tensor
from fourbeat.config.schema import TrainConfig
from fourbeat.config.second_names import SECOND_NAMES
from fourbeat.config.sections import LeafSection, has_names
from fourbeat.config.signatures import HYDRA_KEYS, NAMING, OWN, SUPPLIED

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
# What may stand in place of any value: a reference, a value that must be given, a nested leaf.
_REFERENCE = {
    "anyOf": [
        {"type": "string", "pattern": r"^\?\?\?$|\$\{"},
        {"type": "object", "required": ["_target_"]},
    ]
}
_TARGET = "Dotted path of the class or function that is built with the other keys."
_DEFAULTS = {
    "type": "array",
    "items": {"type": ["string", "object"]},
    "description": "What this file builds on; its own keys are merged last.",
}


def editor_schemas(conf_dir: Path) -> dict[str, Schema]:
    """Make the schema of each config group, and that of whole configs, ``train``.

    Args:
        conf_dir: The project's config folder; the targets that it names must be importable.
    """
    fields = TrainConfig.model_json_schema(by_alias=True)
    comments = read_comments(conf_dir / "train.yaml")
    sections = {}
    for own_name, field in TrainConfig.model_fields.items():
        name = field.alias or own_name
        model, may_be_named = section_in(field.annotation), holds_mapping(field.annotation)
        if name != "logger" and model and issubclass(model, LeafSection):
            sections[name] = _leaf(name, model, _files(conf_dir, name))
            if may_be_named:
                *_, without_target = sections[name]["allOf"]
                without_target["then"]["additionalProperties"] = copy.deepcopy(sections[name])
        else:
            explained = {**comments, **_group_comments(conf_dir, name)}
            sections[name] = _loosened(fields["properties"][name], fields, explained, (name,))
        if name == "logger":
            leaf = _leaf(name, LeafSection, _files(conf_dir, name))
            sections[name]["additionalProperties"] = leaf
    for second, home in SECOND_NAMES.items():
        (other, name), (section, key) = second.split("."), home.split(".")
        sections[other]["properties"][name] = sections[section]["properties"][key]
    whole = {"properties": {**sections, "hydra": {"type": "object"}}, "additionalProperties": False}
    groups = {n: s for n, s in sections.items() if any(map(_is_of_its_group, _files(conf_dir, n)))}
    return {name: _file(schema) for name, schema in {**groups, "train": whole}.items()}


def holds_mapping(annotation: Any) -> bool:
    """Return whether a section may stand under names of the user's: ``dict[str, LeafSection]``."""
    args = getattr(annotation, "__args__", ())
    return get_origin(annotation) is dict or any(holds_mapping(arg) for arg in args)


def section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the one section in an annotation such as ``EarlyStoppingConfig | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (section_in(arg) for arg in getattr(annotation, "__args__", ()))
    return next((model for model in found if model), None)


def write_schemas(conf_dir: Path, folder: Path) -> None:
    """Write the schemas as JSON files.

    Args:
        conf_dir: The project's config folder.
        folder: Is made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in editor_schemas(conf_dir).items():
        (folder / f"{name}.json").write_text(json.dumps(schema) + "\n", encoding="utf-8")


def _file(schema: Schema) -> Schema:
    """The schema of a whole file: it may build on others."""
    properties = {"defaults": _DEFAULTS, **schema.get("properties", {})}
    whole = {"$schema": _DRAFT, **schema, "type": "object", "properties": properties}
    return {**whole, "definitions": {"reference": _REFERENCE}}


def _files(conf_dir: Path, group: str) -> list[Path]:
    bases = sorted(conf_dir.glob(f"{group}_*base.yaml"))
    return [*bases, *sorted((conf_dir / group).glob("*.yaml"))]


def _is_of_its_group(path: Path) -> bool:
    return "# @package _global_" not in path.read_text(encoding="utf-8").splitlines()


def _group_comments(conf_dir: Path, group: str) -> dict[tuple[str, ...], str]:
    found = [read_comments(path) for path in reversed(_files(conf_dir, group))]
    return {(group, *path): text for each in found for path, text in each.items()}


def _loosened(
    schema: Schema,
    root: Schema,
    comments: Mapping[tuple[str, ...], str],
    path: tuple[str, ...],
) -> Schema:
    """A schema of pydantic's for a file that holds some of the keys, and references for values."""
    if "$ref" in schema:
        inner = _loosened(root["$defs"][schema["$ref"].rpartition("/")[2]], root, comments, path)
        return inner | {"description": comments.get(path, inner.get("description", ""))}
    kept = {n: v for n, v in schema.items() if n not in ("title", "required", "properties")}
    if "properties" in schema:
        kept["properties"] = {
            name: _or_reference(
                _loosened(each, root, comments, (*path, name)), comments.get((*path, name))
            )
            for name, each in schema["properties"].items()
        }
    if "anyOf" in schema:
        kept["anyOf"] = [_loosened(each, root, comments, path) for each in schema["anyOf"]]
    for nested in ("items", "additionalProperties"):
        if isinstance(schema.get(nested), dict):
            kept[nested] = _or_reference(_loosened(schema[nested], root, comments, path))
    return kept


def _or_reference(schema: Schema, description: str | None = None) -> Schema:
    told: Schema = {n: schema[n] for n in ("description", "default", "examples") if n in schema}
    bare = {n: v for n, v in schema.items() if n not in told}
    told |= {"description": description} if description else {}
    if bare.get("type") == "object":  # a section, whose keys an editor completes
        return {**bare, **told}
    alternatives = bare["anyOf"] if set(bare) == {"anyOf"} else [bare]
    return {"anyOf": [*alternatives, {"$ref": "#/definitions/reference"}], **told} if bare else told


def _leaf(group: str, model: type[LeafSection], files: list[Path]) -> Schema:
    """A leaf: closed where its target is known, or left to the file that this one builds on."""
    leaves = list(_leaves(files))
    filled = {leaf.get(key) for leaf, _ in leaves for key in NAMING.get(group, ())}
    own = _own_keys(model, {name for name in filled if isinstance(name, str)})
    own |= {name: {} for name in sorted(HYDRA_KEYS - {"_target_"})}
    common = {n: text for _, comments in reversed(leaves) for n, text in comments.items()}
    targets: dict[str, Schema] = {}
    for leaf, comments in leaves:
        path = str(leaf.get("_target_", "???"))
        if path != "???" and "${" not in path and path not in targets:
            targets[path] = _closed(path, group, own, comments, common)
    known = {"type": "string", "description": _TARGET, "examples": [*targets]}
    union = _united(targets.values())
    union |= {name: _or_reference(own[name], common.get(name)) for name in own}
    cases = [(_with_target(path), closed) for path, closed in targets.items()]
    cases.append(({"not": {"required": ["_target_"]}}, union))
    return {
        "type": "object",
        "description": inspect.getdoc(model) or "",
        "properties": {
            "_target_": known,
            **{name: _or_reference(own[name], common.get(name)) for name in own},
        },
        "allOf": [{"if": case, "then": _keys(closed)} for case, closed in cases],
    }


def _united(targets: Iterable[Mapping[str, Schema]]) -> dict[str, Schema]:
    """Each key of some targets; one that they have with other values takes those of any."""
    found: dict[str, list[Schema]] = {}
    for closed in targets:
        for name, each in closed.items():
            if each not in found.setdefault(name, []):
                found[name].append(each)
    return {name: each[0] if len(each) == 1 else {"anyOf": each} for name, each in found.items()}


def _with_target(path: str) -> Schema:
    return {"properties": {"_target_": {"const": path}}, "required": ["_target_"]}


def _keys(closed: Mapping[str, Schema]) -> Schema:
    properties = {"defaults": {}, **closed}
    return {"properties": properties, "additionalProperties": properties.pop("**", False) == {}}


def _leaves(files: list[Path]) -> Iterator[tuple[Mapping[str, Any], Any]]:
    """Each leaf of a group with the comments of its keys."""
    for path in files:
        node: Any = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
        comments = read_comments(path)
        if not has_names(node):
            yield node, {keys[0]: text for keys, text in comments.items()}
            continue
        for name, leaf in node.items():
            if name != "defaults":
                yield leaf, {keys[-1]: text for keys, text in comments.items() if keys[0] == name}


def _own_keys(model: type[LeafSection], filled: set[str]) -> dict[str, Schema]:
    root = model.model_json_schema(by_alias=False)
    own = {name: _loosened(each, root, {}, ()) for name, each in root["properties"].items()}
    del own["target"]
    for name, each in own.items():
        # Null stands for a key that was not given, except where the program then gives the value.
        if "examples" in each and "anyOf" in each and name not in filled:
            each["anyOf"] = [member for member in each["anyOf"] if member.get("type") != "null"]
            del each["default"]
    return own


def _closed(
    path: str,
    group: str,
    own: Mapping[str, Schema],
    comments: Mapping[str, str],
    common: Mapping[str, str],
) -> dict[str, Schema]:
    """The keys of a leaf with this target; ``**`` among them where it takes any others."""
    target: Callable[..., Any] = pkgutil.resolve_name(path)
    parameters = inspect.signature(target).parameters
    hints, told = argument_hints(target, parameters), read_docstrings(target)
    keys: dict[str, Schema] = {n: own[n] for n in own if n in OWN.get(group, ()) or n[0] == "_"}
    for name, parameter in parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            keys["**"] = {}
        elif parameter.kind is not parameter.VAR_POSITIONAL and name not in SUPPLIED.get(group, ()):
            keys[name] = own.get(name) or _annotation(hints.get(name, Any))
    told = {**common, **told, **comments}
    keys = {n: _or_reference(each, told.get(n)) if n != "**" else {} for n, each in keys.items()}
    return {"_target_": {"description": comments.get("_target_", "")}, **keys}


def _annotation(hint: Any) -> Schema:
    """The schema of an annotation, without members of a union that YAML cannot express."""
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    found = [_member(member) for member in (typing.get_args(hint) if is_union else (hint,))]
    known = [schema for schema in found if schema is not None]
    return {} if not known or {} in known else {"anyOf": known}


def _member(hint: Any) -> Schema | None:
    if hint is None or hint is type(None):
        return {"type": "null"}
    if takes_tensor(hint):
        return {"type": "array"}
    if isinstance(hint, type) and issubclass(hint, Path):
        return {"type": "string"}
    try:
        schema = TypeAdapter(hint).json_schema()
    except (PydanticUserError, TypeError):  # a class that no YAML value is an instance of
        # A list of such may hold values that YAML can express.
        return {} if typing.get_args(hint) else None
    # A tuple's own form is of another draft; a class of fields is a nested leaf.
    return {"type": "array"} if "prefixItems" in schema else {} if "$defs" in schema else schema


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]), Path(sys.argv[2]))
