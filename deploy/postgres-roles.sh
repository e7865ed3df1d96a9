#!/bin/sh
# The database's logins, made when the cluster is: PostgreSQL's image runs this once, as the superuser.
#
# hatch_owner owns the database and what is in it: `hatch migrate` logs in as it, and so do `hatch log archive`
# and `hatch projections rebuild`. hatch_login is a member of hatch_app, which may append and read and never
# change what happened: every role logs in as it. Neither is a superuser or makes roles.
set -eu
# By TCP nobody is let in without TLS. The server reads it when it starts again, after this.
sed -i 's/^host\([[:space:]]\)/hostssl\1/' "$PGDATA/pg_hba.conf"
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
    --set "owner=$OWNER_PASSWORD" --set "app=$APP_PASSWORD" <<'SQL'
CREATE ROLE hatch_app NOLOGIN;
-- Epochs of the log are told apart by the data directory, among other things.
GRANT pg_read_all_settings TO hatch_app;
CREATE ROLE hatch_owner LOGIN PASSWORD :'owner';
CREATE ROLE hatch_login LOGIN PASSWORD :'app' IN ROLE hatch_app;
CREATE DATABASE hatch OWNER hatch_owner;
REVOKE ALL ON DATABASE hatch FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE hatch TO hatch_app;
SQL
