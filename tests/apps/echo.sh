#!/bin/sh
# The method, the announced length, and the body.
printf 'Content-Type: text/plain\n\n%s %s ' "$REQUEST_METHOD" "$CONTENT_LENGTH"
cat
