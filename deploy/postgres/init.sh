#!/bin/sh
# Run by the PostgreSQL image when its volume is empty. The passwords come from files, never from the environment.
set -eu
psql --no-psqlrc --quiet --username="${POSTGRES_USER:-postgres}" --dbname=postgres \
  --set=owner_password="$(cat /run/secrets/database_owner_password)" \
  --set=app_password="$(cat /run/secrets/database_app_password)" \
  --file=/etc/portico/roles.sql
