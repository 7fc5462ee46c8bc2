"""`hedgegridctl key new`: make an API key, show it once, and print what the config keeps of it."""

import msgspec

from hedgegridd.control.keys import fingerprint, make


def new(name: str, role: str, *, as_json: bool) -> int:
    """Print the key and its lines for the config; the key itself is stored nowhere."""
    key = make()
    digest = fingerprint(key)
    if as_json:
        print(msgspec.json.encode({"name": name, "role": role, "key": key, "sha256": digest}).decode())
        return 0
    print(f"key     {key}")
    print("It is shown this once and stored nowhere. In the config:\n")
    print("[[control.keys]]")
    print(f"name = {msgspec.json.encode(name).decode()}")
    print(f'role = "{role}"')
    print(f'sha256 = "{digest}"')
    return 0
