#!/bin/sh
# Tries to speak to the terminal of whoever reads the log, and to forge a line of it.
printf '\033[31mred\007 \r2026 forged \302\233 \377\n' >&2
printf 'Content-Type: text/plain\n\nanswer'
