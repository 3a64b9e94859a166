#!/bin/sh
# A root and a certificate for localhost and 127.0.0.1 that it signed: root.pem, cert.pem and key.pem in this directory.
#
#     benches/certificates.sh DIRECTORY
set -eu
cd "$1"
key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null; }
key root.key
openssl req -x509 -new -key root.key -subj "/CN=bench root" -days 2 -out root.pem 2>/dev/null
key key.pem
openssl req -new -key key.pem -subj "/CN=localhost" -out leaf.csr 2>/dev/null
printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n' > leaf.ext
openssl x509 -req -in leaf.csr -CA root.pem -CAkey root.key -CAcreateserial -days 2 \
    -extfile leaf.ext -out cert.pem 2>/dev/null
