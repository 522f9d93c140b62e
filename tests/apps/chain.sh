#!/bin/sh
# Redirects to itself as many times as the query says.
if [ "$QUERY_STRING" -gt 0 ]; then
    printf 'Location: /cgi-bin/chain.sh?%d\n\n' "$((QUERY_STRING - 1))"
else
    printf 'Content-Type: text/plain\n\n%s end' "$REQUEST_METHOD"
fi
