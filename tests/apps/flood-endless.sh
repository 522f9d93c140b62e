#!/bin/sh
# Complains for ever, in lines as short as lines can be, and holds its output open.
printf 'Content-Type: text/plain\n\nanswer'
yes >&2
