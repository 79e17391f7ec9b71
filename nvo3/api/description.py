"""`/openapi.json`: what the framework makes of the routes, and the models' own schemas, by which requests are validated."""

from typing import Any

from pydantic import BaseModel

from nvo3.api import schema

_REFERENCE = "#/components/schemas/{model}"


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document whose components are the models' schemas whole.

    The framework leaves out what it does not know, such as the values of a dictionary.  Nulls stand for "nothing" there, and in what
    pydantic says of a field that may be left out; such a field is not null thereby.
    """
    components = dict(document["components"]["schemas"])
    for name in list(components):
        model = getattr(schema, name, None)
        if isinstance(model, type) and issubclass(model, BaseModel):
            own = model.model_json_schema(ref_template=_REFERENCE)
            components |= own.pop("$defs", {})
            components[name] = own
    whole: dict[str, Any] = _without_nulls({**document, "components": {**document["components"], "schemas": components}})
    return whole


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_without_nulls(one) for one in value]
    return value
