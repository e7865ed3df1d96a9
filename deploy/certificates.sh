#!/bin/sh
# Makes the certificates of PostgreSQL and NATS, once: sh deploy/certificates.sh FOLDER
#
# docker-compose.yml runs it in a container before both, into a volume. The CA that signs them is made for that alone,
# and its key is kept nowhere: whoever wants others removes the folder and has all made anew. Where the servers have
# further names or addresses, they stand in MORE_NAMES: DNS:db.example.com,IP:10.0.0.5
set -eu
umask 077
folder=${1:?"expected the folder: sh deploy/certificates.sh FOLDER"}
mkdir -p "$folder"
# Every container passes through it; what nobody else may read is closed by itself.
chmod 755 "$folder"
cd "$folder"
if [ -e ca.crt ]; then
    echo "there are certificates already: they stay" >&2
    exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
days=3650
new_key() {
    openssl ecparam -name prime256v1 -genkey -noout -out "$1"
}
new_key "$work/ca.key"
openssl req -x509 -new -key "$work/ca.key" -sha256 -days $days -subj "/CN=hatch servers" \
    -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" \
    -out "$work/ca.crt"
for server in postgres nats; do
    new_key "$work/$server.key"
    openssl req -new -key "$work/$server.key" -subj "/CN=$server" -out "$work/$server.csr"
    {
        echo "subjectAltName=DNS:$server,DNS:localhost,IP:127.0.0.1${MORE_NAMES:+,$MORE_NAMES}"
        echo "basicConstraints=critical,CA:FALSE"
        echo "extendedKeyUsage=serverAuth"
    } >"$work/$server.ext"
    openssl x509 -req -in "$work/$server.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -CAcreateserial \
        -sha256 -days $days -extfile "$work/$server.ext" -out "$work/$server.crt" 2>/dev/null
    cat "$work/$server.key" >"$server.key"
    cat "$work/$server.crt" >"$server.crt"
    chmod 644 "$server.crt"
done
# PostgreSQL reads no key that is neither its own nor root's. In its image it runs under this number.
if [ "$(id -u)" = 0 ]; then
    chown "${POSTGRES_OWNER:-999}" postgres.key
fi
# Last: where it is, all are.
cat "$work/ca.crt" >ca.new
chmod 644 ca.new
mv ca.new ca.crt
