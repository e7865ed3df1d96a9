#!/bin/sh
# Prints how nginx is called, for the test of the stack: that of the system, else one from Debian's packages, which are
# unpacked into .tools/nginx without being installed. It fails, and says why, where neither can be had.
set -eu
cd "$(dirname "$0")/.."
PATH="$PATH:/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
if command -v nginx; then
    exit 0
fi
tools="$PWD/.tools/nginx"
if [ ! -x "$tools/run" ]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg >/dev/null; then
        echo "there is no nginx, and no apt-get to take one from" >&2
        exit 3
    fi
    new=$(mktemp -d "$(mkdir -p .tools && cd .tools && pwd)/nginx.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    (
        cd "$new"
        apt-get download nginx >download.log 2>&1 || {
            tail -n 5 download.log >&2
            exit 3
        }
        # And the libraries that it is linked to. What the system has of them may not be offered any more, and need not be.
        apt-cache depends nginx | sed -nE 's/^ *Depends: ((lib|zlib)[a-z0-9.+-]*)$/\1/p' | while read -r library; do
            [ "$library" = libc6 ] || apt-get download "$library" >>download.log 2>&1 || true
        done
        for package in ./*.deb; do
            dpkg -x "$package" root
        done
        folders=$(find root -name '*.so.*' -exec dirname {} \; | sort -u | sed "s|^root|$tools/root|" | paste -sd: -)
        printf '#!/bin/sh\nLD_LIBRARY_PATH="%s" exec "%s" "$@"\n' "$folders" "$tools/root/usr/sbin/nginx" >run
        chmod +x run
        rm -f ./*.deb
    )
    # Another that does the same at this time may be first.
    mv -T "$new" "$tools" 2>/dev/null || [ -x "$tools/run" ]
    trap - EXIT
fi
if ! "$tools/run" -v >/dev/null 2>&1; then
    "$tools/run" -v >&2 || true
    echo "the nginx in .tools/nginx does not run" >&2
    exit 3
fi
echo "$tools/run"
