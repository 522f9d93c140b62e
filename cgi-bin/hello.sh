#!/bin/sh
# The smallest CGI program: a header, an empty line, a body.

echo 'Content-Type: text/plain; charset=utf-8'
echo
echo 'Hello from a shell script!'
echo "It is $(date -u '+%Y-%m-%d %H:%M:%S') UTC, and this is process $$."
