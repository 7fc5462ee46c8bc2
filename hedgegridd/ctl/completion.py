"""`hedgegridctl completion SHELL`: tab completion for bash, zsh and fish, made from the commands themselves.

All three walk the words that are there: options (and what those take) are passed over, names of commands go down the
tree, the rest are arguments by place. `@path` among the candidates stands for names of files.
"""

from collections.abc import Iterable

from hedgegridd.control.operation import Registry
from hedgegridd.ctl.tree import Command, commands

PATH = "@path"
_BASH = """\
# bash completion of hedgegridctl; made by `hedgegridctl completion bash`
_hedgegridctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev="" path="" word found
    local -i place=0 at
    local -A subs=(%(subs)s)
    local -A options=(%(options)s)
    local -A places=(%(places)s)
    local -A values=(%(values)s)
    local takes=" %(takes)s "
    for ((at = 1; at < COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        if [[ $takes == *" $prev "* && -n $prev ]]; then prev=""; continue; fi
        prev=$word
        [[ $word == -* ]] && continue
        if [[ " ${subs["/$path"]} " == *" $word "* ]]; then path="${path:+$path }$word"; place=0; else place+=1; fi
    done
    if [[ -n $prev && $takes == *" $prev "* ]]; then found=${values["$path $prev"]}
    elif [[ $cur == -* ]]; then found=${options["/$path"]}
    else found="${subs["/$path"]} ${places["$path $place"]}"; fi
    COMPREPLY=()
    if [[ $found == *@path* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -W "$found" -- "$cur")
    fi
}
complete -F _hedgegridctl hedgegridctl
"""
_ZSH = """\
#compdef hedgegridctl
# zsh completion of hedgegridctl; made by `hedgegridctl completion zsh`
_hedgegridctl() {
    local way="" prev="" word
    local -i place=0 at
    local -A subs=(%(subs)s)
    local -A options=(%(options)s)
    local -A places=(%(places)s)
    local -A values=(%(values)s)
    local takes=" %(takes)s "
    local -a found names
    for ((at = 2; at < CURRENT; at++)); do
        word=${words[at]}
        if [[ -n $prev && $takes == *" $prev "* ]]; then prev=""; continue; fi
        prev=$word
        [[ $word == -* ]] && continue
        names=("${(@)${(@f)subs[/$way]}%%%%:*}")
        if (( ${names[(Ie)$word]} )); then way="${way:+$way }$word"; place=0; else place+=1; fi
    done
    if [[ -n $prev && $takes == *" $prev "* ]]; then found=("${(@f)values[$way $prev]}")
    elif [[ ${words[CURRENT]} == -* ]]; then found=("${(@f)options[/$way]}")
    else found=("${(@f)subs[/$way]}" "${(@f)places[$way $place]}"); fi
    found=(${found:#})
    if (( ${found[(Ie)@path]} )); then _files; return; fi
    (( ${#found} )) && _describe -t values hedgegridctl found
}
if [[ $funcstack[1] == _hedgegridctl ]]; then _hedgegridctl "$@"; else (( $+functions[compdef] )) && compdef _hedgegridctl hedgegridctl; fi
"""
_FISH = """\
# fish completion of hedgegridctl; made by `hedgegridctl completion fish`
set -g __hedgegridctl_commands %(commands)s
set -g __hedgegridctl_takes %(takes)s
function __hedgegridctl_at --description 'whether the words so far are this command and this many arguments'
    set -l way
    set -l place 0
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word $__hedgegridctl_takes
            set skip 1
        else if not string match -q -- '-*' $word
            if contains -- (string join ' ' $way $word) $__hedgegridctl_commands
                set way $way $word
                set place 0
            else
                set place (math $place + 1)
            end
        end
    end
    test "$argv[1]" = (string join ' ' -- $way | string collect --allow-empty); or return 1
    test (count $argv) = 1; or test "$argv[2]" = $place
end
complete -c hedgegridctl -f
%(lines)s
"""


def completion(shell: str, registry: Registry) -> str:
    """The script for `bash`, `zsh` or `fish`."""
    root = commands(registry)
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](root.all())


def _takes(tree: Iterable[Command]) -> list[str]:
    """Options with a value; none of them is without one in another command (a test sees to it)."""
    return sorted({flag for command in tree for item in command.options if item.value for flag in item.flags})


def _name(command: Command) -> str:
    return " ".join(command.path)


def _bash(tree: list[Command]) -> str:
    subs, options, places, values = {}, {}, {}, {}
    for command in tree:
        name = _name(command)
        subs[f"/{name}"] = " ".join(child.path[-1] for child in command.children)
        options[f"/{name}"] = " ".join(flag for item in command.options for flag in item.flags)
        for at, place in enumerate(command.positionals):
            places[f"{name} {at}"] = PATH if place.is_path else " ".join(place.choices)
        for item in command.options:
            for flag in item.flags if item.value else ():
                values[f"{name} {flag}"] = PATH if item.is_path else " ".join(item.choices)
    tables = {"subs": subs, "options": options, "places": places, "values": values}
    written = {
        table: "\n"
        + "".join(f"        [{_quoted(key)}]={_quoted(text)}\n" for key, text in rows.items() if text)
        for table, rows in tables.items()
    }
    return _BASH % {**written, "takes": " ".join(_takes(tree))}


def _zsh(tree: list[Command]) -> str:
    subs, options, places, values = {}, {}, {}, {}
    for command in tree:
        name = _name(command)
        subs[f"/{name}"] = [_said(child.path[-1], child.help) for child in command.children]
        options[f"/{name}"] = [_said(flag, item.help) for item in command.options for flag in item.flags]
        for at, place in enumerate(command.positionals):
            places[f"{name} {at}"] = [PATH] if place.is_path else list(place.choices)
        for item in command.options:
            for flag in item.flags if item.value else ():
                values[f"{name} {flag}"] = [PATH] if item.is_path else list(item.choices)
    tables = {"subs": subs, "options": options, "places": places, "values": values}
    written = {
        table: "\n"
        + "".join(
            f"        {_quoted(key)} {_quoted(chr(10).join(lines))}\n" for key, lines in rows.items() if lines
        )
        for table, rows in tables.items()
    }
    return _ZSH % {**written, "takes": " ".join(_takes(tree))}


def _fish(tree: list[Command]) -> str:
    lines: list[str] = []
    for command in tree:
        name = _name(command)
        here = f"complete -c hedgegridctl -n {_quoted(f'__hedgegridctl_at "{name}"')}"
        lines += [
            f"{here} -a {_quoted(child.path[-1])} -d {_quoted(child.help)}" for child in command.children
        ]
        for item in command.options:
            flags = " ".join(
                f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in item.flags
            )
            takes = "" if not item.value else " -r -F" if item.is_path else " -x"
            choices = f" -a {_quoted(' '.join(item.choices))}" if item.choices else ""
            lines.append(f"{here} {flags}{takes}{choices} -d {_quoted(item.help)}")
        for at, place in enumerate(command.positionals):
            there = f"complete -c hedgegridctl -n {_quoted(f'__hedgegridctl_at "{name}" {at}')}"
            if place.is_path:
                lines.append(f"{there} -F")
            elif place.choices:
                lines.append(f"{there} -a {_quoted(' '.join(place.choices))} -d {_quoted(place.help)}")
    known = " ".join(_quoted(_name(command)) for command in tree if command.path)
    return _FISH % {"commands": known, "takes": " ".join(_takes(tree)), "lines": "\n".join(lines)}


def _said(name: str, text: str) -> str:
    """A candidate with its description, as `_describe` takes it."""
    return name.replace(":", r"\:") + (":" + text.replace("\n", " ") if text else "")


def _quoted(text: str) -> str:
    """In single quotes, which mean the same to all three shells when quote and backslash stay out of them."""
    return "'" + text.replace("\\", "").replace("'", "’") + "'"  # noqa: RUF001  # an apostrophe for people
