#!/bin/sh
# Its answer is whole long before it ends.
printf 'Content-Type: text/plain\n\nanswer'
exec >&- 2>&-
read -r _ < "$GATE"
echo done > "$DONE"
