"""msgspec's words for a wrong value in ours: which field, and what it takes."""

import re

_AT = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_BOUND = re.compile(r"^Expected `(?:int|float|decimal)` (?P<sign>>=|<=|>|<) (?P<bound>\S+)$")
_LENGTH = re.compile(r"^Expected `str` of length (?P<sign>>=|<=) (?P<bound>\d+)$")
_PATTERN = re.compile(r"^Expected `str` matching regex ")
_TYPE = re.compile(r"^Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`$")
_ENUM = re.compile(r"^Invalid enum value (?P<value>.+)$")
_MISSING = re.compile(r"^Object missing required field `(?P<field>[^`]+)`$")
_UNKNOWN = re.compile(r"^Object contains unknown field `(?P<field>[^`]+)`$")
_SIGNS = {">=": "≥ ", "<=": "≤ ", ">": "above ", "<": "below "}
_TYPES = {
    "int": "a whole number", "float": "a number", "decimal": "a number", "str": "text", "bool": "true or false",
    "null": "nothing", "object": "an object", "array": "a list",
}  # fmt: skip


def plain(text: str) -> tuple[str | None, str]:
    """The field at fault (None: not told) and a sentence that names it; text of another kind stays as it is."""
    for pattern, said in ((_MISSING, "is missing"), (_UNKNOWN, "is no field of it")):
        found = pattern.match(text)
        if found is not None:
            return found["field"], f"`{found['field']}` {said}"
    at = _AT.search(text)
    if at is None:
        return None, text
    field = at["path"] or None
    words = _must(text[: at.start()])
    return field, f"`{field}` {words}" if field and words else text


def _must(text: str) -> str:
    if found := _BOUND.match(text):
        return f"must be a number {_SIGNS[found['sign']]}{found['bound'].removesuffix('.0')}"
    if found := _LENGTH.match(text):
        if found["sign"] == ">=":
            return (
                "must not be empty"
                if found["bound"] == "1"
                else f"must have at least {found['bound']} characters"
            )
        return f"must have at most {found['bound']} characters"
    if found := _TYPE.match(text):
        wanted = " or ".join(_TYPES.get(each.strip(), each.strip()) for each in found["wanted"].split("|"))
        return f"must be {wanted}, not {_TYPES.get(found['got'], found['got'])}"
    if found := _ENUM.match(text):
        return f"does not take {found['value']}"
    if _PATTERN.match(text):
        return "does not have the form that the command's help names"
    return "must be a number" if text == "Invalid decimal string" else ""
