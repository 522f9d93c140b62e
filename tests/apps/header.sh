#!/bin/sh
# Writes the header that the query asks for: + is a space, | ends a line.
printf '%s\n\nbody' "$QUERY_STRING" | tr '+|' ' \n'
