#!/bin/sh
# Ends at once and leaves a child that holds its output.
printf 'Content-Type: text/plain\n\nparent '
(read -r _ < "$GATE"; printf child) &
