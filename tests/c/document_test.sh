#!/bin/sh
# document_test.sh CC DOCUMENT INCLUDE LIBRARY: the first block of C in DOCUMENT compiles as C99 and prints what its comment says.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
awk '/^```c$/ { inside = 1; next } /^```/ { inside = 0 } inside' "$2" >"$folder/example.c"
"$1" -std=c99 -pedantic -Wall -Wextra -Werror "-I$3" "$folder/example.c" "$4" "-Wl,-rpath,$(dirname "$4")" -o "$folder/example"
[ "$("$folder/example")" = "1.2 1.6" ]
