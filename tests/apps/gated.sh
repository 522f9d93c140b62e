#!/bin/sh
# Writes a piece, waits until the FIFO $GATE is opened, writes another and leaves a file.
printf 'Content-Type: text/plain\n\nfirst\n'
read -r _ < "$GATE"
printf 'second\n'
echo done > "$DONE"
