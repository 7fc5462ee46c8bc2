#!/bin/sh
# Makes dist/hedgegridd_VERSION_ARCH.deb: the program as install.sh lays it out, below /opt/hedgegridd and /usr.
#
# PYTHON       the interpreter that makes the venv; the package needs Debian's of the same minor version
# DEB_VERSION  the package's version (that of the program)
set -eu
cd "$(dirname "$0")/.."
: "${PYTHON=python3}"
command -v dpkg-deb >/dev/null || { echo "make deb needs dpkg-deb (a Debian or Ubuntu host)" >&2; exit 1; }
version=${DEB_VERSION:-$(sed -n 's/^__version__ = "\(.*\)"/\1/p' hedgegridd/__init__.py)}
minor=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
arch=$(dpkg --print-architecture)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
trap 'exit 1' HUP INT TERM
tree=$stage/tree
DESTDIR=$tree PREFIX=/opt/hedgegridd USR=/usr PYTHON=$PYTHON TARGET_PYTHON=/usr/bin/python$minor packaging/install.sh
find "$tree/usr/share/man" -type f -exec gzip -9n {} +
find "$tree" -type d -exec chmod 755 {} +

mkdir "$tree/DEBIAN"
size=$(du -sk --exclude=DEBIAN "$tree" | cut -f1)
sed -e "s/@VERSION@/$version/" -e "s/@ARCH@/$arch/" -e "s/@PYTHON@/python$minor/" -e "s/@SIZE@/$size/" \
    packaging/debian/control > "$tree/DEBIAN/control"
echo /etc/hedgegridd/hedgegridd.toml > "$tree/DEBIAN/conffiles"
install -m 755 packaging/debian/postinst packaging/debian/prerm packaging/debian/postrm "$tree/DEBIAN/"
(cd "$tree" && find . -type f ! -path './DEBIAN/*' ! -path './etc/*' -printf '%P\0' | sort -z | xargs -0 md5sum) \
    > "$tree/DEBIAN/md5sums"
mkdir -p dist
made=dist/hedgegridd_${version}_$arch.deb
dpkg-deb --root-owner-group -Zzstd --build "$tree" "$made.new" >/dev/null
mv "$made.new" "$made"
echo "$made"
