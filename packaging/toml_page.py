"""The manual page hedgegridd.toml(5) in roff, made from the commented example: `toml_page.py etc/hedgegridd.toml`."""  # noqa: INP001  # a script

import re
import sys
from pathlib import Path

_TABLE = re.compile(r"^(# )?(\[+[a-z_.]+\]+)$")
_KEY = re.compile(r"^(# )?([a-z_0-9]+ = .*?)\s+# (.*)$")
_HEAD = r"""
.TH HEDGEGRIDD.TOML 5 "" "hedgegridd" "File Formats"
.SH NAME
hedgegridd.toml \- config of hedgegridd
.SH SYNOPSIS
.B /etc/hedgegridd/hedgegridd.toml
.SH DESCRIPTION
Every table and key with its default. A key that is left out has the value shown; one that is said to be
.I not set
has none. Secrets never stand in this file: keys such as
.B api_key
are the names of credentials, which systemd loads (LoadCredential=).
.PP
.B hedgegridd check \-c FILE \-\-price PRICE
validates a file and says what it means;
.B hedgegridctl reload
takes up what may change while the daemon runs.
.SH TABLES
""".lstrip()
_TAIL = r"""
.SH SEE ALSO
.BR hedgegridd (8),
.BR hedgegridctl (1)
""".lstrip()


def page(text: str) -> str:
    """The page for the text of the example."""
    lines = [_HEAD.rstrip()]
    words: list[str] = []  # comments that stand before what comes next
    for line in text.splitlines():
        table, key = _TABLE.match(line), _KEY.match(line)
        if table:
            lines += [f".SS {_text(table[2])}", *([_text(" ".join(words))] if words else [])]
        elif key:
            if words:
                lines += [".PP", _text(" ".join(words))]
            unset = r" (\fInot set\fR)" if key[1] else ""
            lines += [".TP", rf"\fB{_text(key[2])}\fR{unset}", _text(key[3])]
        elif line.startswith("# ") and not re.match(r"^# [a-z_]+ = ", line):
            words.append(line[2:])
            continue
        words = []
    return "\n".join(lines) + "\n" + _TAIL


def _text(text: str) -> str:
    """`text` so that roff takes no character of it for a command."""
    made = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{made}" if made.startswith((".", "'")) else made


if __name__ == "__main__":
    sys.stdout.write(page(Path(sys.argv[1]).read_text()))
