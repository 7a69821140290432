#!/bin/sh
# Installs a package in a clean Debian 12 and runs what it brings: packaging/test-deb.sh PACKAGE.deb. As root, with debootstrap; the
# system is made in a new directory under ${TMPDIR:-/tmp} and removed at the end.
set -eu
[ $# -eq 1 ] || { echo "usage: $0 PACKAGE.deb" >&2; exit 2; }
package=$(realpath "$1")
root=$(mktemp -d "${TMPDIR:-/tmp}/lampwire-deb.XXXXXX")
chmod 755 "$root"
trap 'umount "$root/proc" 2>/dev/null || :; rm -rf --one-file-system "$root"' EXIT INT TERM

debootstrap --variant=minbase --include=systemd,man-db bookworm "$root" "${LAMPWIRE_MIRROR:-http://deb.debian.org/debian}" > "$root.log" 2>&1 ||
    { tail -20 "$root.log"; exit 1; }
rm -f "$root.log"
mount -t proc proc "$root/proc"
cp "$package" "$root/lampwire.deb"
in_root() { printf '== %s\n' "$*"; chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"; }

in_root dpkg -i /lampwire.deb
in_root lampwire --version
in_root lampwire check /etc/lampwire/lampwire.conf
in_root id lampwire
in_root stat -c '%a %U:%G %n' /etc/lampwire /etc/lampwire/lampwire.conf /var/lib/lampwire
in_root systemd-analyze verify lampwire.service
in_root test -s /usr/share/man/man1/lampwire.1.gz
in_root man -P cat lampwire > "$root/page"
grep -q 'lampwire' "$root/page"
in_root bash -n /usr/share/bash-completion/completions/lampwire

# The service's own command, as its user: it begins, answers, keeps its entity id, and ends in order. Addresses are this test's own, since
# the machine's ports are shared with whatever else runs on it.
sed 's/^bind=.*/bind=127.78.69.1:5060/; s/^;http_bind=.*/http_bind=127.78.69.1:7060/' "$root/etc/lampwire/lampwire.conf" > "$root/tmp/lampwire.conf"
chmod 644 "$root/tmp/lampwire.conf"
in_root bash -euc '
    setpriv --reuid=lampwire --regid=lampwire --clear-groups test -r /etc/lampwire/lampwire.conf
    setpriv --reuid=lampwire --regid=lampwire --clear-groups lampwire run -c /tmp/lampwire.conf 2>/tmp/log &
    node=$!
    ready=no
    for try in $(seq 100); do
        if lampwire health --node http://127.78.69.1:7060 2>/dev/null; then ready=yes; break; fi
        sleep 0.1
    done
    kill -TERM $node || :
    code=0; wait $node || code=$?
    cat /tmp/log
    [ $ready = yes ] && [ $code = 0 ]
    test -s /var/lib/lampwire/entity_id
'

# Once more over itself: what is configured stays.
echo '; mine' >> "$root/etc/lampwire/lampwire.conf"
in_root dpkg -i /lampwire.deb
grep -q '^; mine$' "$root/etc/lampwire/lampwire.conf"
in_root dpkg -r lampwire
test -e "$root/etc/lampwire/lampwire.conf"
in_root dpkg --purge lampwire
test ! -e "$root/etc/lampwire/lampwire.conf"
test ! -e "$root/var/lib/lampwire"
echo "the package is good"
