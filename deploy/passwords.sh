#!/bin/sh
# Draws the passwords of docker-compose.yml, once: sh deploy/passwords.sh
#
# They go into .env beside it, which nobody else on the machine can read and git ignores.
set -eu
cd "$(dirname "$0")/.."
umask 077
if [ -e .env ]; then
    echo "there is an .env already: what it says stays" >&2
    exit 1
fi
word() {
    od -An -N24 -tx1 /dev/urandom | tr -d ' \n'
}
{
    echo "POSTGRES_PASSWORD=$(word)"
    echo "OWNER_PASSWORD=$(word)"
    echo "APP_PASSWORD=$(word)"
    echo "NATS_PASSWORD=$(word)"
    echo "SIMULATOR_PASSWORD=$(word)"
} >.env
