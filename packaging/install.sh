#!/bin/sh
# Puts the program with its own Python packages, units, man pages, completions and config where a host has them.
#
# DESTDIR        what stands before every path (a package's tree); empty: this host
# PREFIX         the program itself, a venv with compiled bytecode (/opt/hedgegridd)
# USR            units, man pages, completions, links to the commands (/usr/local; a package: /usr)
# PYTHON         the interpreter that makes the venv
# TARGET_PYTHON  the interpreter that runs it there (PYTHON's own path)
set -eu
cd "$(dirname "$0")/.."
: "${DESTDIR=}" "${PREFIX=/opt/hedgegridd}" "${USR=/usr/local}" "${PYTHON=python3}"
case "$PREFIX$USR" in *[!A-Za-z0-9_./-]*) echo "PREFIX and USR: letters, digits and _ . / - only" >&2; exit 1 ;; esac
case "$PREFIX:$USR" in /*:/*) ;; *) echo "PREFIX and USR must be absolute paths" >&2; exit 1 ;; esac
real=$("$PYTHON" -c 'import os, sys; print(os.path.realpath(sys.executable))')
: "${TARGET_PYTHON=$real}"
minor=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
at=$DESTDIR$PREFIX
usr=$DESTDIR$USR
packages=$at/lib/python$minor/site-packages

put() { # MODE FILE TARGET: with our PREFIX in it
    mkdir -p "$(dirname "$3")"
    sed "s|/opt/hedgegridd|$PREFIX|g" "$2" > "$3.new"
    chmod "$1" "$3.new"
    mv "$3.new" "$3"
}

program() {
    rm -rf "$at.new"
    mkdir -p "$(dirname "$at")"
    "$PYTHON" -m venv "$at.new"
    "$at.new/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-compile \
        -r requirements.txt || {
        echo "The packages could not be installed (pip's reason stands above): where no package index can be reached," \
            "name one that can be in PIP_INDEX_URL, or a folder of downloaded wheels by PIP_NO_INDEX=1 PIP_FIND_LINKS=DIR." >&2
        rm -rf "$at.new"
        exit 1
    }
    "$at.new/bin/python" -m pip uninstall --quiet --yes pip
    new=$at.new/lib/python$minor/site-packages
    cp -R hedgegridd "$new/"
    find "$new" -name __pycache__ -prune -exec rm -rf {} +
    find "$at.new/bin" -mindepth 1 ! -name 'python*' -exec rm -f {} +
    # Nothing of the place where it was made may stay in it. Bytecode that is never compared with its source holds
    # whatever a package does to times, and nobody but root could write a newer one.
    "$at.new/bin/python" -m compileall -q -f --invalidation-mode unchecked-hash -s "$at.new" -p "$PREFIX" "$at.new/lib"
    ln -sfn "$TARGET_PYTHON" "$at.new/bin/python"
    ln -sfn python "$at.new/bin/python3"
    ln -sfn python "$at.new/bin/python$minor"
    printf 'home = %s\ninclude-system-site-packages = false\nversion = %s\n' "$(dirname "$TARGET_PYTHON")" "$minor" \
        > "$at.new/pyvenv.cfg"
    command_of hedgegridd hedgegridd.__main__
    command_of hedgegridctl hedgegridd.ctl.entry
    mkdir -p "$at.new/libexec"
    put 755 systemd/alert "$at.new/libexec/alert"
    put 755 packaging/first-install "$at.new/libexec/first-install"
    rm -rf "$at"
    mv "$at.new" "$at"
}

command_of() { # NAME MODULE. -I: neither PYTHONPATH nor the folder one stands in gets into a program that holds keys
    printf '%s\n' "#!$PREFIX/bin/python -I" 'import sys' '' "from $2 import main" '' 'sys.exit(main())' > "$at.new/bin/$1"
    chmod 755 "$at.new/bin/$1"
}

around() {
    mkdir -p "$usr/bin"
    for name in hedgegridd hedgegridctl; do ln -sfn "$PREFIX/bin/$name" "$usr/bin/$name"; done
    for unit in systemd/*.service systemd/*.timer; do put 644 "$unit" "$usr/lib/systemd/system/$(basename "$unit")"; done
    put 644 systemd/hedgegridd.sysusers "$usr/lib/sysusers.d/hedgegridd.conf"
    put 644 systemd/hedgegridd.tmpfiles "$usr/lib/tmpfiles.d/hedgegridd.conf"
    pages=$(mktemp -d)
    PYTHONPATH=$packages "$PYTHON" -m hedgegridd.ctl.entry man > "$pages/hedgegridctl.1"
    PYTHONPATH=$packages "$PYTHON" packaging/toml_page.py etc/hedgegridd.toml > "$pages/hedgegridd.toml.5"
    put 644 packaging/hedgegridd.8 "$usr/share/man/man8/hedgegridd.8"
    put 644 "$pages/hedgegridctl.1" "$usr/share/man/man1/hedgegridctl.1"
    put 644 "$pages/hedgegridd.toml.5" "$usr/share/man/man5/hedgegridd.toml.5"
    for each in bash:bash-completion/completions/hedgegridctl zsh:zsh/site-functions/_hedgegridctl \
        fish:fish/vendor_completions.d/hedgegridctl.fish; do
        PYTHONPATH=$packages "$PYTHON" -m hedgegridd.ctl.entry completion "${each%%:*}" > "$pages/made"
        put 644 "$pages/made" "$usr/share/${each#*:}"
    done
    rm -rf "$pages"
    put 644 LICENSE "$usr/share/doc/hedgegridd/copyright"
    put 644 etc/hedgegridd.toml "$usr/share/doc/hedgegridd/examples/hedgegridd.toml"
}

config() { # what is there is the operator's
    mkdir -p "$DESTDIR/etc/hedgegridd"
    target=$DESTDIR/etc/hedgegridd/hedgegridd.toml
    [ -e "$target" ] && return
    # The paper exchange's unit listens there.
    sed -E 's/^# ((rest|market_ws|user_ws)_url = )/\1/' etc/hedgegridd.toml > "$target"
    chmod 644 "$target"
}

program
around
config
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; then "$PREFIX/libexec/first-install"; fi
