#!/bin/sh
# Makes the secrets that docker-compose.yml names, once; a file that exists is kept, since changing one of these alone
# locks the broker out. The TLS certificate is yours to bring.
#   deploy/make-secrets.sh [FOLDER]    default: deploy/secrets beside this script
set -eu
folder="${1:-$(dirname "$0")/secrets}"
mkdir -p "$folder"
# The containers run as other users and must read the files; on this machine the folder keeps everyone else out.
chmod 0700 "$folder"
umask 0222

write() {
  [ -e "$folder/$1" ] || printf '%s\n' "$2" > "$folder/$1"
}

write database_superuser_password "$(openssl rand -hex 32)"
write database_owner_password "$(openssl rand -hex 32)"
write database_app_password "$(openssl rand -hex 32)"
write database_url "postgres://portico_app:$(cat "$folder/database_app_password")@database:5432/portico"
write database_migration_url "postgres://portico_owner:$(cat "$folder/database_owner_password")@database:5432/portico"
write master_key "$(openssl rand -base64 32)"

echo "The secrets are in $folder."
[ -e "$folder/tls.pem" ] || echo "Still missing: $folder/tls.pem, the certificate chain followed by its private key (PEM)."
