"""`hedgegridctl man`: the manual page hedgegridctl(1) in roff, made from the commands themselves."""

from hedgegridd import __version__
from hedgegridd.control.operation import Registry
from hedgegridd.ctl.tree import Command, Option, commands

EXIT_CODES = (
    ("0", "Done: the outcome is true."),
    ("1", "Refused or failed; nothing changed, or the text says what did."),
    ("2", "Wrong usage, or a value that is out of its bounds."),
    ("3", "No daemon answers on the socket."),
    ("4", "The deadline has passed and the work goes on."),
    ("5", "Ended without verification: look at the status, or at the venue."),
)
ENVIRONMENT = (
    ("HEDGEGRIDD_SOCKET", "The control socket, where --socket is left out."),
    ("HEDGEGRIDD_STATE", "The state folder of journal, where --state and --config are left out."),
    ("HEDGEGRIDD_CONFIG", "The config of panic and doctor, where --config is left out."),
    ("CREDENTIALS_DIRECTORY", "The folder of the credentials of panic and doctor."),
    ("NO_COLOR", "No colour, whatever it holds."),
)


def page(registry: Registry) -> str:
    """The page."""
    root = commands(registry)
    general = {item.flags for item in root.options}
    lines = [
        f'.TH HEDGEGRIDCTL 1 "" "hedgegridd {__version__}" "User Commands"',
        ".SH NAME",
        r"hedgegridctl \- steer a running hedgegridd",
        ".SH SYNOPSIS",
        r".B hedgegridctl",
        r"[\fIOPTION\fR]... \fICOMMAND\fR [\fIARGUMENT\fR]...",
        ".SH DESCRIPTION",
        "Speaks to the daemon over its control socket. Answers are tables for people, or JSON with",
        rf".BR {_text('--json')} .",
        "What is severe asks for the name of the instrument to be typed; scripts say",
        rf".BR {_text('--yes')} .",
        ".SH OPTIONS",
        "They stand before the command or after it.",
    ]
    for item in root.options:
        lines += _option(item)
    lines.append(".SH COMMANDS")
    for command in root.all()[1:]:
        if not command.children:
            lines += _command(command, general)
    lines += [".SH EXIT STATUS", *_table(EXIT_CODES)]
    lines += [".SH ENVIRONMENT", *_table(ENVIRONMENT)]
    lines += [".SH FILES", *_table((("/run/hedgegridd/control.sock", "The control socket."),))]
    lines += [*_table((("/etc/hedgegridd/hedgegridd.toml", "The config."),))]
    return "\n".join(lines) + "\n"


def _command(command: Command, general: set[tuple[str, ...]]) -> list[str]:
    places = " ".join(
        rf"\fI{_text(item.name.upper())}\fR" if item.needed else rf"[\fI{_text(item.name.upper())}\fR]"
        for item in command.positionals
    )
    own = [item for item in command.options if item.flags not in general]
    named = rf"\fB{_text(' '.join(command.path))}\fR {places}".rstrip() + (
        r" [\fIOPTION\fR]..." if own else ""
    )
    lines = [f".SS {named}", *_paragraphs(command.text or command.help)]
    for item in command.positionals:
        words = f"one of {', '.join(item.choices)}" if item.choices else ""
        lines += [
            ".TP",
            rf"\fI{_text(item.name.upper())}\fR",
            _text("; ".join(each for each in (item.help, words) if each) or item.name),
        ]
    for option in own:
        lines += _option(option)
    return [*lines, ".PP", "Example:", ".PP", ".RS 4", ".EX", _text(command.example), ".EE", ".RE"]


def _option(item: Option) -> list[str]:
    flags = ", ".join(rf"\fB{_text(flag)}\fR" for flag in item.flags)
    value = rf" \fI{_text(item.value)}\fR" if item.value else ""
    return [".TP", flags + value, _text(item.help)]


def _table(rows: tuple[tuple[str, str], ...]) -> list[str]:
    return [line for name, text in rows for line in (".TP", rf"\fB{_text(name)}\fR", _text(text))]


def _paragraphs(text: str) -> list[str]:
    lines: list[str] = []
    for paragraph in text.split("\n\n"):
        words = " ".join(paragraph.split())
        if words:
            lines += [".PP", _text(words)] if lines else [_text(words)]
    return lines


_LETTERS = {
    "\\": r"\e",
    "-": r"\-",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{MIDDLE DOT}": r"\(md",
    "\N{MULTIPLICATION SIGN}": r"\(mu",
    "\N{GREATER-THAN OR EQUAL TO}": r"\(>=",
    "\N{EM DASH}": r"\(em",
    "\N{RIGHT SINGLE QUOTATION MARK}": r"\(cq",
}


def _text(text: str) -> str:
    """`text` so that roff takes no character of it for a command."""
    made = "".join(_LETTERS.get(letter, letter) for letter in text)
    return rf"\&{made}" if made.startswith((".", "'")) else made
