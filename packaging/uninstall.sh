#!/bin/sh
# Takes away what install.sh has put there (same variables); state, config and backups stay.
set -eu
: "${DESTDIR=}" "${PREFIX=/opt/hedgegridd}" "${USR=/usr/local}"
usr=$DESTDIR$USR
cd "$(dirname "$0")/.."
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then
    # The daemons first: they need the paper exchange, where they trade there, to take their entries away.
    systemctl stop 'hedgegrid-backup*.timer' hedgegridd.service 'hedgegridd@*.service'
    systemctl stop hedgegrid-exchange.service
    systemctl --quiet disable hedgegridd.service hedgegrid-exchange.service hedgegrid-backup.timer
fi
for unit in systemd/*.service systemd/*.timer; do rm -f "$usr/lib/systemd/system/$(basename "$unit")"; done
rm -f "$usr/lib/sysusers.d/hedgegridd.conf" "$usr/lib/tmpfiles.d/hedgegridd.conf" \
    "$usr/bin/hedgegridd" "$usr/bin/hedgegridctl" \
    "$usr/share/man/man8/hedgegridd.8" "$usr/share/man/man1/hedgegridctl.1" "$usr/share/man/man5/hedgegridd.toml.5" \
    "$usr/share/bash-completion/completions/hedgegridctl" "$usr/share/zsh/site-functions/_hedgegridctl" \
    "$usr/share/fish/vendor_completions.d/hedgegridctl.fish"
rm -rf "$usr/share/doc/hedgegridd" "$DESTDIR$PREFIX"
if [ -z "$DESTDIR" ] && [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
echo "left as they are: /etc/hedgegridd, /var/lib/hedgegridd*, /var/backups/hedgegridd, the user hedgegridd"
